/** A token bucket: so much a second, and so much at once. */
export class Bucket {
  #perS;
  #burst;
  #level;
  #at = 0;

  /** @param {number} perS @param {number} burst */
  constructor(perS, burst) {
    this.#perS = perS;
    this.#burst = burst;
    this.#level = burst;
  }

  /**
   * Take `amount` if it is there; whether it was.
   *
   * @param {number} amount
   * @param {number} now In seconds.
   */
  take(amount, now) {
    this.#level = Math.min(this.#burst, this.#level + Math.max(0, now - this.#at) * this.#perS);
    this.#at = Math.max(this.#at, now);
    if (amount > this.#level) return false;
    this.#level -= amount;
    return true;
  }
}
