// The two programming interfaces of the sources, word for word, on a node of ours.
//
// Source: seeds/001, "Usage" and "Network Statistics" (FEATURES B10, B11, B21); seeds/003, "WASM
// Bridge" (D21). Nothing here is WebAssembly: the name is the source's.
import { UsageError, WhispurrError } from './errors.js';
import { numberOf } from './kinds.js';
import { decode, encode } from './msgpack.js';
import { Node, open } from './node.js';
import { pageNode } from './origin.js';

const HERE = ['*', 'broadcast'];
const RELAYS_MAX = 2;

/**
 * A message of D21; what it is about goes with `send_message`.
 *
 * @param {string} type One of `Thought`, `AgentCoordination`, `SwarmSync`, `MetricsUpdate`,
 *   `Command`, `Response`, or another kind that can be whispered.
 * @param {string} source Who says it, such as `agent-1`: a name, which proves nothing.
 * @param {string} destination The id of a connected peer, a name that somebody is registered under,
 *   or `*` for all connected peers.
 * @param {number} [priority] 0 to 10.
 * @param {number} [ttl] How long it is tried, in seconds.
 */
export function create_neural_message(type, source, destination, priority = 5, ttl = 60) {
  numberOf(type);
  if (!(Number.isInteger(priority) && priority >= 0 && priority <= 10)) {
    throw new UsageError(`a priority is 0 to 10, not ${priority}`);
  }
  if (!(ttl > 0)) throw new UsageError(`a ttl is a number of seconds above 0, not ${ttl}`);
  return { type, source: String(source), destination: String(destination), priority, ttl };
}

/** The client of D21. */
export class WasmP2PClient {
  #name;
  /** @type {Node | null} */
  #node = null;
  /** @type {(message: any, payload: Uint8Array) => void} */
  #handler = () => {};

  /** @param {string} name What others find this client by; see `Node.register`. */
  constructor(name) {
    this.#name = String(name);
  }

