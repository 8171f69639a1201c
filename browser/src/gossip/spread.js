/**
 * Spreading the messages of one shard: push to three, announce to the rest, ask for what lacks.
 *
 * A core, like `gossip/spread.py`: time is an argument, what it wants done it tells its host. What
 * it leaves out: announcements go one by one, and comparing is begun by the other side.
 *
 * Invariants:
 *   - a message is delivered, and forwarded, once at most;
 *   - what a peer announces, asks and compares is bounded, in size and in rate;
 *   - a frame that breaks the protocol changes nothing.
 */

import { concat, hex } from '../bytes.js';
import { ProtocolError } from '../errors.js';
import { answer, itemKey } from './compare.js';
import { Bucket } from './bucket.js';

export const [PUSH, IHAVE, IWANT, SYNC, SYNCED] = [1, 2, 3, 4, 5];
export const [URGENT, CONTROL, PAYLOAD] = [10, 6, 5];
const ONLY_ANNOUNCED = 1;
const ID_BYTES = 16;
const IDS_MAX = 256;

const FANOUT = 3;
const HOPS_MAX = 10;
const SERVED_HOP = 5;
const EAGER_BYTES_MAX = 4160;
const SEEN_S = 300;
const SEEN_MAX = 65_536;
const CACHE_MESSAGES = 1024;
const CACHE_BYTES = 4 * 2 ** 20;
const WANTS_MAX = 1024;
const WANT_TRIES = 5;
const WANT_AFTER_S = 0.4;
const WANT_SOON_S = 0.1;
const WANT_AGAIN_S = 1;
const PUSHED_PER_S = 4;
const PUSHED_BURST = 20;
const SERVED_PER_S = 512 * 1024;

/** @typedef {import('./envelope.js').Envelope} Envelope */

/**
 * @typedef {object} Item A message, read but not yet believed.
 * @property {string} key Its id in hexadecimal.
 * @property {Envelope} envelope
 * @property {number} expiresAt In monotonic seconds.
 */

/**
 * @typedef {object} Host What the spreading of messages wants of the mesh.
 * @property {(body: Uint8Array, now: number) => Item} inspect Throws what has not the shape.
 * @property {(item: Item, body: Uint8Array) => void} admit Throws what is forged.
 * @property {(peer: number, data: Uint8Array, priority: number) => void} send
 * @property {(item: Item, hop: number, now: number) => void} deliver
 * @property {(peer: number) => void} fault A peer did harm that may be a mistake.
 * @property {() => number} random From 0 to 1.
 */

/** @typedef {{body: Uint8Array, item: Item}} Held */
/** @typedef {{id: Uint8Array, announcers: number[], due: number, tries: number}} Want */

class Link {
  eager = new Bucket(PUSHED_PER_S, PUSHED_BURST);
  serving = new Bucket(SERVED_PER_S, 2 * SERVED_PER_S);
  comparing = new Bucket(1, 64);
  announced = 0;
}

export class Spread {
  #host;
  /** @type {Map<number, Link>} */
  #links = new Map();
  #own = new Bucket(PUSHED_PER_S, PUSHED_BURST);
  /** @type {Map<string, number>} */
  #seen = new Map();
  /** @type {Map<string, Held>} */
  #cache = new Map();
  #cacheBytes = 0;
  /** @type {Map<string, Want>} */
  #wants = new Map();
  stats = { received: 0, duplicates: 0, forwarded: 0, refused: 0, served: 0, asked: 0 };

  /** @param {Host} host */
  constructor(host) {
    this.#host = host;
  }

