// A node of the mesh, as an application uses it: peers, whispers, resonance.
//
//   const node = await open({ bootstrap: [ticket] });
//   node.on('whisper', (message) => show(message.from, message.text));
//   for await (const message of node.join('tea/green')) show(message.text);
import { hex } from './bytes.js';
import { networkKey } from './crypto.js';
import { Endpoint } from './endpoint.js';
import { LimitError, UsageError } from './errors.js';
import { Feed } from './feed.js';
import { GOSSIP, VIEW } from './frame.js';
import { BROADCAST, EMERGENCY } from './gossip/hearing.js';
import { realmKey } from './gossip/envelope.js';
import { EVERYONE, normalise } from './gossip/intent.js';
import { placeOf } from './gossip/keyring.js';
import { Mesh } from './gossip/mesh.js';
import { GOSSIPS } from './greeting.js';
import { numberOf } from './kinds.js';
import { bytesOf, keyOf, Message, shown, Topic } from './message.js';
import { Names } from './names.js';
import { Ticket } from './ticket.js';

const TICK_MIN_S = 0.02;
const PEERS_MAX = 64;

/** @typedef {import('./gossip/hearing.js').News} News */
/** @typedef {string | Uint8Array} Body */

/**
 * Start a node: an identity of its own for an hour, and then the next.
 *
 * @param {ConstructorParameters<typeof Node>[0]} [options]
 * @returns {Promise<Node>} Once it is connected to one of `bootstrap`, if there are any.
 */
export async function open(options = {}) {
  const node = new Node(options);
  await node.start();
  return node;
}

export class Node {
  #endpoint;
  #mesh;
  #names;
  #bootstrap;
  #timeoutS;
  #peersMax;
  /** @type {Map<string, Set<Topic>>} */
  #topics = new Map();
  /** @type {Map<string, Set<(value: any) => void>>} */
  #handlers = new Map();
  /** @type {Map<string, (body: Uint8Array, peer: any) => Body | Promise<Body>>} */
  #answers = new Map();
  /** @type {() => void} */
  #cancel = () => {};
  #due = Infinity;
  #startedAt = 0;
  #counts = { sent: 0, received: 0 };

