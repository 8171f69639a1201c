/**
 * Envelopes: what every message of the mesh travels in. The same as `gossip/envelope.py`.
 *
 *     ver u8 = 1 | realm hint 4 | shard u8 | expiry u32 | nonce 12 | 16 slots x 6 | class u8
 *     | sealed | realm mac 16
 *     sealed = ChaCha20-Poly1305( length u16 | MessagePack of the inside | zeros )
 *
 * Who relays one checks that a member of the realm made it; who knows the first part of its intent,
 * and the topic key of a private one, opens it.
 */

import { concat, equal, u32, utf8 } from '../bytes.js';
import { aeadOpen, aeadSeal, hkdf, hkdfExpand, hmac, sha256, verify as verifySignature } from '../crypto.js';
import { AuthError, ProtocolError, UsageError } from '../errors.js';
import { Proof } from '../identity.js';
import { decode as unpack, encode as pack, Float } from '../msgpack.js';
import { EVERYONE, featureKey, features, normalise, SLOT_BYTES, SLOTS, slots } from './intent.js';

/**
 * @typedef {object} Envelope The outside of a message: well-formed, and nothing more until `verify`.
 * @property {Uint8Array} id 16 bytes, of every byte of `raw`.
 * @property {Uint8Array} hint
 * @property {number} shard
 * @property {number} expiryS When it is over, in unix seconds.
 * @property {Uint8Array} nonce
 * @property {Uint8Array[]} slots
 * @property {boolean} urgent
 * @property {Uint8Array} header Everything before what is sealed.
 * @property {Uint8Array} sealed
 * @property {Uint8Array} raw
 */

/**
 * @typedef {object} Inside What only who listens can read.
 * @property {number} kind
 * @property {number} strength How much the sender means it, 0 to 1.
 * @property {number} priority 0 to 10.
 * @property {string} intent In its normal form, or `EVERYONE`.
 * @property {Uint8Array} payload
 * @property {Uint8Array} proof Who says so: 240 bytes if signed, else none.
 * @property {Uint8Array} signature 64 bytes if signed, else none.
 */

/** @typedef {{proof: Proof, signing: {sign(data: Uint8Array): Uint8Array}}} Signer */

export const BUCKETS = [512, 1024, 4096, 16384];
export const TTL_S_MAX = 300;
export const PAYLOAD_MAX = 15_360;
const VERSION = 1;
const GRID_S = 10;
const HEADER_BYTES = 1 + 4 + 1 + 4 + 12 + SLOTS * SLOT_BYTES + 1;
const MAC_BYTES = 16;
const TAG_BYTES = 16;
const PROOF_BYTES = 240;
const ZERO_NONCE = new Uint8Array(12);
const NOTHING = new Uint8Array(0);
const OPEN_MESH = utf8('WN1 open mesh realm');

/**
 * The realm key of a private network, or of the open mesh, which all know; 32 bytes.
 *
 * @param {Uint8Array | null} [networkSecret] 32 bytes.
 */
export function realmKey(networkSecret) {
  if (!networkSecret) return sha256(OPEN_MESH);
  return hkdf(networkSecret, { info: utf8('WN1 realm') });
}

/** The nodes that share a realm key, and what they can do with it. */
export class Realm {
  /** @type {Uint8Array} */
  #hintKey;
  /** @type {Uint8Array} */
  #macKey;

  /** @param {Uint8Array} key 32 bytes; see `realmKey`. */
  constructor(key) {
    checkKey(key);
    this.base = hkdfExpand(key, utf8('WN1 realm intents'), 32);
    this.#hintKey = hkdfExpand(key, utf8('WN1 realm hint'), 32);
    this.#macKey = hkdfExpand(key, utf8('WN1 realm mac'), 32);
  }

