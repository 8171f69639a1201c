// The Noise handshake, for the three patterns that are spoken: XKhfs+psk3 and XXhfs+psk3 open a
// session, NNhfs+psk0 takes new keys inside it. X25519 + ML-KEM, ChaChaPoly, SHA256.
//
// Sources: The Noise Protocol Framework, revision 34, sections 5 and 9; KEM-based Hybrid Forward
// Secrecy for Noise, revision 1, section 4. The exporter is our own (`TransportKeys.export`).
// A state that has failed stays failed; the name of the protocol is hashed first.
import { concat, le64, NOTHING, u8, utf8, zeros } from './bytes.js';
import { aeadOpen, aeadSeal, hkdfExpand, hmac, Kem, sha256, TAG_BYTES, X25519Key } from './crypto.js';
import { AuthError, UsageError } from './errors.js';

/** @typedef {import('./crypto.js').Entropy} Entropy */

export const PSK_BYTES = 32;
const MESSAGE_MAX = 65535;
const REFUSED = 'the handshake message is not authentic; the link is closed';
const NONCE_LAST = 2n ** 64n - 1n;

/** Tokens of each message, the initiator's first; whether the responder's key is known before. */
const PATTERNS = {
  'XKhfs+psk3': { known: true, messages: ['e es e1', 'e ee ekem1', 's se psk'] },
  'XXhfs+psk3': { known: false, messages: ['e e1', 'e ee ekem1 s es', 's se psk'] },
  'NNhfs+psk0': { known: false, messages: ['psk e e1', 'e ee ekem1'] },
};

/** @param {number | bigint} counter */
export const nonce = (counter) => concat(zeros(4), le64(counter));

/** The key that follows `key` (Noise, section 4.2): the old one cannot be computed from it.
 * @param {Uint8Array} key */
export const nextKey = (key) => aeadSeal(key, nonce(NONCE_LAST), NOTHING, zeros(32)).slice(0, 32);

/** What a finished handshake leaves: a key for each direction, and what is derived from both. */
export class TransportKeys {
  /** @param {Uint8Array} send @param {Uint8Array} receive @param {Uint8Array} hash @param {Uint8Array} exporter */
  constructor(send, receive, hash, exporter) {
    this.send = send;
    this.receive = receive;
    /** The handshake hash, the same on both sides and different in each session. */
    this.hash = hash;
    this.exporter = exporter;
  }

  /** Derive `n` bytes for a use of its own; both sides get the same ones.
   * @param {string} label @param {Uint8Array} context @param {number} n */
  export(label, context = NOTHING, n = 32) {
    return hkdfExpand(this.exporter, concat(label, u8(0), this.hash, context), n);
  }
}

/** The chaining key, the running hash, and the key with its nonce (sections 5.1 and 5.2). */
class SymmetricState {
  /** @param {string} name */
  constructor(name) {
    const encoded = utf8(name);
    this.h = encoded.length <= 32 ? concat(encoded, zeros(32 - encoded.length)) : sha256(encoded);
    this.chainingKey = this.h;
    /** @type {Uint8Array | null} */
    this.key = null;
    this.n = 0;
  }

  /** @param {Uint8Array} material @param {number} count */
  derive(material, count) {
    const prk = hmac(this.chainingKey, material);
    const outputs = [hmac(prk, u8(1))];
    for (let n = 2; n <= count; n++) outputs.push(hmac(prk, outputs[n - 2], u8(n)));
    return outputs;
  }

  /** @param {Uint8Array} data */
  mixHash(data) {
    this.h = sha256(this.h, data);
  }

  /** @param {Uint8Array} material */
  mixKey(material) {
    [this.chainingKey, this.key] = this.derive(material, 2);
    this.n = 0;
  }

  /** @param {Uint8Array} psk */
  mixKeyAndHash(psk) {
    const [chainingKey, mixed, key] = this.derive(psk, 3);
    this.chainingKey = chainingKey;
    this.mixHash(mixed);
    this.key = key;
    this.n = 0;
  }

  /** @param {Uint8Array} plaintext */
  seal(plaintext) {
    const sealed = this.key ? aeadSeal(this.key, nonce(this.n++), this.h, plaintext) : plaintext;
    this.mixHash(sealed);
    return sealed;
  }

  /** @param {Uint8Array} sealed */
  open(sealed) {
    const plaintext = this.key ? aeadOpen(this.key, nonce(this.n++), this.h, sealed) : sealed;
    if (!plaintext) throw new AuthError(REFUSED);
    this.mixHash(sealed);
    return plaintext;
  }
}

/** One side of a handshake (section 5.3): `write` and `read` in turn, then `finish`. */
export class HandshakeState {
  /** @param {string} name Such as `Noise_XKhfs+psk3_25519+MLKEM768_ChaChaPoly_SHA256`.
   * @param {{initiator: boolean, prologue?: Uint8Array, s?: X25519Key | null, e?: X25519Key | null,
   *   rs?: Uint8Array | null, psk?: Uint8Array | null, entropy: Entropy, kem?: any}} options
   *   `kem` replaces the KEM, for tests that replay one. */
  constructor(name, { initiator, prologue = NOTHING, s = null, e = null, rs = null, psk = null, entropy, kem }) {
    const [noise, pattern, exchange, cipher, hash] = name.split('_');
    const found = PATTERNS[/** @type {keyof typeof PATTERNS} */ (pattern)];
    const [dh, kemName] = (exchange ?? '').split('+');
    if (noise !== 'Noise' || !found || dh !== '25519' || cipher !== 'ChaChaPoly' || hash !== 'SHA256') {
      throw new UsageError(`not a Noise protocol that is spoken here: ${name}`);
    }
    /** @type {Kem} */
    this.kem = kem ?? new Kem(kemName);
    this.messages = found.messages.map((message) => message.split(' '));
    this.initiator = initiator;
    this.entropy = entropy;
    this.s = s;
    this.e = e;
    /** The peer's static public key, as soon as it is known. @type {Uint8Array | null} */
    this.rs = rs;
    /** @type {Uint8Array | null} */
    this.re = null;
    /** @type {import('./crypto.js').KemKey | null} */
    this.e1 = null;
    /** @type {Uint8Array | null} */
    this.re1 = null;
    this.psk = psk;
    this.turn = 0;
    this.failed = false;
    this.symmetric = new SymmetricState(name);
    this.symmetric.mixHash(prologue);
    if (found.known) {
      const known = initiator ? rs : s?.public;
      if (!known) throw new UsageError(`${name} needs the static key of the responder`);
      this.symmetric.mixHash(known);
    }
  }

