// The direct messages of one peer: whispers once and in order, requests with a deadline;
// `whispurrnet/direct/courier.py` and `peer.py`. The session pulls one frame at a time, so what is
// urgent overtakes what is not until it is sealed. What one frame brings is taken as a whole or, if
// any of it breaks the protocol, not at all.
import { hex } from './bytes.js';
import { ARRIVED_BYTES_MAX, BODY_BYTES_MAX, Bundle, codec, KIND_MAX, LANES } from './direct.js';
import { LimitError, ProtocolError, UsageError } from './errors.js';
import { ReceiverLane } from './receiver.js';
import { Requests } from './requests.js';
import { SenderLane } from './sender.js';

/** @typedef {import('./codec.js').Message} Message */
/** @typedef {{window: number, windowBytes: number, queueMax: number, queueBytesMax: number, retryS: number,
 *   requestsMax: number, ttlS: number, unreadMax: number}} Config */
/** @typedef {'sent' | 'received' | 'read' | 'expired' | 'failed'} State */
/** @typedef {{type: 'whispers', whispers: Message[]}
 *   | {type: 'progress', id: number, state: State}
 *   | {type: 'asked', id: number, name: string, body: Uint8Array, priority: number, timeoutS: number}
 *   | {type: 'abandoned', id: number}
 *   | {type: 'answered', id: number, body: Uint8Array, error: string}} Effect */

/** @type {Config} */
export const CONFIG = {
  window: 1024, windowBytes: 4 << 20, queueMax: 10_000, queueBytesMax: 32 << 20, retryS: 15,
  requestsMax: 256, ttlS: 300, unreadMax: 4096,
};

export class Courier {
  /** @param {import('./crypto.js').Entropy} entropy @param {Partial<Config>} config */
  constructor(entropy, config = {}) {
    this.config = { ...CONFIG, ...config };
    this.entropy = entropy;
    this.codec = codec();
    this.isUp = false;
    this.load = { count: 0, bytes: 0 };
    /** @type {(SenderLane | null)[]} */
    this.senders = Array(LANES).fill(null);
    /** @type {Map<number, ReceiverLane>} */
    this.receivers = new Map();
    this.requests = new Requests(this.config, this.load);
    /** A bit for each lane whose acknowledgement is owed. */
    this.owed = 0;
    /** What came of pulling; taken by `drain`. @type {Effect[]} */
    this.news = [];
  }

  /** When `tick` is wanted, in seconds. */
  get deadline() {
    return this.senders.reduce((due, lane) => Math.min(due, lane?.due ?? Infinity), this.requests.due);
  }

  /** The lane of the most urgent thing to send, or -1. */
  get priority() {
    if (!this.isUp) return -1;
    const lane = this.senders.findLastIndex((sender) => sender?.ready);
    return Math.max(lane, this.requests.priority, 31 - Math.clz32(this.owed));
  }

  // From the application

  /** Queue a whisper. @param {{id: number, kind: number, body: Uint8Array, priority?: number, ttlS?: number,
   *   acknowledged?: boolean}} whisper @param {number} now */
  post({ id, kind, body, priority = 5, ttlS, acknowledged = true }, now) {
    if (ttlS !== undefined && !(ttlS > 0)) throw new UsageError(`a whisper cannot be of use for ${ttlS} s; give it some time`);
    if (!Number.isInteger(kind) || kind < 0 || kind > KIND_MAX) {
      throw new UsageError(`the kind of a whisper is a number from 0 to ${KIND_MAX}, not ${kind}`);
    }
    this.checkRoom(body, priority);
    if (!acknowledged && !this.isUp) {
      this.news.push({ type: 'progress', id, state: 'failed' });
      return;
    }
    const lane = (this.senders[priority] ??= new SenderLane(priority, this.config, this.load, this.entropy));
    const life = ttlS ?? (acknowledged ? this.config.ttlS : Infinity);
    lane.post({ id, kind, body, expiresAt: now + life, acknowledged });
  }

  /** Queue a request; returns its number. @param {string} name @param {Uint8Array} body
   * @param {{timeoutS?: number, priority?: number}} options @param {number} now */
  ask(name, body, { timeoutS = 30, priority = 5 }, now) {
    this.checkRoom(body, priority);
    if (!this.isUp) throw new UsageError('the peer is not connected');
    return this.requests.ask(name, body, timeoutS, priority, now);
  }

  /** @param {number} id @param {Uint8Array} body @param {string} error */
  answer(id, body, error = '') {
    if (body.length) this.checkRoom(body, 0);
    this.requests.answer(id, body, error);
  }

  /** @param {number} id */
  abandon(id) {
    this.requests.abandon(id);
  }

  /** Tell the peer how far the application has read. @param {number} lane @param {number} seq */
  markRead(lane, seq) {
    const receiver = this.receivers.get(lane);
    if (receiver?.markRead(seq) && receiver.live) this.owed |= 1 << lane;
  }