  /** What members know an envelope of theirs by, another one for each hour; 4 bytes. @param {number} expiryS */
  hint(expiryS) {
    return hmac(this.#hintKey, u32(Math.floor(expiryS / 3600))).subarray(0, 4);
  }

  /** What shows members that one of them made this; 16 bytes. @param {Uint8Array} data */
  mac(data) {
    return hmac(this.#macKey, data).subarray(0, MAC_BYTES);
  }
}

/**
 * Read the outside of an envelope; only its shape is checked: call `verify`.
 *
 * @param {Uint8Array} raw
 * @returns {Envelope}
 * @throws {ProtocolError} It has another size or version, or a value there is not.
 */
export function parse(raw) {
  if (!BUCKETS.includes(raw.length)) {
    throw new ProtocolError(`an envelope has ${raw.length} bytes, which is none of its sizes`);
  }
  if (raw[0] !== VERSION) {
    throw new ProtocolError(`an envelope is of version ${raw[0]}, which is not known here`);
  }
  const expiryS = new DataView(raw.buffer, raw.byteOffset).getUint32(6);
  const urgent = raw[HEADER_BYTES - 1];
  if (expiryS % GRID_S || urgent > 1) {
    throw new ProtocolError('an envelope has an expiry or a class that there is not');
  }
  const tags = [];
  for (let at = 22; at < HEADER_BYTES - 1; at += SLOT_BYTES) {
    tags.push(raw.subarray(at, at + SLOT_BYTES));
  }
  return {
    id: sha256(utf8('WN1 gossip id'), raw).subarray(0, 16),
    hint: raw.subarray(1, 5),
    shard: raw[5],
    expiryS,
    nonce: raw.subarray(10, 22),
    slots: tags,
    urgent: urgent === 1,
    header: raw.subarray(0, HEADER_BYTES),
    sealed: raw.subarray(HEADER_BYTES, -MAC_BYTES),
    raw,
  };
}

/**
 * Check that a member of the realm made it. Who relays needs nothing more.
 *
 * @param {Realm} realm
 * @param {Envelope} envelope
 * @throws {ProtocolError} A member of the realm did not make it, or it is of another realm.
 */
export function verify(realm, envelope) {
  if (!equal(envelope.hint, realm.hint(envelope.expiryS))) {
    throw new ProtocolError('an envelope is of another realm');
  }
  const mac = envelope.raw.subarray(-MAC_BYTES);
  if (!equal(mac, realm.mac(envelope.raw.subarray(0, -MAC_BYTES)))) {
    throw new AuthError('an envelope was not made by a member of the realm');
  }
}

/**
 * When a message made now is over, in unix seconds: a multiple of 10, at most 300 s away.
 *
 * @param {number} wallS
 * @param {number} [ttlS]
 */
export function expiry(wallS, ttlS = TTL_S_MAX) {
  const wanted = Math.ceil((wallS + ttlS) / GRID_S);
  return Math.min(wanted, Math.floor((wallS + TTL_S_MAX) / GRID_S)) * GRID_S;
}

/**
 * Make an envelope; returns its bytes.
 *
 * @param {Realm} realm Whose members may relay it.
 * @param {{kind: number, strength?: number, priority?: number, intent: string, payload: Uint8Array}}
 *   inside What it says; the intent is brought into its normal form.
 * @param {object} how
 * @param {Uint8Array | null} how.topicKey 32 bytes, if only those who have it may know it; or null.
 * @param {number} how.expiryS See `expiry`.
 * @param {boolean} how.urgent Whether it is an emergency.
 * @param {number} how.shard 0 to 255.
 * @param {(n: number) => Uint8Array} how.entropy
 * @param {Signer | null} [how.signer] Who says so, for all who can open it.
 * @returns {Uint8Array}
 * @throws {UsageError} The payload is too long, the intent is none, or a field is out of range.
 */
export function seal(realm, inside, { topicKey, expiryS, urgent, shard, entropy, signer }) {
  const content = checked(inside);
  if (topicKey && content.intent === EVERYONE) {
    throw new UsageError('a private topic has an intent; send to everyone without a topic key');
  }
  if (topicKey) checkKey(topicKey);
  const base = topicKey ?? realm.base;
  const nonce = entropy(12);
  const header = concat(
    Uint8Array.of(VERSION),
    realm.hint(expiryS),
    Uint8Array.of(shard),
    u32(expiryS),
    nonce,
    ...slots(base, content.intent, nonce, entropy),
    Uint8Array.of(urgent ? 1 : 0),
  );
  if (signer) {
    content.proof = signer.proof.encode();
    content.signature = signer.signing.sign(signedText(header, content));
  }
  const key = contentKey(featureKey(base, features(content.intent)[0][0]), nonce);
  const sealed = aeadSeal(key, ZERO_NONCE, header, padded(encode(content)));
  const body = concat(header, sealed);
  return concat(body, realm.mac(body));
}

/**
 * Open an envelope with the key of the first feature of its intent.
 *
 * @param {Uint8Array} rootKey
 * @param {Envelope} envelope
 * @returns {Inside}
 * @throws {ProtocolError} The key is another one, or what is inside is malformed.
 */
export function unseal(rootKey, envelope) {
  const key = contentKey(rootKey, envelope.nonce);
  const plain = aeadOpen(key, ZERO_NONCE, envelope.header, envelope.sealed);
  if (plain === null) throw new AuthError('an envelope cannot be opened with this key');
  const encoded = plain.subarray(2, 2 + ((plain[0] << 8) | plain[1]));
  const inside = decode(encoded);
  if (!equal(padded(encoded, plain.length), plain) || !equal(encode(inside), encoded)) {
    throw new ProtocolError('what is inside an envelope is not in its one form');
  }
  return inside;
}

/**
 * Who signed a message: the 32-byte id of a node, or null if nobody did.
 *
 * @param {Envelope} envelope
 * @param {Inside} inside
 * @param {number} wallMs Now, in unix milliseconds.
 * @returns {Uint8Array | null}
 * @throws {ProtocolError} The signature or the proof is forged, malformed or not valid now.
 */
export function author(envelope, inside, wallMs) {
  if (!inside.proof.length && !inside.signature.length) return null;
  const proof = Proof.decode(inside.proof);
  const text = signedText(envelope.header, inside);
  verifySignature(proof.signingKey, text, inside.signature);
  proof.verify(wallMs);
  return proof.id;
}

/** @param {Uint8Array} header @param {Inside} inside */
function signedText(header, inside) {
  const unsigned = { ...inside, signature: NOTHING };
  return concat(utf8('WN1 gossip author'), header, encode(unsigned));
}

/** @param {Uint8Array} rootKey @param {Uint8Array} nonce */
function contentKey(rootKey, nonce) {
  return hmac(rootKey, utf8('WN1 content key\0'), nonce);
}

/** @param {Uint8Array} key */
function checkKey(key) {
  if (!(key instanceof Uint8Array) || key.length !== 32) {
    throw new UsageError('the key of a realm or a topic has 32 bytes');
  }
}

/**
 * @param {{kind: number, strength?: number, priority?: number, intent: string, payload: Uint8Array}} inside
 * @returns {Inside}
 */
function checked({ kind, strength = 1, priority = 5, intent, payload }) {
  if (!(payload instanceof Uint8Array)) throw new UsageError('a payload is a Uint8Array');
  if (payload.length > PAYLOAD_MAX) {
    throw new UsageError(
      `a payload of ${payload.length} bytes does not fit: the mesh carries at most ` +
        `${PAYLOAD_MAX}; send a reference to what is larger`,
    );
  }
  const inside = {
    kind,
    strength,
    priority,
    intent: intent === EVERYONE ? EVERYONE : normalise(intent),
    payload,
    proof: NOTHING,
    signature: NOTHING,
  };
  if (!isInside(inside)) {
    throw new UsageError('a message has a kind, a strength of 0 to 1, and a priority of 0 to 10');
  }
  return inside;
}

/**
 * @param {Record<keyof Inside, unknown>} fields
 * @returns {fields is Inside}
 */
function isInside(fields) {
  const { kind, strength, priority, intent, payload, proof, signature } = fields;
  const inRange = (/** @type {unknown} */ value, /** @type {number} */ max) =>
    typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max;
  const isBytes = (/** @type {unknown} */ value, /** @type {number} */ max) =>
    value instanceof Uint8Array && value.length <= max;
  return (
    inRange(kind, 0xffff) &&
    typeof strength === 'number' &&
    strength >= 0 &&
    strength <= 1 &&
    inRange(priority, 10) &&
    typeof intent === 'string' &&
    isBytes(payload, PAYLOAD_MAX) &&
    isBytes(proof, PROOF_BYTES) &&
    isBytes(signature, 64)
  );
}

/** @param {Inside} inside */
function encode({ kind, strength, priority, intent, payload, proof, signature }) {
  return pack([kind, new Float(strength), priority, intent, payload, proof, signature]);
}

/** @param {Uint8Array} encoded @returns {Inside} */
function decode(encoded) {
  const fields = unpack(encoded);
  const malformed = new ProtocolError('what is inside an envelope is malformed');
  if (!Array.isArray(fields) || fields.length !== 7) throw malformed;
  const [kind, strength, priority, intent, payload, proof, signature] = fields.map((field) =>
    field instanceof Float ? field.value : field,
  );
  const inside = { kind, strength, priority, intent, payload, proof, signature };
  if (!isInside(inside) || (inside.intent !== EVERYONE && !isNormal(inside.intent))) throw malformed;
  return inside;
}

/** @param {string} intent */
function isNormal(intent) {
  try {
    return normalise(intent) === intent;
  } catch {
    return false;
  }
}

/**
 * The shortest plaintext that makes the whole a bucket, or one of `size` bytes.
 *
 * @param {Uint8Array} encoded
 * @param {number} [size]
 */
function padded(encoded, size) {
  const around = HEADER_BYTES + TAG_BYTES + MAC_BYTES;
  const bucket = BUCKETS.find((bytes) => bytes >= encoded.length + 2 + around) ?? 0;
  const plain = new Uint8Array(size ?? bucket - around);
  plain[0] = encoded.length >> 8;
  plain[1] = encoded.length & 0xff;
  plain.set(encoded.subarray(0, plain.length - 2), 2);
  return plain;
}
