// A long-term identity, shown only inside an encrypted channel and bound to it; the same as
// `whispurrnet/identity/persona.py`. This side proves with Ed25519 alone, and checks ML-DSA-65 too.
// Source of the safety number: Signal's fingerprint, version 0.
import { concat, hex, u8 } from './bytes.js';
import { bytes, optional, record } from './codec.js';
import { hkdf, mldsaVerify, sha256, sha512, SigningKey, verify } from './crypto.js';
import { AuthError, UsageError } from './errors.js';
import { NOTHING } from './bytes.js';

const SAFETY_ROUNDS = 5200;

/** @typedef {{signingKey: Uint8Array, signature: Uint8Array, mldsaKey: Uint8Array, mldsaSignature: Uint8Array}} PersonaProof */

/** The field of a hello that holds a proof. */
export const personaProof = () => record(
  {
    signingKey: bytes(32),
    signature: bytes(64),
    mldsaKey: optional(bytes(0, 1952), NOTHING),
    mldsaSignature: optional(bytes(0, 3309), NOTHING),
  },
  { exact: true },
);

export class Persona {
  /** @param {Uint8Array} seed 32 secret bytes; the same seed gives the same persona. */
  constructor(seed) {
    if (seed.length !== 32) throw new UsageError(`the seed of a persona has 32 bytes, not ${seed.length}`);
    this.signing = new SigningKey(hkdf(seed, { info: 'WN1 persona ed25519' }));
    this.id = personaId(this.signing.public, NOTHING);
  }

  /** Show this persona to the other end of one channel.
   * @param {Uint8Array} binding `keys.export('channel-binding')`
   * @param {number} role 0 at the end that opened the connection, 1 at the other @returns {PersonaProof} */
  prove(binding, role) {
    return {
      signingKey: this.signing.public,
      signature: this.signing.sign(proofText(this.id, binding, role)),
      mldsaKey: NOTHING,
      mldsaSignature: NOTHING,
    };
  }
}

/** The id of the persona at the other end; throws AuthError. @param {PersonaProof} proof
 * @param {Uint8Array} binding @param {number} role Of the end that showed it. */
export function verifyPersona(proof, binding, role) {
  if (Boolean(proof.mldsaKey.length) !== Boolean(proof.mldsaSignature.length)) {
    throw new AuthError("the persona's proof is malformed");
  }
  const id = personaId(proof.signingKey, proof.mldsaKey);
  const text = proofText(id, binding, role);
  verify(proof.signingKey, text, proof.signature);
  if (proof.mldsaKey.length) mldsaVerify(proof.mldsaKey, text, proof.mldsaSignature);
  return id;
}

/** @param {Uint8Array} signingKey @param {Uint8Array} mldsaKey */
const personaId = (signingKey, mldsaKey) => sha256('WN1 persona', signingKey, mldsaKey);

/** @param {Uint8Array} id @param {Uint8Array} binding @param {number} role */
const proofText = (id, binding, role) => concat('WN1 persona proof', u8(role), sha256(binding), id);

/** Sixty digits in twelve groups of five, the same for both sides. @param {Uint8Array} a @param {Uint8Array} b */
export function safetyNumber(a, b) {
  const digits = [half(a), half(b)].sort().join('');
  return /** @type {string[]} */ (digits.match(/.{5}/g)).join(' ');
}

/** @param {Uint8Array} key */
function half(key) {
  let digest = sha512(Uint8Array.of(0, 0), key, 'WN1', key);
  for (let round = 1; round < SAFETY_ROUNDS; round++) digest = sha512(digest, key);
  let digits = '';
  for (let n = 0; n < 30; n += 5) {
    digits += String(parseInt(hex(digest.subarray(n, n + 5)), 16) % 100000).padStart(5, '0');
  }
  return digits;
}
