// What keeps a peer from filling our memory or our time: a bucket of tokens, and a map that forgets.

/** Lets `perS` things a second pass, lastingly, and `burst` at once. */
export class TokenBucket {
  /** @param {number} perS @param {number} burst */
  constructor(perS, burst) {
    this.perS = perS;
    this.burst = burst;
    this.tokens = burst;
    this.at = -Infinity;
  }

  /** Whether `n` may pass now. @param {number} n @param {number} now */
  take(n, now) {
    if (now > this.at) {
      const gained = this.at === -Infinity ? 0 : (now - this.at) * this.perS;
      this.tokens = Math.min(this.burst, this.tokens + gained);
      this.at = now;
    }
    if (this.tokens < n) return false;
    this.tokens -= n;
    return true;
  }
}

/** A map of at most `max` entries: what was put or looked at longest ago goes first.
 * @template K, V */
export class LruMap {
  /** @param {number} max */
  constructor(max) {
    this.max = max;
    /** @type {Map<K, V>} */
    this.map = new Map();
  }

  get size() {
    return this.map.size;
  }

  /** @param {K} key */
  has(key) {
    return this.map.has(key);
  }

  /** @param {K} key @returns {V | undefined} */
  get(key) {
    const value = this.map.get(key);
    if (value !== undefined) {
      this.map.delete(key);
      this.map.set(key, value);
    }
    return value;
  }

  /** @param {K} key @param {V} value */
  set(key, value) {
    this.map.delete(key);
    this.map.set(key, value);
    if (this.map.size > this.max) this.map.delete(/** @type {K} */ (this.map.keys().next().value));
  }

  /** @param {K} key */
  delete(key) {
    return this.map.delete(key);
  }
}
