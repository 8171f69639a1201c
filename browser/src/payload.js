// What the three handshake messages say, byte by byte; the same as `whispurrnet/session/payload.py`.
//
//   m1 = hello 4 | Noise (e 32, KEM key, offer 32, two tags) | mac1 16 | mac2 16
//   m2 = Noise (e 32, KEM ciphertext, in XX the static key, credentials 448, tags)
//   m3 = Noise (static key 32, credentials 448, two tags)
//
// Every message has one length per level and pattern, so that a length tells nothing.
import { concat, isZero, readU16, readU32, u16, u32, u8, zeros } from './bytes.js';
import { blake2s, kemOfLevel, TAG_BYTES } from './crypto.js';
import { AuthError, DowngradeDetected, DowngradeRefused, IdentityChanged, ProtocolError } from './errors.js';
import { equal } from './bytes.js';
import { Proof, PROOF_BYTES } from './identity.js';

/** @typedef {import('./crypto.js').Entropy} Entropy */

export const VERSION = 1;
export const HELLO_BYTES = 4;
export const OFFER_BYTES = 32;
export const CREDENTIALS_BYTES = 448;
export const MAC_BYTES = 16;
export const MACS_BYTES = 2 * MAC_BYTES;
export const HINT_BYTES = 8;
export const BINDING_BYTES = 33;
export const M3_BYTES = 32 + TAG_BYTES + CREDENTIALS_BYTES + TAG_BYTES;
export const LEVELS = [1, 3, 5];
export const BINDING_TLS = 1;
export const BINDING_WEBRTC = 2;
const CLOCK_BUCKET_S = 60;
const CLOCK_SKEW_S = 600;
const CREDENTIALS_USED = 2 + 1 + 4 + 4 + BINDING_BYTES + PROOF_BYTES;

/** The outer binding of a link about which nothing is known. */
export const NO_BINDING = zeros(BINDING_BYTES);

/** @typedef {'XK' | 'XX'} Pattern */

/** The four bytes in clear: which level and which pattern this handshake has. */
export class Hello {
  /** @param {number} level 1, 3 or 5 @param {Pattern} pattern */
  constructor(level, pattern) {
    this.level = level;
    this.pattern = pattern;
    this.kem = kemOfLevel(level);
  }

  /** @returns {Uint8Array} */
  encode() {
    return Uint8Array.of(VERSION, this.level, this.pattern === 'XK' ? 1 : 2, 0);
  }

  /** Read four bytes; throws ProtocolError. @param {Uint8Array} data */
  static decode([version, suite, pattern, flags]) {
    if (version !== VERSION || flags || (pattern !== 1 && pattern !== 2) || !LEVELS.includes(suite)) {
      throw new ProtocolError('the peer speaks another version of the handshake');
    }
    return new Hello(suite, pattern === 1 ? 'XK' : 'XX');
  }

  get m1Bytes() {
    return HELLO_BYTES + 32 + this.kem.publicBytes + TAG_BYTES + OFFER_BYTES + TAG_BYTES + MACS_BYTES;
  }

  get m2Bytes() {
    const staticBytes = this.pattern === 'XX' ? 32 + TAG_BYTES : 0;
    return 32 + this.kem.ciphertextBytes + TAG_BYTES + staticBytes + CREDENTIALS_BYTES + TAG_BYTES;
  }

  get noiseName() {
    return `Noise_${this.pattern}hfs+psk3_25519+${this.kem.name}_ChaChaPoly_SHA256`;
  }

  /** What both sides must agree on before the first byte. @param {Uint8Array} tag Of the network. */
  prologue(tag) {
    return concat('WN1', this.encode(), tag);
  }
}

/** What the initiator can do, in m1. */
export class Offer {
  /** @param {number} suites A bit per level. @param {number} minLevel @param {number} features
   * @param {Uint8Array} hint 8 bytes that only a holder of the pre-shared key recognises. */
  constructor(suites, minLevel, features, hint) {
    this.suites = suites;
    this.minLevel = minLevel;
    this.features = features;
    this.hint = hint;
  }

  /** @param {Entropy} entropy @returns {Uint8Array} */
  encode(entropy) {
    const head = concat(u16(this.suites), u8(this.minLevel), u32(this.features), this.hint);
    return concat(head, entropy(OFFER_BYTES - head.length));
  }

  /** @param {Uint8Array} data */
  static decode(data) {
    if (data.length !== OFFER_BYTES) throw new ProtocolError('an offer of the wrong length in a handshake');
    return new Offer(readU16(data), data[2], readU32(data, 3), data.slice(7, 7 + HINT_BYTES));
  }
}