  get done() {
    return this.turn === this.messages.length && !this.failed;
  }

  get nextIsWrite() {
    return this.turn < this.messages.length && (this.turn % 2 === 0) === this.initiator;
  }

  /** The next message, with `payload` inside. @param {Uint8Array} payload @returns {Uint8Array} */
  write(payload = NOTHING) {
    const tokens = this.begin(true);
    const { symmetric } = this;
    /** @type {Uint8Array[]} */
    const parts = [];
    for (const token of tokens) {
      if (token === 'e') {
        this.e ??= X25519Key.generate(this.entropy);
        parts.push(this.e.public);
        symmetric.mixHash(this.e.public);
        symmetric.mixKey(this.e.public); // section 9.2: all our patterns have a psk
      } else if (token === 's') {
        parts.push(symmetric.seal(this.staticKey().public));
      } else if (token === 'e1') {
        this.e1 = this.kem.generate(this.entropy);
        parts.push(symmetric.seal(this.e1.public));
      } else if (token === 'ekem1') {
        const [ciphertext, secret] = this.kem.encapsulate(/** @type {Uint8Array} */ (this.re1));
        parts.push(symmetric.seal(ciphertext));
        symmetric.mixKey(secret);
      } else {
        this.mixSecret(token);
      }
    }
    const message = concat(...parts, symmetric.seal(payload));
    this.failed = false;
    this.turn += 1;
    return message;
  }

  /** The payload of the peer's next message; throws AuthError. @param {Uint8Array} message
   * @returns {Uint8Array} */
  read(message) {
    const tokens = this.begin(false);
    if (message.length > MESSAGE_MAX) throw new AuthError(REFUSED);
    const { symmetric } = this;
    let at = 0;
    const field = (/** @type {number} */ size, tag = symmetric.key ? TAG_BYTES : 0) => {
      const start = at;
      at += size + tag;
      if (at > message.length) throw new AuthError(REFUSED);
      return message.slice(start, at);
    };
    for (const token of tokens) {
      if (token === 'e') {
        this.re = field(32, 0);
        symmetric.mixHash(this.re);
        symmetric.mixKey(this.re);
      } else if (token === 's') {
        this.rs = symmetric.open(field(32));
      } else if (token === 'e1') {
        this.re1 = symmetric.open(field(this.kem.publicBytes));
      } else if (token === 'ekem1') {
        const ciphertext = symmetric.open(field(this.kem.ciphertextBytes));
        symmetric.mixKey(/** @type {import('./crypto.js').KemKey} */ (this.e1).decapsulate(ciphertext));
      } else {
        this.mixSecret(token);
      }
    }
    const payload = symmetric.open(message.slice(at));
    this.failed = false;
    this.turn += 1;
    return payload;
  }

  /** The keys of the session; the handshake's own secrets are dropped. */
  finish() {
    if (!this.done || !this.symmetric.chainingKey.length) {
      throw new UsageError('the handshake is not done, or was finished before');
    }
    const { symmetric } = this;
    const [first, second] = symmetric.derive(NOTHING, 2);
    const exporter = hmac(symmetric.chainingKey, 'WN1 exporter');
    symmetric.chainingKey = NOTHING;
    symmetric.key = this.s = this.e = this.e1 = this.psk = null;
    const [send, receive] = this.initiator ? [first, second] : [second, first];
    return new TransportKeys(send, receive, symmetric.h, exporter);
  }

  /** The tokens of this message; from here on the state has failed, until it has not.
   * @param {boolean} writing */
  begin(writing) {
    if (this.failed) throw new AuthError('the handshake has failed before; open a new link');
    if (this.turn === this.messages.length || this.nextIsWrite !== writing) {
      throw new UsageError(`it is not the turn to ${writing ? 'write' : 'read'}`);
    }
    const tokens = this.messages[this.turn];
    if (tokens.includes('psk') && this.psk?.length !== PSK_BYTES) {
      throw new UsageError('the pre-shared key of 32 bytes is missing');
    }
    this.failed = true;
    return tokens;
  }

  staticKey() {
    if (!this.s) throw new UsageError('this pattern needs a static key of ours');
    return this.s;
  }

  /** The tokens that send nothing: `ee`, `es`, `se` and `psk`. @param {string} token */
  mixSecret(token) {
    if (token === 'psk') {
      this.symmetric.mixKeyAndHash(/** @type {Uint8Array} */ (this.psk));
      return;
    }
    const [ours, theirs] = this.initiator ? [0, 1] : [1, 0]; // "es": initiator's e, responder's s
    const key = token[ours] === 'e' ? /** @type {X25519Key} */ (this.e) : this.staticKey();
    const theirKey = token[theirs] === 'e' ? this.re : this.rs;
    this.symmetric.mixKey(key.exchange(/** @type {Uint8Array} */ (theirKey)));
  }
}
