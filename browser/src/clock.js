// Time for what lives in a page or a process: the only module with timers of its own.

export class Clock {
  /** Monotonic seconds. */
  now() {
    return performance.now() / 1000;
  }

  /** Unix milliseconds. */
  wallMs() {
    return Date.now();
  }

  /** Call `fn` at a time; returns what takes that back. @param {number} atS @param {() => void} fn
   * @returns {() => void} */
  schedule(atS, fn) {
    const waitMs = Math.min(Math.max(0, (atS - this.now()) * 1000), 2 ** 31 - 1);
    const timer = setTimeout(fn, waitMs);
    return () => clearTimeout(timer);
  }

  /** @param {number} seconds @returns {Promise<void>} */
  sleep(seconds) {
    return new Promise((resolve) => this.schedule(this.now() + seconds, resolve));
  }
}

/** The value of a promise, or a rejection with `error` if it takes longer.
 * @template T @param {Promise<T>} promise @param {Clock} clock @param {number} seconds @param {() => Error} error
 * @returns {Promise<T>} */
export async function within(promise, clock, seconds, error) {
  /** @type {() => void} */
  let cancel = () => {};
  const late = new Promise((_, reject) => {
    cancel = clock.schedule(clock.now() + seconds, () => reject(error()));
  });
  try {
    return await Promise.race([promise, /** @type {Promise<never>} */ (late)]);
  } finally {
    cancel();
  }
}
