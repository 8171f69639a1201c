/**
 * The keyring: what a node listens to, and which envelopes it opens with that.
 *
 * The same as `gossip/keyring.py`: interests are kept by the first part of their path, so a message
 * costs one hash for each of these, and more only for what may be ours.
 */

import { hex } from '../bytes.js';
import { LimitError, UsageError } from '../errors.js';
import { unseal } from './envelope.js';
import { EVERYONE, featureKey, features, INTERESTS_MAX, match, normalise, slot } from './intent.js';

/** @typedef {import('./envelope.js').Envelope} Envelope */
/** @typedef {import('./envelope.js').Inside} Inside */
/** @typedef {import('./intent.js').Feature} Feature */

/**
 * @typedef {object} Heard A message that an interest matches.
 * @property {string} intent The interest, not the message's own intent; `EVERYONE`: for all.
 * @property {Uint8Array | null} key The topic key of the interest, or null.
 * @property {number} strength How much it matches, times how much the sender means it; 0 to 1.
 * @property {Inside} inside
 */

/** @typedef {{intent: string, key: Uint8Array | null, threshold: number, features: Feature[]}} Interest */

/** All interests with one first part of the path under one base key. */
class Root {
  /** @param {Uint8Array} base @param {string} first */
  constructor(base, first) {
    this.key = featureKey(base, first);
    /** @type {Map<string, Uint8Array>} */
    this.keys = new Map();
    /** @type {Interest[]} */
    this.interests = [];
  }

  /** @param {Uint8Array} base @param {Interest} interest */
  add(base, interest) {
    this.interests.push(interest);
    for (const [name] of interest.features) {
      if (!this.keys.has(name)) this.keys.set(name, featureKey(base, name));
    }
  }

  /**
   * @param {Envelope} envelope
   * @param {Set<string>} slots
   * @returns {Heard[]}
   */
  open(envelope, slots) {
    const there = new Set();
    for (const [name, key] of this.keys) {
      if (slots.has(hex(slot(key, envelope.nonce)))) there.add(name);
    }
    const matches = this.interests.filter((one) => match(one.features, there) >= one.threshold);
    if (!matches.length) return [];
    /** @type {Inside} */
    let inside;
    try {
      inside = unseal(this.key, envelope);
    } catch {
      return []; // sealed for somebody else
    }
    const said = new Set(features(inside.intent).map(([name]) => name));
    return matches.flatMap((one) => {
      const matched = match(one.features, there);
      const strength = matched * inside.strength;
      const isTrue = strength >= one.threshold && match(one.features, said) === matched;
      return isTrue ? [{ intent: one.intent, key: one.key, strength, inside }] : [];
    });
  }
}

/** The interests of one node in one realm. It always hears what is for everyone in the realm. */
export class Keyring {
  #realm;
  /** @type {Map<string, Interest>} */
  #interests = new Map();
  /** @type {Root[]} */
  #roots = [];

  /** @param {import('./envelope.js').Realm} realm */
  constructor(realm) {
    this.#realm = realm;
    this.#arrange();
  }

  /**
   * Take up an interest; of one already there, the threshold is replaced.
   *
   * @param {string} intent What is said below it, or beside it, matches in part.
   * @param {object} [how]
   * @param {Uint8Array | null} [how.key] The topic key of a private topic, 32 bytes.
   * @param {number} [how.threshold] How strong a message must be; above 0, at most 1.
   * @throws {UsageError} It is no intent, no key, or no such threshold.
   * @throws {LimitError} There are too many already.
   */
  listen(intent, { key = null, threshold = 0.5 } = {}) {
    const normal = normalise(intent);
    if (key !== null && key.length !== 32) throw new UsageError('the key of a topic has 32 bytes');
    if (!(threshold > 0 && threshold <= 1)) {
      throw new UsageError(`a threshold is above 0 and at most 1, not ${threshold}`);
    }
    const where = placeOf(normal, key);
    if (!this.#interests.has(where) && this.#interests.size >= INTERESTS_MAX) {
      throw new LimitError(`a node listens to at most ${INTERESTS_MAX} intents; stop one first`);
    }
    this.#interests.set(where, { intent: normal, key, threshold, features: features(normal) });
    this.#arrange();
  }

  /**
   * Give an interest up; one that is not there is none to give up.
   *
   * @param {string} intent
   * @param {Uint8Array | null} [key]
   */
  leave(intent, key = null) {
    if (this.#interests.delete(placeOf(normalise(intent), key))) this.#arrange();
  }

  /**
   * What a message says to the interests that it matches well enough, one for each.
   *
   * @param {Envelope} envelope It should be verified.
   * @returns {Heard[]}
   */
  open(envelope) {
    const slots = new Set(envelope.slots.map(hex));
    return this.#roots.flatMap((root) =>
      slots.has(hex(slot(root.key, envelope.nonce))) ? root.open(envelope, slots) : [],
    );
  }

  #arrange() {
    const everyone = { intent: EVERYONE, key: null, threshold: 0, features: features(EVERYONE) };
    /** @type {Map<string, Root>} */
    const roots = new Map();
    for (const interest of [everyone, ...this.#interests.values()]) {
      const base = interest.key ?? this.#realm.base;
      const first = interest.features[0][0];
      const where = placeOf(first, interest.key);
      const root = roots.get(where) ?? new Root(base, first);
      roots.set(where, root);
      root.add(base, interest);
    }
    this.#roots = [...roots.values()];
  }
}

/**
 * Where an interest is kept.
 *
 * @param {string} intent
 * @param {Uint8Array | null} key
 */
export function placeOf(intent, key) {
  return `${key ? hex(key) : ''} ${intent}`;
}
