// The gate before a handshake: two short codes in the first message that cost microseconds to check,
// and, for a responder, a bound on what it answers. Both sides of `whispurrnet/session/gate.py`, but
// this responder asks for no cookies: its links come through a relay or a peer that bounds them.
// Source: Donenfeld, "WireGuard", section 5.4.7.
import { concat, equal, hex, NOTHING, startsWith, zeros } from './bytes.js';
import { blake2s, xopen, XNONCE_BYTES } from './crypto.js';
import { AuthError } from './errors.js';
import { MAC_BYTES, MACS_BYTES } from './payload.js';

export const COOKIE_HEAD = Uint8Array.of(2, 0, 0, 0);
export const COOKIE_REPLY_BYTES = 4 + XNONCE_BYTES + 2 * MAC_BYTES;
const REMEMBERED_MAX = 4096;
const HALF_OPEN_MAX = 64;

/** @param {string} label @param {Uint8Array | null} staticKey @param {Uint8Array | null} secret */
const key = (label, staticKey, secret) => blake2s(concat(label, staticKey ?? zeros(32), secret ?? NOTHING));

/** @param {Uint8Array} head @param {Uint8Array | null} staticKey @param {Uint8Array | null} secret */
const mac1 = (head, staticKey, secret) => blake2s(head, { key: key('WN1 mac1', staticKey, secret), n: MAC_BYTES });

/** A first message with its mac1 in place and no mac2. @param {Uint8Array} m1 Its last 32 bytes do not matter.
 * @param {Uint8Array | null} staticKey The responder's, or null in XX. @param {Uint8Array | null} secret Of the network. */
export function addressMacs(m1, staticKey, secret) {
  const head = m1.subarray(0, -MACS_BYTES);
  return concat(head, mac1(head, staticKey, secret), zeros(MAC_BYTES));
}

/** Whether mac1 shows that the sender knows the key and the network secret.
 * @param {Uint8Array} m1 @param {Uint8Array | null} staticKey @param {Uint8Array | null} secret */
export function isAddressed(m1, staticKey, secret) {
  return equal(mac1(m1.subarray(0, -MACS_BYTES), staticKey, secret), mac1Of(m1));
}

/** @param {Uint8Array} m1 */
const mac1Of = (m1) => m1.subarray(-MACS_BYTES, -MAC_BYTES);

/** A first message with its mac2 in place. @param {Uint8Array} m1 @param {Uint8Array} cookie */
export function addCookie(m1, cookie) {
  const head = m1.subarray(0, -MAC_BYTES);
  return concat(head, blake2s(head, { key: cookie, n: MAC_BYTES }));
}

/** The cookie in the answer to `m1`; throws AuthError if it is none.
 * @param {Uint8Array} reply @param {Uint8Array} m1 @param {Uint8Array | null} staticKey
 * @param {Uint8Array | null} secret */
export function openCookie(reply, m1, staticKey, secret) {
  if (reply.length !== COOKIE_REPLY_BYTES || !startsWith(reply, COOKIE_HEAD)) {
    throw new AuthError('the answer is no cookie reply');
  }
  const at = COOKIE_HEAD.length + XNONCE_BYTES;
  return xopen(key('WN1 cookie', staticKey, secret), reply.subarray(4, at), reply.subarray(at), mac1Of(m1));
}

/** What all responders of one node share: what it answered, and how much of that is unfinished. */
export class Gate {
  constructor(halfOpenMax = HALF_OPEN_MAX) {
    this.halfOpenMax = halfOpenMax;
    this.halfOpen = 0;
    /** @type {Set<string>} */
    this.answered = new Set();
  }

  /** Whether to answer a first message whose mac1 is right; from then on it is a replay.
   * @param {Uint8Array} m1 */
  enter(m1) {
    const mac = hex(mac1Of(m1));
    if (this.answered.has(mac) || this.halfOpen >= this.halfOpenMax) return false;
    this.answered.add(mac);
    if (this.answered.size > REMEMBERED_MAX) this.answered.delete(/** @type {string} */ (this.answered.values().next().value));
    this.halfOpen += 1;
    return true;
  }

  /** A handshake is finished, one way or the other. */
  leave() {
    this.halfOpen -= 1;
  }
}
