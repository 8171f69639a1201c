// Of two sessions with one peer, which stays: the same answer on both sides; what
// `whispurrnet/stack/moving.py` decides, as far as a session is not carried over but made anew.
import { hex } from './bytes.js';
import { sha256 } from './crypto.js';

/** @typedef {import('./session.js').Session} Session */

const GLARE_S = 10;
const QUIET = 1.5;

/** How good a path is: a direct one is better than a relay. @param {string} path */
export const rank = (path) => (path === 'relay' ? 0 : 1);

/** Whether the new session takes the place of the old one.
 * @param {Session} old @param {Session} fresh @param {number} now
 * @param {boolean} asked Whether its maker says that it holds the old one. */
export function newcomerWins(old, fresh, now, asked) {
  const heartbeat = /** @type {import('./channel.js').Channel} */ (old.channel).heartbeat;
  const leftover = now - heartbeat.heardAt > QUIET * heartbeat.intervalS;
  if (asked && rank(fresh.path) < rank(old.path)) return leftover;
  if (fresh.path === 'webrtc' || old.initiator === fresh.initiator || now - old.sinceS > GLARE_S) return true;
  if (rank(old.path) !== rank(fresh.path)) return rank(fresh.path) > rank(old.path);
  return !keepFirst(old, fresh);
}

/** The initiator's static keys decide, and then the handshake hashes. @param {Session} first @param {Session} second */
function keepFirst(first, second) {
  const order = (/** @type {Session} */ session) => hex(sha256(session.opener)) + hex(session.done?.keys.hash ?? new Uint8Array(0));
  return order(first) <= order(second);
}
