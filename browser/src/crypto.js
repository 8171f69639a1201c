// The primitives, by their field's names: all of @noble, which is audited, small and as fast here
// as what needs to be awaited (WebCrypto): a record of 64 KiB seals in 0.8 ms, a handshake in 3 ms.
// Sources: SHA-2 (FIPS 180-4), HMAC (RFC 2104), HKDF (RFC 5869), BLAKE2s (RFC 7693),
// ChaCha20-Poly1305 (RFC 8439), XChaCha20 (draft-irtf-cfrg-xchacha-03), X25519 (RFC 7748),
// Ed25519 (RFC 8032), ML-KEM (FIPS 203), ML-DSA-65 (FIPS 204).
import { chacha20poly1305, xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { ed25519, x25519 } from '@noble/curves/ed25519.js';
import { blake2s as nobleBlake2s } from '@noble/hashes/blake2.js';
import { hmac as nobleHmac } from '@noble/hashes/hmac.js';
import { sha256 as nobleSha256, sha512 as nobleSha512 } from '@noble/hashes/sha2.js';
import { ml_dsa65 } from '@noble/post-quantum/ml-dsa.js';
import { ml_kem1024, ml_kem512, ml_kem768 } from '@noble/post-quantum/ml-kem.js';
import { concat, isZero, NOTHING, u8 } from './bytes.js';
import { AuthError, UsageError } from './errors.js';

/** @typedef {(n: number) => Uint8Array} Entropy Gives that many unpredictable bytes. */

export const KEY_BYTES = 32;
export const TAG_BYTES = 16;
export const XNONCE_BYTES = 24;
const ENTROPY_STEP = 65536; // the most that getRandomValues gives at once

/** @type {Entropy} */
export function entropy(n) {
  const bytes = new Uint8Array(n);
  for (let at = 0; at < n; at += ENTROPY_STEP) {
    crypto.getRandomValues(bytes.subarray(at, at + ENTROPY_STEP));
  }
  return bytes;
}

// Hashes and keys

/** @param {(Uint8Array | string)[]} parts @returns {Uint8Array} */
export const sha256 = (...parts) => nobleSha256(concat(...parts));

/** @param {(Uint8Array | string)[]} parts @returns {Uint8Array} */
export const sha512 = (...parts) => nobleSha512(concat(...parts));

/** @param {Uint8Array} key @param {(Uint8Array | string)[]} parts @returns {Uint8Array} */
export const hmac = (key, ...parts) => nobleHmac(nobleSha256, key, concat(...parts));

/** HKDF-SHA-256, extract and expand.
 * @param {Uint8Array} ikm @param {{salt?: Uint8Array, info?: Uint8Array | string, n?: number}} [options]
 * @returns {Uint8Array} */
export function hkdf(ikm, { salt = NOTHING, info = NOTHING, n = 32 } = {}) {
  return hkdfExpand(hmac(salt.length ? salt : new Uint8Array(32), ikm), info, n);
}

/** The second step of HKDF alone. @param {Uint8Array} prk @param {Uint8Array | string} info @param {number} n
 * @returns {Uint8Array} */
export function hkdfExpand(prk, info, n = 32) {
  if (!(n > 0 && n <= 255 * 32)) throw new UsageError(`HKDF-SHA-256 gives 1 to 8160 bytes, not ${n}`);
  let block = NOTHING;
  let okm = NOTHING;
  for (let counter = 1; okm.length < n; counter++) {
    block = hmac(prk, block, info, u8(counter));
    okm = concat(okm, block);
  }
  return okm.slice(0, n);
}

/** The 32 bytes that a network's secret stands for: the same text as `network_secret` of a Python node.
 * @param {string} text At least 12 characters. @returns {Uint8Array} */
export function networkKey(text) {
  if (text.length < 12) throw new UsageError('a network secret of fewer than 12 characters can be guessed; take a longer one');
  return hkdf(concat(text), { info: 'WN1 network secret' });
}

/** @param {Uint8Array} data @param {{key?: Uint8Array, n?: number}} [options] @returns {Uint8Array} */
export function blake2s(data, { key, n = 32 } = {}) {
  return nobleBlake2s(data, key?.length ? { key, dkLen: n } : { dkLen: n });
}

// Sealing

/** ChaCha20-Poly1305 with a counted nonce of 12 bytes.
 * @param {Uint8Array} key @param {Uint8Array} nonce @param {Uint8Array} ad @param {Uint8Array} plaintext
 * @returns {Uint8Array} */
export function aeadSeal(key, nonce, ad, plaintext) {
  return chacha20poly1305(key, nonce, ad).encrypt(plaintext);
}

/** The plaintext, or null if it is not authentic.
 * @param {Uint8Array} key @param {Uint8Array} nonce @param {Uint8Array} ad @param {Uint8Array} sealed
 * @returns {Uint8Array | null} */
export function aeadOpen(key, nonce, ad, sealed) {
  if (sealed.length < TAG_BYTES) return null;
  try {
    return chacha20poly1305(key, nonce, ad).decrypt(sealed);
  } catch {
    return null;
  }
}

/** @param {Uint8Array} key @param {Uint8Array} nonce 24 bytes @param {Uint8Array} plaintext @param {Uint8Array} context
 * @returns {Uint8Array} */
export function xseal(key, nonce, plaintext, context = NOTHING) {
  return xchacha20poly1305(key, nonce, context).encrypt(plaintext);
}

/** Throws AuthError. @param {Uint8Array} key @param {Uint8Array} nonce 24 bytes @param {Uint8Array} sealed
 * @param {Uint8Array} context @returns {Uint8Array} */
export function xopen(key, nonce, sealed, context = NOTHING) {
  try {
    return xchacha20poly1305(key, nonce, context).decrypt(sealed);
  } catch (error) {
    throw new AuthError('the packet is not authentic', { cause: error });
  }
}

// Key exchange

export class X25519Key {
  /** @param {Uint8Array} secret 32 bytes */
  constructor(secret) {
    if (secret.length !== KEY_BYTES) throw new UsageError(`a private X25519 key has 32 bytes, not ${secret.length}`);
    this.secret = secret;
    /** @type {Uint8Array} */
    this.public = x25519.getPublicKey(secret);
  }

  /** @param {Entropy} source */
  static generate(source) {
    return new X25519Key(source(KEY_BYTES));
  }

  /** The 32-byte secret shared with the owner of `theirs`; throws AuthError for a point of low order.
   * @param {Uint8Array} theirs @returns {Uint8Array} */
  exchange(theirs) {
    try {
      const shared = x25519.getSharedSecret(this.secret, theirs);
      if (!isZero(shared)) return shared;
    } catch {
      // said below
    }
    throw new AuthError("the peer's X25519 key is unusable; the link is closed");
  }
}

/** The ML-KEM of each level: bit 3 of a mask is level 3. */
const KEMS = {
  MLKEM512: { level: 1, library: ml_kem512, publicBytes: 800, ciphertextBytes: 768 },
  MLKEM768: { level: 3, library: ml_kem768, publicBytes: 1184, ciphertextBytes: 1088 },
  MLKEM1024: { level: 5, library: ml_kem1024, publicBytes: 1568, ciphertextBytes: 1568 },
};

/** @typedef {{public: Uint8Array, decapsulate: (ciphertext: Uint8Array) => Uint8Array}} KemKey */

/** ML-KEM under the name it has in a Noise protocol. */
export class Kem {
  /** @param {string} name */
  constructor(name) {
    const found = KEMS[/** @type {keyof typeof KEMS} */ (name)];
    if (!found) throw new UsageError(`no KEM is called ${name}`);
    this.name = name;
    this.level = found.level;
    this.publicBytes = found.publicBytes;
    this.ciphertextBytes = found.ciphertextBytes;
    this.library = found.library;
  }

  /** @param {Entropy} source @returns {KemKey} */
  generate(source) {
    const { library, ciphertextBytes } = this;
    const pair = library.keygen(source(64));
    return {
      public: pair.publicKey,
      decapsulate(ciphertext) {
        if (ciphertext.length === ciphertextBytes) return library.decapsulate(ciphertext, pair.secretKey);
        throw new AuthError("the peer's ML-KEM ciphertext is unusable; the link is closed");
      },
    };
  }

  /** Throws AuthError if the key fails the modulus check of FIPS 203.
   * @param {Uint8Array} theirs @param {Uint8Array} [m] 32 random bytes; the library's own without them
   * @returns {[Uint8Array, Uint8Array]} ciphertext and secret */
  encapsulate(theirs, m) {
    try {
      const { cipherText, sharedSecret } = this.library.encapsulate(theirs, m);
      return [cipherText, sharedSecret];
    } catch (error) {
      throw new AuthError("the peer's ML-KEM key is unusable; the link is closed", { cause: error });
    }
  }
}

/** @param {number} level 1, 3 or 5 */
export function kemOfLevel(level) {
  return new Kem({ 1: 'MLKEM512', 3: 'MLKEM768', 5: 'MLKEM1024' }[level] ?? `of level ${level}`);
}

// Signatures

export class SigningKey {
  /** @param {Uint8Array} secret 32 bytes */
  constructor(secret) {
    this.secret = secret;
    /** @type {Uint8Array} */
    this.public = ed25519.getPublicKey(secret);
  }

  /** @param {Entropy} source */
  static generate(source) {
    return new SigningKey(source(KEY_BYTES));
  }

  /** @param {Uint8Array} data @returns {Uint8Array} 64 bytes */
  sign(data) {
    return ed25519.sign(data, this.secret);
  }
}

/** Throws AuthError: forged, or a key of low order.
 * @param {Uint8Array} key @param {Uint8Array} data @param {Uint8Array} signature */
export function verify(key, data, signature) {
  let good = false;
  try {
    good = ed25519.verify(signature, data, key, { zip215: false });
  } catch {
    // malformed: not good
  }
  if (!good) throw new AuthError('the signature is not authentic');
}

/** ML-DSA-65; throws AuthError. @param {Uint8Array} key @param {Uint8Array} data @param {Uint8Array} signature */
export function mldsaVerify(key, data, signature) {
  let good = false;
  try {
    good = ml_dsa65.verify(signature, data, key);
  } catch {
    // malformed: not good
  }
  if (!good) throw new AuthError('the signature is not authentic');
}