  /** @param {Uint8Array} body @param {number} priority */
  checkRoom(body, priority) {
    if (!Number.isInteger(priority) || priority < 0 || priority >= LANES) {
      throw new UsageError(`priorities go from 0 to ${LANES - 1}, ${priority} is none`);
    }
    if (body.length > BODY_BYTES_MAX) throw new UsageError(`a message of ${body.length} bytes; the most is ${BODY_BYTES_MAX}`);
    const { queueMax, queueBytesMax } = this.config;
    if (this.load.count >= queueMax || this.load.bytes + body.length > queueBytesMax) {
      throw new LimitError(
        `${this.load.count} messages of ${this.load.bytes} bytes wait for this peer already; wait until some were received`,
      );
    }
  }

  // Sessions

  /** A session began; if there was one already, it is over. @returns {Effect[]} */
  up() {
    /** @type {Effect[]} */
    const effects = [];
    if (this.isUp) this.requests.fail(effects);
    this.isUp = true;
    this.owed = 0;
    for (const receiver of this.receivers.values()) receiver.live = false;
    for (const lane of this.senders) lane?.restart();
    return effects;
  }

  /** The session ended; what is acknowledged waits for the next one. @param {number} now @returns {Effect[]} */
  down(now) {
    /** @type {Effect[]} */
    const effects = this.drain();
    this.isUp = false;
    this.owed = 0;
    for (const receiver of this.receivers.values()) receiver.live = false;
    for (const lane of this.senders) lane?.down(now);
    this.requests.fail(effects);
    return effects;
  }

  /** The peer is forgotten: everything fails. @returns {Effect[]} */
  fail() {
    const effects = this.drain();
    this.requests.fail(effects);
    for (const lane of this.senders) lane?.fail(effects);
    this.senders.fill(null);
    this.load.count = this.load.bytes = 0;
    return effects;
  }

  // Frames

  /** The body of a DIRECT frame arrived. Throws ProtocolError: then nothing has changed.
   * @param {Uint8Array} body @param {number} now @returns {Effect[]} */
  arrived(body, now) {
    if (!this.isUp) return [];
    if (body.length > ARRIVED_BYTES_MAX) throw new ProtocolError(`a peer sent a frame of more than ${ARRIVED_BYTES_MAX} bytes`);
    /** @type {Map<number, ReceiverLane>} */
    const drafts = new Map();
    /** @type {Message[]} */
    const whispers = [];
    /** @type {[SenderLane, Message][]} */
    const acks = [];
    /** @type {Message[]} */
    const calls = [];
    for (const message of this.codec.decodeAll(body)) {
      switch (message.type) {
        case 'Whisper':
          if (!message.seq || this.draft(drafts, message.lane).take(message.seq)) whispers.push(message);
          break;
        case 'Resume':
          this.draft(drafts, message.lane).resume(hex(message.stream), message.stream, message.first);
          break;
        case 'Skip':
          this.draft(drafts, message.lane).skip(message.first, message.last);
          break;
        case 'Ack': {
          const sender = this.senders[message.lane];
          sender?.check(message);
          if (sender) acks.push([sender, message]);
          break;
        }
        default:
          calls.push(message);
      }
    }
    this.requests.check(calls);
    /** @type {Effect[]} */
    const effects = [];
    for (const [lane, draft] of drafts) {
      if (!draft.live) continue;
      this.receivers.set(lane, draft);
      this.owed |= 1 << lane;
    }
    if (whispers.length) effects.push({ type: 'whispers', whispers });
    for (const [sender, ack] of acks) sender.acknowledge(ack, now, effects);
    for (const call of calls) this.requests.arrived(call, now, effects);
    return effects;
  }

  /** A copy of a lane, to put back once the whole frame is known to be good.
   * @param {Map<number, ReceiverLane>} drafts @param {number} lane */
  draft(drafts, lane) {
    let draft = drafts.get(lane);
    if (!draft) drafts.set(lane, (draft = this.receivers.get(lane)?.copy() ?? new ReceiverLane()));
    return draft;
  }

  /** The body of the next frame, or null. Several messages never exceed `room`; a longer one comes
   * alone, and has to be fragmented. @param {number} room @param {number} now */
  pull(room, now) {
    const bundle = new Bundle(room);
    for (let turn = 0; turn < 2 * LANES && !bundle.messages.length; turn++) {
      const lane = this.priority;
      if (lane < 0) return null;
      for (const [number, receiver] of this.receivers) {
        if ((this.owed >> number) & 1 && bundle.add(receiver.ack(number), 0)) this.owed &= ~(1 << number);
      }
      if (this.requests.fill(lane, bundle)) this.senders[lane]?.fill(bundle, now, this.news);
    }
    return bundle.messages.length ? this.codec.encodeAll(bundle.messages) : null;
  }

  /** The effects of pulling and posting, since the last time. @returns {Effect[]} */
  drain() {
    const { news } = this;
    this.news = [];
    return news;
  }

  /** Do what is due. @param {number} now @returns {Effect[]} */
  tick(now) {
    const effects = this.drain();
    this.requests.tick(now, effects);
    for (const lane of this.senders) if (lane && lane.due <= now) lane.tick(now, this.isUp, effects);
    return effects;
  }
}
