// A peer: somebody we have, had, or will have sessions with. Whispers wait here while there is none,
// and are delivered once and in order through any number of sessions and identities.
import { hex, utf8 } from './bytes.js';
import { Courier } from './courier.js';
import { LimitError, NetworkError, UsageError } from './errors.js';
import * as greeting from './greeting.js';
import { TokenBucket } from './bounded.js';

/** @typedef {import('./courier.js').State} State */
/** @typedef {import('./identity.js').Proof} Proof */

const FINAL = new Set(['expired', 'failed']);
const ORDER = ['queued', 'sent', 'received', 'read'];

/** What becomes of one whisper: `queued`, `sent`, `received`, `read`; or `expired` or `failed`. */
export class Receipt {
  /** @param {number} id */
  constructor(id) {
    this.id = id;
    /** @type {State | 'queued'} */
    this.state = 'queued';
    /** When each state came, in unix milliseconds. @type {Record<string, number>} */
    this.at = {};
    /** @type {{state: string, resolve: (receipt: Receipt) => void, reject: (error: Error) => void}[]} */
    this.waiting = [];
  }

  /** @param {State} state @param {number} wallMs */
  become(state, wallMs) {
    if (!FINAL.has(state) && this.has(state)) return; // sent again after it was received
    this.state = state;
    this.at[state] = wallMs;
    this.waiting = this.waiting.filter((waiter) => {
      const done = this.has(waiter.state);
      if (done) waiter.resolve(this);
      else if (FINAL.has(state)) waiter.reject(new NetworkError(`the whisper ${state} before it was ${waiter.state}`));
      return !done && !FINAL.has(state);
    });
  }

  /** @param {string} state */
  has(state) {
    return ORDER.indexOf(this.state) >= ORDER.indexOf(state);
  }

  /** Resolves when it is in this state or beyond; rejects when it never will be.
   * @param {'sent' | 'received' | 'read'} state @returns {Promise<Receipt>} */
  wait(state = 'received') {
    if (this.has(state)) return Promise.resolve(this);
    if (FINAL.has(this.state)) return Promise.reject(new NetworkError(`the whisper ${this.state}`));
    return new Promise((resolve, reject) => this.waiting.push({ state, resolve, reject }));
  }
}

export class Peer {
  /** @param {import('./endpoint.js').Endpoint} endpoint @param {number} handle @param {Proof} proof */
  constructor(endpoint, handle, proof) {
    this.endpoint = endpoint;
    /** A small number that stays with the peer through all its identities. */
    this.handle = handle;
    this.proof = proof;
    /** What it proved before, newest last. @type {Proof[]} */
    this.earlier = [];
    /** @type {import('./session.js').Session | null} */
    this.session = null;
    /** The identity of ours by which it knows us. @type {import('./identity.js').Ephemeral | null} */
    this.ours = null;
    /** Shared with it since an invite. @type {Uint8Array | null} */
    this.psk = null;
    this.capabilities = 0;
    this.profile = '';
    /** @type {string[]} */
    this.addresses = [];
    this.presence = { state: 'online', note: '' };
    /** The id of the long-term identity it proved. @type {Uint8Array | null} */
    this.persona = null;
    this.courier = new Courier(endpoint.entropy, endpoint.options.courier);
    /** @type {Map<number, Receipt>} */
    this.receipts = new Map();
    this.nextWhisper = 1;
    /** @type {Map<number, {resolve: (body: Uint8Array) => void, reject: (error: Error) => void}>} */
    this.asks = new Map();
    /** @type {((seconds: number) => void)[]} */
    this.pings = [];
    this.news = new TokenBucket(1, 30);
    this.rotations = new TokenBucket(1 / 60, 10);
    this.seenS = endpoint.now();
  }

  /** 32 bytes; changes when the peer takes a new identity. */
  get id() {
    return this.proof.id;
  }

  /** The id as 64 hexadecimal characters. */
  get name() {
    return hex(this.proof.id);
  }

