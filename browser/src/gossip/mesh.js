/**
 * The mesh, as a browser takes part in it: one overlay for each shard, what it says and hears.
 *
 * A core like `stack/gossiping.py`, `stack/speaking.py` and `stack/overlay.py` together: time is an
 * argument, and what it wants done it tells its host. As a leaf it
 *   - is a guest of the nodes it is connected to, and passes on between them what each lacks;
 *   - hands what it says to one of them to walk on (the stem), and spreads it itself when it has not
 *     come back in time; what it is handed to walk on it spreads at once, so it hides nobody else;
 *   - begins no comparisons, scores no neighbours, shows no membership: in a closed realm it hears
 *     nothing.
 */

import { concat, hex, utf8 } from '../bytes.js';
import { hmac } from '../crypto.js';
import { LimitError, ProtocolError, UsageError } from '../errors.js';
import { GOSSIP, VIEW } from '../frame.js';
import { Bucket } from './bucket.js';
import { admit, inspect, stamped } from './checker.js';
import { expiry, parse, Realm, realmKey, seal } from './envelope.js';
import { BROADCAST, EMERGENCY, Hearing, RESONANCE, TAKEN, TURN } from './hearing.js';
import { EVERYONE, normalise, root } from './intent.js';
import { Leaf } from './leaf.js';
import { Overlay } from './overlay.js';
import { CONTROL, PAYLOAD, Spread } from './spread.js';
import { solve } from './stamp.js';

const [STEM, LOAD] = [16, 17];
const CLAIM_TTL_S = 60;
const DRAFTS_MAX = 256;
const OWN_MAX = 4096;
const EPOCH_S = 600;
const EMBARGO_S = 2;
const EMBARGO_MEAN_S = 8;
const RATION_PER_S = 40;
const RATION_BURST = 800;
const FAULTS_BURST = 20;

/** @typedef {import('./hearing.js').News} News */
/** @typedef {import('./envelope.js').Signer} Signer */

/**
 * @typedef {object} MeshHost
 * @property {(peer: number, type: number, body: Uint8Array, priority: number) => void} send
 * @property {(news: News) => void} tell
 * @property {(peer: number, active: boolean) => void} neighbour
 * @property {() => number} now Monotonic, in seconds.
 * @property {() => number} wallMs
 * @property {(n: number) => Uint8Array} entropy
 * @property {() => Signer} identity
 * @property {() => void} changed Something may be due earlier than before.
 */

export class Mesh {
  #host;
  #realm;
  #shardBits;
  #hearing;
  /** @type {Map<number, Overlay>} */
  #overlays = new Map();
  /** @type {Map<number, {ration: Bucket, faults: Bucket}>} */
  #peers = new Map();
  /** @type {Set<string>} */
  #own = new Set();
  #drafts = 0;
  /** @type {Map<string, {overlay: Overlay, body: Uint8Array, due: number, walks: boolean}>} */
  #walking = new Map();
  #pace = new Bucket(4, 20);
  #successor = { peer: -1, until: -Infinity };