  /**
   * @param {object} [options]
   * @param {string[]} [options.bootstrap] Tickets or addresses of nodes to connect to, and to stay
   *   connected to.
   * @param {string | Uint8Array} [options.networkSecret] That of a private network, as
   *   `network_secret` of its nodes.
   * @param {number} [options.timeoutS] How long to wait for the first of them.
   * @param {number} [options.maxPeers]
   * @param {number} [options.shardBits] As `gossip.shard_bits` of the nodes.
   * @param {Record<string, any>} [options.endpoint] Further settings of the endpoint: `relays`,
   *   `iceServers`, `webrtc`, `persona`, `heartbeatS`, `WebSocket`, `RTCPeerConnection`.
   */
  constructor({ bootstrap = [], networkSecret, maxPeers = PEERS_MAX, shardBits = 0, timeoutS = 15, ...rest } = {}) {
    const secret = typeof networkSecret === 'string' ? networkKey(networkSecret) : networkSecret;
    if (secret && secret.length !== 32) throw new UsageError('networkSecret is a text, or a key of 32 bytes');
    if (!(Number.isInteger(maxPeers) && maxPeers > 0)) throw new UsageError('maxPeers is 1 or more');
    this.#bootstrap = bootstrap;
    this.#timeoutS = timeoutS;
    this.#peersMax = maxPeers;
    const endpoint = new Endpoint({ ...rest.endpoint, networkSecret: secret, capabilities: GOSSIPS });
    this.#endpoint = endpoint;
    this.#mesh = new Mesh(
      {
        send: (handle, type, body, priority) => {
          const peer = endpoint.peers.find((one) => one.handle === handle);
          peer?.sendFrame(type, body, priority);
        },
        tell: (news) => this.#heard(news),
        neighbour: (handle, active) => this.#emit('neighbour', { handle, active }),
        now: () => endpoint.now(),
        wallMs: () => endpoint.wallMs(),
        entropy: (n) => endpoint.entropy(n),
        identity: () => endpoint.identity,
        changed: () => this.#schedule(),
      },
      { networkSecret: secret ?? null, shardBits },
    );
    this.#names = new Names(endpoint, realmKey(secret ?? null));
    endpoint.use(GOSSIP, {
      up: (/** @type {any} */ peer) => {
        if (peer.capabilities & GOSSIPS) this.#mesh.up(peer.handle);
      },
      down: (/** @type {any} */ peer) => this.#mesh.down(peer.handle),
      frame: (/** @type {any} */ peer, /** @type {Uint8Array} */ body) =>
        this.#mesh.frame(peer.handle, GOSSIP, body),
    });
    endpoint.use(VIEW, {
      frame: (/** @type {any} */ peer, /** @type {Uint8Array} */ body) =>
        this.#mesh.frame(peer.handle, VIEW, body),
    });
    endpoint.on('whisper', (/** @type {any} */ { peer, kind, body, markRead }) => {
      this.#counts.received += 1;
      this.#emit('whisper', new Message({ body, kind, from: peer.id, peer, markRead }));
    });
    endpoint.on('asked', (/** @type {any} */ request) => this.#asked(request));
    for (const name of ['up', 'down', 'path', 'presence', 'renamed', 'warn', 'address']) {
      endpoint.on(name, (/** @type {any} */ value) => this.#emit(name, value));
    }
  }

  /** Start, and connect to the bootstrap nodes; `open` does it. */
  async start() {
    await this.#endpoint.start();
    this.#startedAt = this.#endpoint.now();
    if (!this.#bootstrap.length) return;
    const calls = this.#bootstrap.map((/** @type {string} */ one) => this.connect(one, { timeoutS: this.#timeoutS }));
    try {
      await Promise.any(calls);
    } catch (error) {
      await this.close();
      throw error instanceof AggregateError ? error.errors[0] : error;
    }
  }

  /** Say goodbye to all, and stop. */
  async close() {
    this.#cancel();
    for (const topics of this.#topics.values()) for (const topic of [...topics]) topic.close();
    await this.#endpoint.stop();
  }

  async [Symbol.asyncDispose]() {
    await this.close();
  }

  // Who

  /** The id of this node, 64 hexadecimal digits; another one every hour. */
  get id() {
    return hex(this.#endpoint.id);
  }

  /** Where others reach this node, if a relay took it in. */
  get ticket() {
    const ticket = this.#endpoint.ticket();
    return ticket?.addresses.length ? ticket.text : null;
  }

  /** Who is connected now. */
  get peers() {
    return this.#endpoint.peers;
  }

  /** The connected peer with this id, or with the only id that begins so (8 digits at least). @param {string} id */
  peer(id) {
    const name = id.toLowerCase();
    const alike = this.peers.filter((/** @type {any} */ peer) => hex(peer.id).startsWith(name));
    return name.length >= 8 && alike.length === 1 ? alike[0] : undefined;
  }

  /** How many peers this node gossips with. */
  get neighbours() {
    return this.#mesh.neighbours.length;
  }

  /**
   * Connect to a node, and stay connected until `peer.close()`.
   *
   * @param {string} ticket A ticket or an address.
   * @param {{timeoutS?: number, keep?: boolean}} [options]
   */
  async connect(ticket, { timeoutS = 15, keep = true } = {}) {
    if (this.peers.length >= this.#peersMax) {
      throw new LimitError(`there are ${this.#peersMax} peers already, as maxPeers says`);
    }
    return this.#endpoint.connect(ticket, { timeoutS, keep });
  }

  /**
   * Be found under a name from now on. It takes a relay that has a place for this node, and a
   * connected node that keeps names.
   *
   * @param {string} name
   */
  register(name) {
    this.#names.register(name);
  }

  /**
   * The tickets of those who are registered under a name, as the connected nodes know them. Whoever
   * knows the name can be among them: compare ids where it matters.
   *
   * @param {string} name
   * @returns {Promise<string[]>}
   */
  async find(name) {
    const contacts = await this.#names.find(name);
    return contacts.map(
      ({ key, addresses, expiresS }) => new Ticket({ staticKey: key, addresses, expiresS }).text,
    );
  }

  // Whispers

  /**
   * Say something to one peer, encrypted from end to end.
   *
   * @param {any} peer A peer, or its id.
   * @param {Body} body
   * @param {{kind?: string | number, priority?: number, ttlS?: number}} [options]
   */
  whisper(peer, body, { kind = 'WHISPER', ...options } = {}) {
    const receipt = this.#peerOf(peer).whisper(bytesOf(body), { ...options, kind: numberOf(kind) });
    this.#counts.sent += 1;
    return {
      get state() {
        return receipt.state;
      },
      /** Once the other side has it; throws when it did not get it in time. */
      received: () => receipt.wait('received'),
      /** Once the application there marked it as read. */
      read: () => receipt.wait('read'),
    };
  }

  /**
   * Ask a peer, and wait for its answer.
   *
   * @param {any} peer
   * @param {string} name
   * @param {Body} body
   * @param {{timeoutS?: number}} [options]
   * @returns {Promise<Uint8Array>}
   */
  ask(peer, name, body, options = {}) {
    return this.#peerOf(peer).ask(name, bytesOf(body), options);
  }

  /** Answer what peers ask under this name. @param {string} name @param {(body: Uint8Array, peer: any) => Body | Promise<Body>} fn */
  answer(name, fn) {
    this.#answers.set(name, fn);
  }

  // Resonance

  /**
   * Listen to an intent, such as `sensor/heart#urgent`.
   *
   * @param {string} intent
   * @param {object} [options]
   * @param {Uint8Array | string | null} [options.key] 32 bytes of a private topic, or their digits.
   * @param {number} [options.threshold] How strong a message must be, above 0 and at most 1.
   * @returns {Topic & AsyncIterableIterator<Message>}
   */
  join(intent, { key = null, threshold = 0.5 } = {}) {
    const secret = keyOf(key);
    const where = placeOf(normalise(intent), secret);
    const topic = new Topic(this, normalise(intent), secret, () => {
      const others = this.#topics.get(where);
      others?.delete(topic);
      if (others?.size) return;
      this.#topics.delete(where);
      this.#mesh.unlisten(intent, secret);
    });
    this.#topics.set(where, (this.#topics.get(where) ?? new Set()).add(topic));
    try {
      this.#mesh.listen(intent, { key: secret, threshold });
    } catch (error) {
      this.#topics.get(where)?.delete(topic);
      throw error;
    }
    return /** @type {any} */ (topic);
  }

  /**
   * Say something to whoever listens to an intent.
   *
   * @param {string} intent
   * @param {Body} body At most 15,360 bytes.
   * @param {object} [options]
   * @param {Uint8Array | string | null} [options.key]
   * @param {number} [options.strength]
   * @param {number} [options.priority]
   * @param {number} [options.ttlS] At most 300.
   * @param {boolean} [options.signed] Whether listeners are told who says it.
   * @param {boolean} [options.oneOf] Whether any one of the listeners is enough.
   * @returns {Promise<{id: string, neighbours: number}>}
   */
  async resonate(intent, body, { key = null, ...options } = {}) {
    this.#counts.sent += 1;
    return shown(await this.#mesh.resonate(intent, bytesOf(body), { ...options, key: keyOf(key) }));
  }

  /**
   * Say something to everyone in the mesh.
   *
   * @param {Body} body
   * @param {{urgent?: boolean, ttlS?: number, signed?: boolean}} [options] urgent: an emergency.
   */
  async broadcast(body, options = {}) {
    this.#counts.sent += 1;
    return shown(await this.#mesh.broadcast(bytesOf(body), options));
  }

  // News

  /**
   * Be told of what happens: `whisper`, `resonance` and `broadcast` with a `Message`; `up` and `path`
   * with `{peer}`, `down` with `{peer, reason}`, and what else the endpoint tells.
   *
   * @param {string} name
   * @param {(value: any) => void} fn
   * @returns {() => void} Ends it.
   */
  on(name, fn) {
    const handlers = this.#handlers.get(name) ?? new Set();
    this.#handlers.set(name, handlers.add(fn));
    return () => void handlers.delete(fn);
  }

  /** The whispers to this node, to be read with `for await`. @returns {Feed<Message>} */
  whispers() {
    /** @type {Feed<Message>} */
    const feed = new Feed(() => off());
    const off = this.on('whisper', (message) => feed.push(message));
    return feed;
  }

  /** Figures by the names of the seeds. */
  getStats() {
    const rtts = this.peers.map((/** @type {any} */ peer) => peer.rttS).filter((/** @type {any} */ rtt) => rtt);
    const copies = this.#mesh.stats.map(({ received, duplicates }) => [received, received + duplicates]);
    const [fresh, all] = copies.reduce(([a, b], [c, d]) => [a + c, b + d], [0, 0]);
    const mean = rtts.reduce((/** @type {number} */ sum, /** @type {number} */ rtt) => sum + rtt, 0) / rtts.length;
    return {
      connectedPeers: this.peers.length,
      messagesSent: this.#counts.sent,
      messagesReceived: this.#counts.received,
      averageLatency: rtts.length ? mean * 1000 : null,
      uptime: Math.round((this.#endpoint.now() - this.#startedAt) * 1000),
      activeExtensions: [],
      gossipEfficiency: all ? fresh / all : null,
    };
  }

  /** @param {News} news */
  #heard(news) {
    this.#counts.received += 1;
    const message = new Message({ body: news.payload, kind: news.kind, from: news.author, news });
    if (news.intent === EVERYONE) {
      if (news.kind === BROADCAST || news.kind === EMERGENCY) this.#emit('broadcast', message);
      return;
    }
    for (const topic of this.#topics.get(placeOf(news.intent, news.key)) ?? []) topic.push(message);
    this.#emit('resonance', message);
  }

  /** @param {any} request */
  async #asked({ name, body, peer, answer }) {
    const fn = this.#answers.get(name);
    if (!fn) return answer(undefined, 'nobody answers that here');
    try {
      answer(bytesOf(await fn(body, peer)));
    } catch {
      answer(undefined, 'the application failed');
    }
  }

  /** @param {string} name @param {any} value */
  #emit(name, value) {
    for (const fn of [...(this.#handlers.get(name) ?? [])]) fn(value);
  }

  #schedule() {
    const due = this.#mesh.deadline;
    if (due === this.#due) return;
    this.#cancel();
    this.#due = due;
    if (due < Infinity) this.#cancel = this.#endpoint.schedule(Math.max(due, this.#endpoint.now() + TICK_MIN_S), () => {
      this.#due = Infinity;
      this.#mesh.tick();
    });
  }

  /** @param {any} peer */
  #peerOf(peer) {
    const found = typeof peer === 'string' ? this.peer(peer) : peer;
    if (!found) throw new UsageError(`${peer} is not connected; connect to it first`);
    return found;
  }
}