  /** The node underneath, for all that this interface has no call for. */
  get node() {
    if (!this.#node) throw new UsageError('await client.initialize({...}) comes first');
    return this.#node;
  }

  /**
   * Start, and connect to the bootstrap peers: tickets, addresses, or names that they registered
   * under. Names are looked up at the peers given by ticket and, on a page that a node served, there.
   *
   * @param {object} [config]
   * @param {string[]} [config.bootstrap_peers]
   * @param {number} [config.max_peers]
   * @param {boolean} [config.quantum_resistant] True, or left out: it cannot be switched off.
   * @param {Uint8Array | string} [config.network_secret]
   * @param {Record<string, any>} [config.endpoint]
   */
  async initialize({
    bootstrap_peers: peers = [],
    max_peers: maxPeers = 50,
    quantum_resistant: isQuantumResistant = true,
    network_secret: networkSecret,
    endpoint,
  } = {}) {
    if (this.#node) return;
    if (isQuantumResistant !== true) {
      throw new UsageError(
        'quantum_resistant cannot be switched off: every session uses X25519 and ML-KEM together; ' +
          'leave it out or set it to true',
      );
    }
    const tickets = peers.filter(isTicket);
    const names = peers.filter((one) => !isTicket(one));
    const relays = tickets.slice(0, RELAYS_MAX); // so that others reach us, where these are relays
    const own = names.length ? await pageNode() : null;
    if (own) tickets.push(own.ticket);
    if (own?.relay) relays.push(own.ticket);
    if (names.length && !tickets.length) {
      throw new UsageError(`${names[0]} is a name: give the ticket of a node that knows it as well`);
    }
    const settings = { endpoint: { relays, ...endpoint }, maxPeers, networkSecret };
    const node = await open({ bootstrap: tickets, ...settings });
    node.on('whisper', (message) => this.#arrived(message));
    this.#node = node;
    node.register(this.#name);
    await Promise.all(names.map((name) => this.#meet(name)));
  }

  /**
   * Take what comes: `message` has the five fields of `create_neural_message`, and `peer`, the id of
   * who sent it: that is proven, the names are not.
   *
   * @param {(message: any, payload: Uint8Array) => void} handler
   */
  set_message_handler(handler) {
    this.#handler = handler;
  }

  /** @see create_neural_message */
  create_neural_message = create_neural_message;

  /**
   * Send a message; resolves once every peer it goes to has it.
   *
   * @param {ReturnType<typeof create_neural_message>} message
   * @param {Uint8Array} payload
   * @returns {Promise<number>} How many peers have it.
   * @throws {WhispurrError} Nobody is there under that destination, or it did not arrive in time.
   */
  async send_message(message, payload) {
    const { type, source, destination, priority, ttl } = message;
    const peers = await this.#peersOf(destination);
    const body = encode([source, destination, payload]);
    const options = { kind: type, priority, ttlS: ttl };
    const sent = peers.map((peer) => this.node.whisper(peer, body, options).received());
    await Promise.all(sent);
    return sent.length;
  }

  /** Say goodbye to all, and stop. */
  async close() {
    await this.#node?.close();
    this.#node = null;
  }

  /** @param {string} destination @returns {Promise<any[]>} */
  async #peersOf(destination) {
    if (HERE.includes(destination)) return [...this.node.peers];
    const known = this.node.peer(destination);
    return known ? [known] : this.#meet(destination);
  }

  /** Connect to those who are registered under a name. @param {string} name */
  async #meet(name) {
    const tickets = await this.node.find(name);
    const met = await Promise.allSettled(tickets.slice(0, 4).map((one) => this.node.connect(one)));
    const peers = met.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    if (!peers.length) {
      throw new UsageError(
        `nobody is there under ${JSON.stringify(name)}; they register under it, or give an id`,
      );
    }
    return [...new Set(peers)];
  }

  /** @param {import('./message.js').Message} message */
  #arrived({ kind, body, from, priority }) {
    let fields;
    try {
      fields = decode(body);
    } catch (error) {
      if (!(error instanceof WhispurrError)) throw error;
    }
    const [source, destination, payload] =
      Array.isArray(fields) && fields.length === 3 && fields[2] instanceof Uint8Array
        ? fields
        : [from, this.#name, body];
    this.#handler({ type: kind, source, destination, priority, ttl: null, peer: from }, payload);
  }
}

/** The node of B10: topics, and messages that are objects. */
export class WhispurrNode {
  #options;
  /** @type {Node | null} */
  #node = null;
  /** @type {((message: any) => void)[]} */
  #handlers = [];
  /** @type {Set<string>} */
  #topics = new Set();

  /** @param {ConstructorParameters<typeof Node>[0]} [options] As of `open`. */
  constructor(options = {}) {
    this.#options = options;
  }

  get node() {
    if (!this.#node) throw new UsageError('await node.start() comes first');
    return this.#node;
  }

  /** Start; on a page that a node served, connect to that node if no other is named. */
  async start() {
    const own = this.#options.bootstrap ? null : await pageNode();
    const node = await open({ ...(own && { bootstrap: [own.ticket] }), ...this.#options });
    this.#node = node;
    for (const kind of ['whisper', 'resonance', 'broadcast']) node.on(kind, (one) => this.#tell(one));
    for (const topic of this.#topics) node.join(topic);
  }

  async stop() {
    await this.#node?.close();
    this.#node = null;
  }

  /** @param {'message'} name @param {(message: any) => void} fn */
  on(name, fn) {
    if (name !== 'message') throw new UsageError(`there is no event ${name}, only "message"`);
    this.#handlers.push(fn);
  }

  /** Hear what is said on a topic. @param {string} topic */
  listen(topic) {
    this.#topics.add(topic);
    this.#node?.join(topic);
  }

  /** Say something to all who listen to a topic. @param {string} topic @param {any} message What JSON can hold. */
  whisper(topic, message) {
    return this.node.resonate(topic, JSON.stringify(message));
  }

  getStats() {
    return this.node.getStats();
  }

  /** @param {import('./message.js').Message} message */
  #tell(message) {
    let content;
    try {
      content = JSON.parse(message.text);
    } catch {
      content = { body: message.text };
    }
    const told = { ...content, topic: message.intent, from: message.from };
    for (const handler of this.#handlers) handler(told);
  }
}

/** Whether this is a ticket or an address, and no name. @param {string} text */
function isTicket(text) {
  return /^\/|^(whispurr:)?wn1-/i.test(text);
}