  /** When `tick` is wanted, in seconds; infinity if never. */
  get deadline() {
    let due = Infinity;
    for (const want of this.#wants.values()) due = Math.min(due, want.due);
    return due;
  }

  /** @param {number} peer */
  add(peer) {
    if (!this.#links.has(peer)) this.#links.set(peer, new Link());
  }

  /** @param {number} peer */
  remove(peer) {
    this.#links.delete(peer);
    for (const [key, want] of this.#wants) {
      want.announcers = want.announcers.filter((one) => one !== peer);
      if (!want.announcers.length) this.#wants.delete(key);
    }
  }

  /** Whether a message has been in the open here. @param {string} key */
  has(key) {
    return this.#seen.has(key);
  }

  /** The bodies of all messages that are kept and live. @param {number} now */
  held(now) {
    this.#expire(now);
    return [...this.#cache.values()];
  }

  /** Bring a message into the open. @param {Uint8Array} body @param {number} now */
  publish(body, now) {
    const item = this.#host.inspect(body, now);
    if (this.#seen.has(item.key) || item.expiresAt <= now) return;
    this.#take(item, body, -1, null, now);
  }

  /**
   * A frame of a neighbour came.
   *
   * @param {number} peer
   * @param {Uint8Array} data
   * @param {number} now
   * @throws {ProtocolError} It is malformed.
   */
  arrived(peer, data, now) {
    const link = this.#links.get(peer);
    if (!link) return;
    switch (data[0]) {
      case PUSH:
        this.#pushed(peer, link, data, now);
        break;
      case IHAVE:
        this.#announced(peer, link, data, now);
        break;
      case IWANT:
        this.#serve(peer, link, data, now);
        break;
      case SYNC:
        if (!link.comparing.take(1, now)) this.#host.fault(peer);
        else this.#answer(peer, data.subarray(1), now);
        break;
      case SYNCED:
        break; // we asked for none
      default:
        throw new ProtocolError('a neighbour sent a frame of gossip that there is not');
    }
  }

  /** Ask for what is due. @param {number} now */
  tick(now) {
    this.#expire(now);
    /** @type {Map<number, Uint8Array[]>} */
    const asks = new Map();
    for (const [key, want] of this.#wants) {
      if (want.due > now) continue;
      if (want.tries >= WANT_TRIES) {
        this.#wants.delete(key);
        continue;
      }
      const peer = want.announcers[want.tries % want.announcers.length];
      want.tries += 1;
      want.due = now + WANT_AGAIN_S * want.tries;
      const ids = asks.get(peer) ?? [];
      if (ids.length < 64) asks.set(peer, [...ids, want.id]);
    }
    for (const [peer, ids] of asks) {
      this.stats.asked += ids.length;
      this.#host.send(peer, concat(Uint8Array.of(IWANT), ...ids), CONTROL);
    }
  }

  /** @param {number} peer @param {Link} link @param {Uint8Array} data @param {number} now */
  #pushed(peer, link, data, now) {
    if (data.length < 2 || data[1] > HOPS_MAX) throw new ProtocolError('a push is malformed');
    const body = data.subarray(2);
    const item = this.#host.inspect(body, now);
    if (this.#seen.has(item.key)) {
      this.stats.duplicates += 1;
      return;
    }
    if (item.expiresAt <= now) return;
    try {
      this.#host.admit(item, body);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.stats.refused += 1;
      this.#host.fault(peer);
      return;
    }
    this.stats.received += 1;
    this.#take(item, body.slice(), data[1], peer, now);
  }

  /**
   * A message is here for the first time: remember it, forward it, deliver it.
   *
   * @param {Item} item
   * @param {Uint8Array} body
   * @param {number} hop
   * @param {number | null} origin
   * @param {number} now
   */
  #take(item, body, hop, origin, now) {
    const { urgent, id } = item.envelope;
    this.#remember(item, body, now);
    const announcers = this.#wants.get(item.key)?.announcers ?? [];
    this.#wants.delete(item.key);
    const targets = [...this.#links.keys()].filter(
      (peer) => peer !== origin && !announcers.includes(peer),
    );
    const credit = origin === null ? this.#own : this.#links.get(origin)?.eager;
    const quiet = hop >= HOPS_MAX || body.length > EAGER_BYTES_MAX || !credit?.take(1, now);
    const eager = quiet ? [] : urgent || hop < 0 ? targets.splice(0) : this.#choose(targets);
    for (const peer of targets) {
      const frame = concat(Uint8Array.of(IHAVE, quiet ? ONLY_ANNOUNCED : 0), id);
      this.#host.send(peer, frame, urgent ? URGENT : CONTROL);
    }
    const frame = concat(Uint8Array.of(PUSH, hop + 1), body);
    for (const peer of eager) this.#host.send(peer, frame, urgent ? URGENT : PAYLOAD);
    this.stats.forwarded += eager.length;
    this.#host.deliver(item, Math.max(hop, 0), now);
  }

  /** @param {Item} item @param {Uint8Array} body @param {number} now */
  #remember(item, body, now) {
    this.#seen.set(item.key, Math.max(item.expiresAt, now + SEEN_S));
    if (this.#seen.size > SEEN_MAX) this.#seen.delete(first(this.#seen));
    this.#cache.set(item.key, { body, item });
    this.#cacheBytes += body.length;
    while (this.#cache.size > CACHE_MESSAGES || this.#cacheBytes > CACHE_BYTES) {
      this.#forget(first(this.#cache));
    }
  }

  /** Take some at random out of `targets`. @param {number[]} targets */
  #choose(targets) {
    const chosen = [];
    while (targets.length && chosen.length < FANOUT) {
      const at = Math.floor(this.#host.random() * targets.length);
      chosen.push(...targets.splice(at, 1));
    }
    return chosen;
  }

  /** @param {number} peer @param {Link} link @param {Uint8Array} data @param {number} now */
  #announced(peer, link, data, now) {
    const soon = Boolean(data[1] & ONLY_ANNOUNCED) || this.#links.size === 1;
    for (const id of idsOf(data, 2)) {
      const key = hex(id);
      if (this.#seen.has(key)) continue;
      const want = this.#wants.get(key);
      if (want) {
        if (!want.announcers.includes(peer)) want.announcers.push(peer);
      } else if (this.#wants.size < WANTS_MAX) {
        const due = now + (soon ? WANT_SOON_S : WANT_AFTER_S);
        this.#wants.set(key, { id: id.slice(), announcers: [peer], due, tries: 0 });
      } else {
        this.#host.fault(peer);
        return;
      }
    }
  }

  /** @param {number} peer @param {Link} link @param {Uint8Array} data @param {number} now */
  #serve(peer, link, data, now) {
    this.#expire(now);
    for (const id of idsOf(data, 1)) {
      const held = this.#cache.get(hex(id));
      if (!held) continue;
      if (!link.serving.take(held.body.length, now)) return;
      const priority = held.item.envelope.urgent ? URGENT : PAYLOAD;
      this.#host.send(peer, concat(Uint8Array.of(PUSH, SERVED_HOP), held.body), priority);
      this.stats.served += 1;
    }
  }

  /** @param {number} peer @param {Uint8Array} query @param {number} now */
  #answer(peer, query, now) {
    const items = this.held(now).map(({ item }) =>
      itemKey(item.envelope.expiryS, item.envelope.id),
    );
    this.#host.send(peer, concat(Uint8Array.of(SYNCED), answer(items, query)), CONTROL);
  }

  /** @param {number} now */
  #expire(now) {
    for (const [key, held] of this.#cache) {
      if (held.item.expiresAt <= now) this.#forget(key);
    }
    for (const [key, until] of this.#seen) {
      if (until > now) break;
      this.#seen.delete(key);
    }
  }

  /** @param {string} key */
  #forget(key) {
    this.#cacheBytes -= this.#cache.get(key)?.body.length ?? 0;
    this.#cache.delete(key);
  }
}

/** @param {Map<string, unknown>} map */
function first(map) {
  return /** @type {string} */ (map.keys().next().value);
}

/** @param {Uint8Array} data @param {number} start */
function idsOf(data, start) {
  const size = data.length - start;
  if (size <= 0 || size % ID_BYTES || size > IDS_MAX * ID_BYTES) {
    throw new ProtocolError('a frame that names messages is malformed');
  }
  const ids = [];
  for (let at = start; at < data.length; at += ID_BYTES) ids.push(data.subarray(at, at + ID_BYTES));
  return ids;
}