  get staticKey() {
    return this.proof.staticKey;
  }

  get connected() {
    return this.session !== null;
  }

  /** 'ws', 'wss', 'relay' or 'webrtc'; '' without a session. */
  get path() {
    return this.session?.path ?? '';
  }

  get rttS() {
    return this.session?.rttS ?? null;
  }

  get suite() {
    const done = this.session?.done;
    return done ? `Noise_${done.pattern}hfs+psk3_25519+MLKEM, level ${done.level}` : '';
  }

  /** Send a whisper. Waits for a session if there is none, up to `ttlS`.
   * @param {Uint8Array | string} body At most 1 MiB.
   * @param {{kind?: number, priority?: number, ttlS?: number, acknowledged?: boolean}} [options] */
  whisper(body, { kind = 1, priority = 5, ttlS, acknowledged = true } = {}) {
    const receipt = new Receipt(this.nextWhisper++);
    const bytes = typeof body === 'string' ? utf8(body) : body;
    if (acknowledged) this.receipts.set(receipt.id, receipt);
    try {
      this.courier.post({ id: receipt.id, kind, body: bytes, priority, ttlS, acknowledged }, this.endpoint.now());
    } catch (error) {
      this.receipts.delete(receipt.id);
      throw error;
    }
    this.endpoint.courierEffects(this, this.courier.drain());
    this.session?.wake();
    this.endpoint.watch(this);
    return receipt;
  }

  /** Ask a handler of that name; resolves to its answer. @param {string} name @param {Uint8Array | string} body
   * @param {{timeoutS?: number, priority?: number}} [options] @returns {Promise<Uint8Array>} */
  ask(name, body, options = {}) {
    if (!this.session) return Promise.reject(new NetworkError('the peer is not connected'));
    const bytes = typeof body === 'string' ? utf8(body) : body;
    const id = this.courier.ask(name, bytes, options, this.endpoint.now());
    this.session.wake();
    return new Promise((resolve, reject) => this.asks.set(id, { resolve, reject }));
  }

  /** Send a frame of another protocol; false: not connected, or too much waits.
   * @param {number} type @param {Uint8Array} body @param {number} priority */
  sendFrame(type, body, priority = 5) {
    return this.session?.send(type, body, priority) ?? false;
  }

  /** How many bytes of `sendFrame` wait. */
  queuedBytes() {
    return this.session?.queuedBytes ?? 0;
  }

  /** Measure the round trip, in seconds. @returns {Promise<number>} */
  ping() {
    const { session } = this;
    if (!session) return Promise.reject(new NetworkError('the peer is not connected'));
    return new Promise((resolve) => {
      this.pings.push(resolve);
      session.ping();
    });
  }

  /** Try to make a WebRTC link now; resolves to the path that is used then. @returns {Promise<string>} */
  async upgrade() {
    await this.endpoint.signal.begin(this);
    return this.path;
  }

  /** Say goodbye; a call that leads here is given up. */
  close(reason = greeting.CLOSED) {
    this.endpoint.calls.giveUp(this);
    this.session?.leave(reason);
  }

  /** Who it is now. @param {Proof} proof */
  rename(proof) {
    this.earlier = [...this.earlier, this.proof].slice(-4);
    this.proof = proof;
  }

  /** Whether it can be forgotten without anyone missing a message. */
  get idle() {
    return !this.session && this.courier.load.count === 0;
  }
}

/** @param {string} state @param {string} note */
export function checkPresence(state, note) {
  if (!greeting.PRESENCE_STATES.includes(state)) {
    throw new UsageError(`no presence is called ${state}; take one of ${greeting.PRESENCE_STATES.join(', ')}`);
  }
  if ([...note].length > greeting.PRESENCE_NOTE_MAX) {
    throw new LimitError(`a note has at most ${greeting.PRESENCE_NOTE_MAX} characters`);
  }
}
