// When to ask whether the peer lives, and when it is taken for dead; `whispurrnet/session/heartbeat.py`.
// Anything authentic that comes is life. Source of the smoothed round trip: RFC 6298, section 2.
import { hex } from './bytes.js';

const PINGS_MAX = 8;

export class Heartbeat {
  /** @param {number} intervalS @param {number} deadAfter How many of them. @param {number} now */
  constructor(intervalS, deadAfter, now) {
    this.intervalS = intervalS;
    this.deadAfter = deadAfter;
    this.heardAt = now;
    this.sentAt = now;
    this.askedAt = now;
    /** The round trip, smoothed; null until the first was measured. @type {number | null} */
    this.rttS = null;
    /** @type {Map<string, number>} */
    this.asked = new Map();
  }

  /** When a PING is due. */
  get askAt() {
    return Math.max(Math.min(this.heardAt, this.sentAt), this.askedAt) + this.intervalS;
  }

  /** When the peer is taken for dead if nothing comes. */
  get deadAt() {
    return this.heardAt + this.intervalS * this.deadAfter;
  }

  /** Another time from now on, because one end falls asleep or wakes. @param {number} intervalS @param {number} now */
  stretch(intervalS, now) {
    if (intervalS === this.intervalS) return;
    this.intervalS = intervalS;
    this.heardAt = now;
  }

  /** A PING with this token is about to be sent. @param {Uint8Array} token @param {number} now */
  ask(token, now) {
    this.askedAt = now;
    if (this.asked.size >= PINGS_MAX) this.asked.delete(/** @type {string} */ (this.asked.keys().next().value));
    this.asked.set(hex(token), now);
  }

  /** A PONG came: the round trip in seconds, or null if nobody asked for it.
   * @param {Uint8Array} token @param {number} now */
  answer(token, now) {
    const askedAt = this.asked.get(hex(token));
    if (askedAt === undefined) return null;
    this.asked.delete(hex(token));
    const seconds = now - askedAt;
    this.rttS = this.rttS === null ? seconds : this.rttS + (seconds - this.rttS) / 8;
    return seconds;
  }
}
