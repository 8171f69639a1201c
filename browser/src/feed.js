// A bounded queue that is read with `for await`.

/** What waits at most, before the oldest is dropped. */
export const WAITING_MAX = 1024;

/**
 * @template T
 * @implements {AsyncIterableIterator<T>}
 */
export class Feed {
  /** @type {T[]} */
  #waiting = [];
  /** @type {((result: IteratorResult<T>) => void)[]} */
  #readers = [];
  #closed = false;
  #onClose;

  /** How many were dropped because nobody read them. */
  dropped = 0;

  /** @param {() => void} [onClose] */
  constructor(onClose = () => {}) {
    this.#onClose = onClose;
  }

  /** @param {T} value */
  push(value) {
    if (this.#closed) return;
    const reader = this.#readers.shift();
    if (reader) {
      reader({ value, done: false });
      return;
    }
    this.#waiting.push(value);
    if (this.#waiting.length > WAITING_MAX) {
      this.#waiting.shift();
      this.dropped += 1;
    }
  }

  /** End it: who reads gets what waits, and then the end. */
  close() {
    if (this.#closed) return;
    this.#closed = true;
    for (const reader of this.#readers.splice(0)) reader({ value: undefined, done: true });
    this.#onClose();
  }

  /** @returns {Promise<IteratorResult<T>>} */
  async next() {
    const value = this.#waiting.shift();
    if (value !== undefined) return { value, done: false };
    if (this.#closed) return { value: undefined, done: true };
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  /** What `break` in a `for await` calls. @returns {Promise<IteratorResult<T>>} */
  async return() {
    this.close();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}
