/**
 * Stamps: a little work that makes it dear to flood a mesh. The same as `gossip/stamp.py`.
 *
 * 16 bytes that give the SHA-256 of the message's id, its expiry and themselves enough leading zero
 * bits. To find one takes 2^bits hashes, so `solve` does it in turns and lets the page live.
 */

import { concat, u32 } from '../bytes.js';
import { sha256 } from '../crypto.js';

export const BITS_BASE = 14;
export const BITS_CAP = 20;
const VALUE_BYTES = 16;
const TRIES = 4096;

/**
 * Whether `value` is a stamp of at least `bits` bits.
 *
 * @param {Uint8Array} id
 * @param {number} expiryS
 * @param {Uint8Array} value
 * @param {number} bits
 */
export function verify(id, expiryS, value, bits) {
  return value.length === VALUE_BYTES && zeros(sha256(id, u32(expiryS), value)) >= bits;
}

/**
 * The first value of `tries` from `start` on that is a stamp; null if none is.
 *
 * @param {Uint8Array} id
 * @param {number} expiryS
 * @param {number} bits
 * @param {number} start
 * @param {number} tries
 */
export function attempt(id, expiryS, bits, start, tries) {
  const text = concat(id, u32(expiryS), new Uint8Array(VALUE_BYTES));
  const view = new DataView(text.buffer);
  for (let number = start; number < start + tries; number += 1) {
    view.setUint32(text.length - 4, number);
    if (zeros(sha256(text)) >= bits) return text.slice(-VALUE_BYTES);
  }
  return null;
}

/**
 * A stamp of so many bits; resolves to null if `isOver` says that nobody wants it any more.
 *
 * @param {Uint8Array} id
 * @param {number} expiryS
 * @param {number} bits
 * @param {() => boolean} isOver
 */
export async function solve(id, expiryS, bits, isOver) {
  for (let start = 0; !isOver(); start += TRIES) {
    const value = attempt(id, expiryS, bits, start, TRIES);
    if (value) return value;
    await breathe();
  }
  return null;
}

/** Let others have a turn; a page in the background waits no longer than one in the foreground. */
function breathe() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve(undefined);
    };
    port2.postMessage(null);
  });
}

/** @param {Uint8Array} digest */
function zeros(digest) {
  let count = 0;
  for (const byte of digest) {
    if (byte) return count + Math.clz32(byte) - 24;
    count += 8;
  }
  return count;
}