/** Who one side is and what it can do, in m2 and m3; nothing of it is verified yet. */
export class Credentials {
  /** @param {{suites: number, minLevel: number, features: number, clockBucket: number,
   *   binding: Uint8Array, proof: Proof}} fields clockBucket: unix time in minutes */
  constructor(fields) {
    this.suites = fields.suites;
    this.minLevel = fields.minLevel;
    this.features = fields.features;
    this.clockBucket = fields.clockBucket;
    this.binding = fields.binding;
    this.proof = fields.proof;
  }

  /** @returns {Uint8Array} 448 bytes, padded with zeros */
  encode() {
    return concat(
      u16(this.suites), u8(this.minLevel), u32(this.features), u32(this.clockBucket), this.binding,
      this.proof.encode(), zeros(CREDENTIALS_BYTES - CREDENTIALS_USED),
    );
  }

  /** @param {Uint8Array} data */
  static decode(data) {
    if (data.length !== CREDENTIALS_BYTES || !isZero(data.subarray(CREDENTIALS_USED))) {
      throw new ProtocolError('malformed credentials in a handshake');
    }
    return new Credentials({
      suites: readU16(data),
      minLevel: data[2],
      features: readU32(data, 3),
      clockBucket: readU32(data, 7),
      binding: data.slice(11, 11 + BINDING_BYTES),
      proof: Proof.decode(data.slice(11 + BINDING_BYTES, CREDENTIALS_USED)),
    });
  }
}

/** Unix time as credentials hold it. @param {number} wallMs */
export const clockBucket = (wallMs) => Math.floor(wallMs / (1000 * CLOCK_BUCKET_S));

/** The levels from `lowest` to `highest`, a bit each. @param {number} lowest @param {number} highest */
export function suiteMask(lowest, highest) {
  return LEVELS.filter((level) => lowest <= level && level <= highest).reduce((mask, level) => mask | (1 << level), 0);
}

/** The highest level in both masks, 0 if there is none. @param {number} a @param {number} b */
const bestCommon = (a, b) => Math.max(31 - Math.clz32(a & b), 0);

/** 16 bytes that stand for the network in the prologue; zeros for the open mesh.
 * @param {Uint8Array | null} secret */
export const networkTag = (secret) => (secret ? blake2s(concat('WN1 net', secret), { n: 16 }) : zeros(16));

/** What the initiator puts in its offer so that the responder finds the pre-shared key.
 * @param {Uint8Array} psk @param {Uint8Array} ephemeral */
export const pskHint = (psk, ephemeral) => blake2s(ephemeral, { key: psk, n: HINT_BYTES });

/** Is the other side acceptable? The same questions for initiator and responder; throws AuthError.
 * @param {Credentials} peer
 * @param {{level: number, suites: number, minLevel: number, static: Uint8Array | null,
 *   binding: Uint8Array, wallMs: number, id?: Uint8Array | null}} expected
 *   `binding`: what this side sees of the link; only one of WebRTC has to agree. */
export function vet(peer, expected) {
  if (!expected.static || !equal(peer.proof.staticKey, expected.static)) {
    throw new AuthError("the peer's proof of identity is about another key; the link is closed");
  }
  const apart = Math.abs(peer.clockBucket - clockBucket(expected.wallMs));
  if (apart * CLOCK_BUCKET_S > CLOCK_SKEW_S) {
    throw new AuthError(
      `the clocks of the two nodes are about ${apart} minutes apart; set this machine's clock, or the peer's`,
    );
  }
  peer.proof.verify(expected.wallMs);
  if (expected.id && !equal(peer.proof.id, expected.id)) {
    throw new IdentityChanged(
      'the node at this address is not the one that was expected; identities change with time, so ask ' +
        'for a new ticket, or connect without naming the id',
    );
  }
  vetLevel(peer, expected);
  const webrtc = peer.binding[0] === BINDING_WEBRTC || expected.binding[0] === BINDING_WEBRTC;
  if (webrtc && !equal(peer.binding, expected.binding)) {
    throw new AuthError('the two ends see different WebRTC connections: somebody sits between them');
  }
}

/** @param {Credentials} peer @param {{level: number, suites: number, minLevel: number}} expected */
function vetLevel(peer, { level, suites, minLevel }) {
  if (level < minLevel || peer.minLevel > level || !((peer.suites >> level) & 1)) {
    throw new DowngradeRefused(`the two sides do not both accept level ${level}`);
  }
  const better = bestCommon(peer.suites, suites);
  if (better > level) {
    throw new DowngradeDetected(
      `both sides can do level ${better}, but level ${level} was negotiated: somebody in between took ` +
        'the better offer away, or an earlier attempt failed; connect again',
    );
  }
}
