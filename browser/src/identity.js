// A node's identity: made from entropy, time and salt, bound to two keys, gone after an hour; the
// same as `whispurrnet/identity/ephemeral.py`.
//
// The id is the hash of the public keys with the entropy, the time and the salt it was made from.
// A proof (240 bytes) says this, signed, with the time it is good for; the handshake carries it,
// and who receives it compares its static key with the one the handshake proved.
import { concat, isZero, readU32, readU64, u32, u64, zeros } from './bytes.js';
import { sha256, SigningKey, verify, X25519Key } from './crypto.js';
import { AuthError, UsageError } from './errors.js';

/** @typedef {import('./crypto.js').Entropy} Entropy */

export const PROOF_BYTES = 240;
export const LIFETIME_S = 3600;
export const OVERLAP_S = 600;
export const SKEW_S = 600;
export const LIFE_S_MAX = 8 * 86400;
const SIGNED_BYTES = PROOF_BYTES - 64;

/** What a node shows of its identity: public keys, what the id is made of, and a signature. */
export class Proof {
  /** @param {{staticKey: Uint8Array, signingKey: Uint8Array, entropy: Uint8Array, timestampMs: number,
   *   salt: Uint8Array, notBeforeS: number, notAfterS: number, signature: Uint8Array}} fields */
  constructor(fields) {
    this.staticKey = fields.staticKey;
    this.signingKey = fields.signingKey;
    this.entropy = fields.entropy;
    this.timestampMs = fields.timestampMs;
    this.salt = fields.salt;
    this.notBeforeS = fields.notBeforeS;
    this.notAfterS = fields.notAfterS;
    this.signature = fields.signature;
    /** The id of the node: computed, never believed. @type {Uint8Array} */
    this.id = sha256('WN1 node', this.staticKey, this.signingKey, this.entropy, u64(this.timestampMs), this.salt);
  }

  /** The part that is signed. @returns {Uint8Array} */
  unsigned() {
    return concat(
      this.staticKey, this.signingKey, this.entropy, u64(this.timestampMs), this.salt,
      u32(this.notBeforeS), u32(this.notAfterS), zeros(32),
    );
  }

  /** @returns {Uint8Array} 240 bytes */
  encode() {
    return concat(this.unsigned(), this.signature);
  }

  /** Read 240 bytes; nothing is checked but their shape. @param {Uint8Array} data */
  static decode(data) {
    if (data.length !== PROOF_BYTES || !isZero(data.subarray(144, SIGNED_BYTES))) {
      throw new AuthError('the identity proof is malformed');
    }
    const timestamp = readU64(data, 96);
    if (timestamp > BigInt(Number.MAX_SAFE_INTEGER)) throw new AuthError('the identity proof is malformed');
    return new Proof({
      staticKey: data.slice(0, 32),
      signingKey: data.slice(32, 64),
      entropy: data.slice(64, 96),
      timestampMs: Number(timestamp),
      salt: data.slice(104, 136),
      notBeforeS: readU32(data, 136),
      notAfterS: readU32(data, 140),
      signature: data.slice(SIGNED_BYTES),
    });
  }

  /** Check the signature and the time; throws AuthError. The caller compares `staticKey` besides.
   * @param {number} wallMs */
  verify(wallMs) {
    const life = this.notAfterS - this.notBeforeS;
    if (!(life > 0 && life <= LIFE_S_MAX)) {
      throw new AuthError("the peer's identity claims a lifetime that is not allowed");
    }
    if (wallMs < (this.notBeforeS - SKEW_S) * 1000 || wallMs > (this.notAfterS + SKEW_S) * 1000) {
      throw new AuthError("the peer's identity is not valid at this time; check the clocks of both machines");
    }
    verify(this.signingKey, concat('WN1 proof', this.unsigned()), this.signature);
  }
}

/** Our own identity for an hour or a day, with its private keys. */
export class Ephemeral {
  /** @param {X25519Key} staticKey @param {SigningKey} signing @param {Proof} proof @param {number} lifetimeS */
  constructor(staticKey, signing, proof, lifetimeS) {
    this.static = staticKey;
    this.signing = signing;
    this.proof = proof;
    this.id = proof.id;
    this.lifetimeS = lifetimeS;
  }

  /** @param {Entropy} entropy @param {number} wallMs @param {{lifetimeS?: number, overlapS?: number}} [options] */
  static generate(entropy, wallMs, { lifetimeS = LIFETIME_S, overlapS = OVERLAP_S } = {}) {
    if (!(lifetimeS > 0) || overlapS < 0 || lifetimeS + overlapS > LIFE_S_MAX) {
      throw new UsageError(`an identity lives 1 s to ${LIFE_S_MAX} s with its overlap, not ${lifetimeS} + ${overlapS}`);
    }
    const staticKey = X25519Key.generate(entropy);
    const signing = SigningKey.generate(entropy);
    const notBeforeS = Math.floor(wallMs / 1000);
    const fields = {
      staticKey: staticKey.public,
      signingKey: signing.public,
      entropy: entropy(32),
      timestampMs: Math.floor(wallMs),
      salt: entropy(32),
      notBeforeS,
      notAfterS: notBeforeS + lifetimeS + overlapS,
    };
    const unsigned = new Proof({ ...fields, signature: zeros(64) });
    const signature = signing.sign(concat('WN1 proof', unsigned.unsigned()));
    return new Ephemeral(staticKey, signing, new Proof({ ...fields, signature }), lifetimeS);
  }

  /** When its successor takes over, in unix milliseconds; the overlap comes after. */
  expiresMs() {
    return this.proof.timestampMs + this.lifetimeS * 1000;
  }

  /** When the overlap is over and peers refuse it, in unix milliseconds. */
  endsMs() {
    return this.proof.notAfterS * 1000;
  }

  /** Say that `next` is us as well, from now on. @param {Proof} next @returns {Uint8Array} 64 bytes */
  signSuccessor(next) {
    return this.signing.sign(successorText(this.proof, next));
  }

  /** Say that we have been `old`. @param {Proof} old @returns {Uint8Array} 64 bytes */
  signPredecessor(old) {
    return this.signing.sign(predecessorText(old, this.proof));
  }
}

/** Throws AuthError unless the owner of `old` named `next`. @param {Proof} old @param {Proof} next
 * @param {Uint8Array} signature */
export function verifySuccessor(old, next, signature) {
  verify(old.signingKey, successorText(old, next), signature);
}

/** Throws AuthError unless the owner of `next` says that it has been `old`. @param {Proof} old
 * @param {Proof} next @param {Uint8Array} signature */
export function verifyPredecessor(old, next, signature) {
  verify(next.signingKey, predecessorText(old, next), signature);
}

/** @param {Proof} old @param {Proof} next */
const successorText = (old, next) => concat('WN1 successor', old.id, next.encode());

/** @param {Proof} old @param {Proof} next */
const predecessorText = (old, next) => concat('WN1 predecessor', old.id, next.id);

/** The id form `<entropy_hex>:<timestamp_hex>`; it tells when it was made, so never send it.
 * @param {string} entropyHex @param {number} timestampMs */
export const seedId = (entropyHex, timestampMs) => `${entropyHex}:${timestampMs.toString(16).padStart(16, '0')}`;