  /**
   * @param {MeshHost} host
   * @param {object} [how]
   * @param {Uint8Array | null} [how.networkSecret]
   * @param {number} [how.shardBits] 0 to 8, the same everywhere in the realm.
   */
  constructor(host, { networkSecret = null, shardBits = 0 } = {}) {
    if (!(Number.isInteger(shardBits) && shardBits >= 0 && shardBits <= 8)) {
      throw new UsageError('shardBits is 0 to 8, as gossip.shard_bits of the nodes');
    }
    this.#host = host;
    this.#realm = new Realm(realmKey(networkSecret));
    this.#shardBits = shardBits;
    this.#hearing = new Hearing(this.#realm, {
      tell: (news) => host.tell(news),
      claim: (intent, key, id) => this.#claim(intent, key, id),
      wallMs: () => host.wallMs(),
      random: () => this.#random(),
    });
    this.#overlay(0);
  }

  /** When `tick` is wanted, in seconds; infinity if never. */
  get deadline() {
    let due = this.#hearing.deadline;
    for (const { leaf, spread } of this.#overlays.values()) {
      due = Math.min(due, leaf.deadline, spread.deadline);
    }
    for (const one of this.#walking.values()) due = Math.min(due, one.due);
    return due;
  }

  /** Who gossips with us in any shard. */
  get neighbours() {
    const all = [...this.#overlays.values()].flatMap(({ leaf }) => leaf.active);
    return [...new Set(all)];
  }

  /** What became of the messages that spread through this node. */
  get stats() {
    return [...this.#overlays.values()].map(({ spread }) => spread.stats);
  }

  // Peers

  /** A session with a peer that gossips began. @param {number} peer */
  up(peer) {
    const now = this.#host.now();
    this.#peers.set(peer, {
      ration: new Bucket(RATION_PER_S, RATION_BURST),
      faults: new Bucket(0.1, FAULTS_BURST),
    });
    for (const { leaf } of this.#overlays.values()) leaf.up(peer, now);
    this.#host.changed();
  }

  /** It ended. @param {number} peer */
  down(peer) {
    if (!this.#peers.delete(peer)) return;
    for (const overlay of this.#overlays.values()) {
      overlay.bits.delete(peer);
      overlay.leaf.down(peer);
    }
    if (this.#successor.peer === peer) this.#successor.until = -Infinity;
    this.#host.changed();
  }

  /**
   * A GOSSIP or a VIEW frame came.
   *
   * @param {number} peer
   * @param {number} type
   * @param {Uint8Array} body
   * @throws {ProtocolError} The peer broke the protocol.
   */
  frame(peer, type, body) {
    if (body.length < 2) throw new ProtocolError('a frame of gossip without anything in it');
    const account = this.#peers.get(peer);
    const overlay = this.#overlays.get(body[0]);
    if (!account || !overlay) return;
    const now = this.#host.now();
    const rest = body.subarray(1);
    if (type === VIEW) {
      overlay.leaf.arrived(peer, rest, now);
    } else if (!account.ration.take(1, now)) {
      this.#fault(peer);
    } else if (rest[0] === STEM) {
      this.#spread(overlay, rest.subarray(1), peer);
    } else if (rest[0] === LOAD) {
      if (rest.length !== 2) throw new ProtocolError('a neighbour tells of its load in another form');
      overlay.bits.set(peer, rest[1]);
    } else {
      overlay.spread.arrived(peer, rest, now);
    }
    this.#host.changed();
  }

  // Listening

  /**
   * Take up an interest.
   *
   * @param {string} intent
   * @param {{key?: Uint8Array | null, threshold?: number}} [how]
   */
  listen(intent, { key = null, threshold = 0.5 } = {}) {
    this.#hearing.keyring.listen(intent, { key, threshold });
    const normal = normalise(intent);
    const overlay = this.#overlay(this.#shardOf(normal, key));
    for (const { item } of overlay.spread.held(this.#host.now())) {
      if (!this.#own.has(item.key)) this.#hearing.catchUp(item.envelope, normal, key);
    }
  }

  /** Give one up. @param {string} intent @param {Uint8Array | null} [key] */
  unlisten(intent, key = null) {
    this.#hearing.keyring.leave(intent, key);
  }

  // Speaking

  /**
   * Spread a message to whoever listens to an intent; resolves once it is on its way.
   *
   * @param {string} intent
   * @param {Uint8Array} payload
   * @param {object} [how]
   * @param {number} [how.strength] How much it is meant, 0 to 1.
   * @param {number} [how.priority] 0 to 10.
   * @param {number} [how.ttlS] At most 300.
   * @param {Uint8Array | null} [how.key] That of a private topic.
   * @param {boolean} [how.signed] Whether listeners are to know who sent it.
   * @param {boolean} [how.oneOf] Whether any one of the listeners is enough.
   */
  resonate(intent, payload, { strength = 1, priority = 5, ttlS, key = null, signed, oneOf } = {}) {
    const kind = oneOf ? TURN : RESONANCE;
    const inside = { kind, strength, priority, intent: normalise(intent), payload };
    return this.#say(inside, key, { ttlS, signed, direct: false });
  }

  /**
   * Spread a message to everyone in the realm.
   *
   * @param {Uint8Array} payload
   * @param {{urgent?: boolean, ttlS?: number, signed?: boolean}} [how] urgent: an emergency, which
   *   overtakes everything and goes by no detour that would hide its origin.
   */
  broadcast(payload, { urgent = false, ttlS, signed } = {}) {
    const kind = urgent ? EMERGENCY : BROADCAST;
    const inside = { kind, strength: 1, priority: urgent ? 10 : 5, intent: EVERYONE, payload };
    return this.#say(inside, null, { ttlS, signed, direct: urgent });
  }

  /** @param {string} intent @param {Uint8Array | null} key @param {Uint8Array} id */
  #claim(intent, key, id) {
    const inside = { kind: TAKEN, strength: 1, priority: 5, intent, payload: id };
    this.#say(inside, key, { ttlS: CLAIM_TTL_S, direct: true }).catch(() => {}); // others may take it too
  }

  /**
   * @param {{kind: number, strength: number, priority: number, intent: string, payload: Uint8Array}} inside
   * @param {Uint8Array | null} key
   * @param {{ttlS?: number, signed?: boolean, direct: boolean}} how
   * @returns {Promise<{id: Uint8Array, neighbours: number}>}
   */
  async #say(inside, key, { ttlS, signed = false, direct }) {
    if (this.#drafts >= DRAFTS_MAX) {
      throw new LimitError(`${DRAFTS_MAX} messages wait for their stamps; wait for some of them`);
    }
    const { entropy, identity, wallMs } = this.#host;
    const overlay = this.#overlay(this.#shardOf(inside.intent, key));
    const expiryS = expiry(wallMs() / 1000, ttlS);
    const raw = seal(this.#realm, inside, {
      topicKey: key,
      expiryS,
      urgent: inside.kind === EMERGENCY,
      shard: overlay.shard,
      entropy,
      signer: signed ? identity() : null,
    });
    const { id } = parse(raw);
    this.#drafts += 1;
    let value;
    try {
      value = await solve(id, expiryS, overlay.advised, () => wallMs() / 1000 > expiryS);
    } finally {
      this.#drafts -= 1;
    }
    if (!value) throw new LimitError('the message was over before its stamp was found');
    this.#own.add(hex(id));
    if (this.#own.size > OWN_MAX) this.#own.delete(/** @type {string} */ ([...this.#own][0]));
    this.#send(overlay, hex(id), stamped(value, raw), direct);
    return { id, neighbours: overlay.leaf.active.length };
  }

  /** @param {Overlay} overlay @param {string} key @param {Uint8Array} body @param {boolean} direct */
  #send(overlay, key, body, direct) {
    const now = this.#host.now();
    if (direct || !overlay.leaf.active.length) {
      overlay.spread.publish(body, now);
    } else {
      this.#walking.set(key, { overlay, body, due: now, walks: false });
      this.#walk(now);
    }
    this.#host.changed();
  }

  // The stem

  /** Hand on what waits for its turn, and spread what did not come back. @param {number} now */
  #walk(now) {
    for (const [key, one] of this.#walking) {
      if (one.due > now) continue;
      const to = one.walks ? null : this.#route(one.overlay, now);
      if (to === null) {
        this.#walking.delete(key);
        this.#spread(one.overlay, one.body, null);
      } else if (this.#pace.take(1, now)) {
        one.walks = true;
        one.due = now + EMBARGO_S - EMBARGO_MEAN_S * Math.log(1 - this.#random());
        const data = concat(Uint8Array.of(one.overlay.shard, STEM), one.body);
        this.#host.send(to, GOSSIP, data, PAYLOAD);
      } else {
        one.due = now + 0.25;
      }
    }
  }

  /** Whom we hand our messages to, one and the same for some ten minutes. @param {Overlay} overlay @param {number} now */
  #route(overlay, now) {
    const { active } = overlay.leaf;
    if (!active.includes(this.#successor.peer) || this.#successor.until <= now) {
      if (!active.length) return null;
      const peer = active[Math.floor(this.#random() * active.length)];
      this.#successor = { peer, until: now + EPOCH_S * (1 + 0.1 * this.#random()) };
    }
    return this.#successor.peer;
  }

  // The overlays

  /** Bring a message into the open here. @param {Overlay} overlay @param {Uint8Array} body @param {number | null} from */
  #spread(overlay, body, from) {
    const now = this.#host.now();
    if (from !== null) {
      const item = inspect(body, now, this.#host.wallMs());
      if (overlay.spread.has(item.key) || item.expiresAt <= now) return;
      try {
        admit(this.#realm, overlay.shard, item, body);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        this.#fault(from);
        return;
      }
    }
    overlay.spread.publish(body.slice(), now);
  }

  /** @param {number} shard */
  #overlay(shard) {
    const known = this.#overlays.get(shard);
    if (known) return known;
    const host = this.#host;
    const random = () => this.#random();
    const leaf = new Leaf({
      send: (peer, body) => host.send(peer, VIEW, concat(Uint8Array.of(shard), body), CONTROL),
      enter: (peer) => {
        spread.add(peer);
        host.neighbour(peer, true);
      },
      leave: (peer) => {
        spread.remove(peer);
        host.neighbour(peer, this.neighbours.includes(peer));
      },
      random,
    });
    const spread = new Spread({
      inspect: (body, now) => inspect(body, now, host.wallMs()),
      admit: (item, body) => admit(this.#realm, shard, item, body),
      send: (peer, data, priority) =>
        host.send(peer, GOSSIP, concat(Uint8Array.of(shard), data), priority),
      deliver: (item, hop, now) => {
        this.#walking.delete(item.key);
        if (!this.#own.has(item.key)) this.#hearing.deliver(item.envelope, hop, now);
      },
      fault: (peer) => this.#fault(peer),
      random,
    });
    const overlay = new Overlay(shard, leaf, spread);
    this.#overlays.set(shard, overlay);
    for (const peer of this.#peers.keys()) leaf.up(peer, host.now());
    return overlay;
  }

  /** The shard of an intent: all that begin alike are in one. @param {string} intent @param {Uint8Array | null} key */
  #shardOf(intent, key) {
    if (!this.#shardBits || intent === EVERYONE) return 0;
    const base = key ?? this.#realm.base;
    return hmac(base, utf8('WN1 shard\0'), utf8(root(intent)))[0] >> (8 - this.#shardBits);
  }

  /** A peer did harm that may be a mistake; too much of it ends the session. @param {number} peer */
  #fault(peer) {
    if (this.#peers.get(peer)?.faults.take(1, this.#host.now()) === false) {
      throw new ProtocolError('a neighbour sends too much that is of no use');
    }
  }

  #random() {
    const [a, b, c, d] = this.#host.entropy(4);
    return (a * 2 ** 24 + b * 2 ** 16 + c * 2 ** 8 + d) / 2 ** 32;
  }

  // Time

  /** Do what is due. */
  tick() {
    const now = this.#host.now();
    this.#hearing.tick(now);
    for (const { leaf, spread } of this.#overlays.values()) {
      leaf.tick(now);
      spread.tick(now);
    }
    this.#walk(now);
    this.#host.changed();
  }
}
