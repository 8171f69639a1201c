import { BITS_BASE, BITS_CAP } from './stamp.js';

/** @typedef {import('./leaf.js').Leaf} Leaf */
/** @typedef {import('./spread.js').Spread} Spread */

/** One shard of the realm. */
export class Overlay {
  /** @type {Map<number, number>} */
  bits = new Map();

  /** @param {number} shard @param {Leaf} leaf @param {Spread} spread */
  constructor(shard, leaf, spread) {
    this.shard = shard;
    this.leaf = leaf;
    this.spread = spread;
  }

  /** With how many bits to send: what is always asked, or the (lower) median of the neighbours. */
  get advised() {
    const theirs = [...this.bits.values()].sort((a, b) => a - b);
    const median = theirs.length ? theirs[(theirs.length - 1) >> 1] : 0;
    return Math.max(BITS_BASE, Math.min(median, BITS_CAP));
  }
}
