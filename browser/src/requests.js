// Requests and answers of one peer, both ways: deadlines, cancellation, bounds;
// `whispurrnet/direct/requests.py`. A request belongs to its session and is not sent again.
import { text, utf8 } from './bytes.js';
import { ERROR_CHARS_MAX, LANES, NAME_CHARS_MAX, TTL_MS_MAX } from './direct.js';
import { LimitError, ProtocolError, UsageError } from './errors.js';

/** @typedef {import('./courier.js').Config} Config */
/** @typedef {import('./courier.js').Effect} Effect */
/** @typedef {import('./direct.js').Bundle} Bundle */
/** @typedef {import('./codec.js').Message} Message */

const BUSY = 'the peer has too many requests open; try again later';
const LOST = 'connection lost';
const LATE = 'no answer came in time';

export class Requests {
  /** @param {Config} config @param {import('./sender.js').Load} load */
  constructor(config, load) {
    this.config = config;
    this.load = load;
    this.next = 1;
    /** Ours: by number. @type {Map<number, {due: number, priority: number, sent: boolean}>} */
    this.asked = new Map();
    /** Theirs: by their number. @type {Map<number, {due: number, priority: number, answered: boolean}>} */
    this.open = new Map();
    this.refused = 0;
    /** @type {Message[][]} */
    this.out = Array.from({ length: LANES }, () => []);
  }

  get due() {
    let due = Infinity;
    for (const request of this.asked.values()) due = Math.min(due, request.due);
    for (const request of this.open.values()) if (!request.answered) due = Math.min(due, request.due);
    return due;
  }

  /** The most urgent lane in which something waits, or -1. */
  get priority() {
    return this.out.findLastIndex((queue) => queue.length > 0);
  }

  /** Send a request; returns its number. @param {string} name @param {Uint8Array} body @param {number} timeoutS
   * @param {number} priority @param {number} now */
  ask(name, body, timeoutS, priority, now) {
    const characters = [...name].length;
    if (!characters || characters > NAME_CHARS_MAX || text(utf8(name)) !== name) {
      throw new UsageError(`the name of a request has 1 to ${NAME_CHARS_MAX} characters of text`);
    }
    if (!(timeoutS > 0)) throw new UsageError(`a request cannot wait ${timeoutS} s; give it some time`);
    if (this.asked.size >= this.config.requestsMax) {
      throw new LimitError(`${this.config.requestsMax} requests to this peer wait for an answer; wait for some of them`);
    }
    const id = this.next++;
    const timeoutMs = Math.max(1, Math.min(Math.floor(timeoutS * 1000), TTL_MS_MAX));
    this.asked.set(id, { due: now + timeoutS, priority, sent: false });
    this.queue(priority, { type: 'Request', id, name, timeoutMs, priority, body });
    return id;
  }

  /** Wait no longer for an answer; the peer is told. @param {number} id */
  abandon(id) {
    const request = this.asked.get(id);
    if (!request) return;
    this.asked.delete(id);
    if (request.sent) this.queue(request.priority, { type: 'Cancel', id });
  }

  /** Send an answer, if the peer still waits for it. @param {number} id @param {Uint8Array} body @param {string} error */
  answer(id, body, error) {
    const request = this.open.get(id);
    if (!request || request.answered) return;
    request.answered = true;
    const said = [...text(utf8(error))].slice(0, ERROR_CHARS_MAX).join('');
    this.queue(request.priority, { type: 'Response', id, error: said, body });
  }

  /** Throws ProtocolError if these are impossible. @param {Message[]} messages */
  check(messages) {
    const fresh = new Set();
    for (const { type, id } of messages) {
      if (type !== 'Request') continue;
      if (this.open.has(id) || fresh.has(id)) throw new ProtocolError('a peer used the number of an open request again');
      fresh.add(id);
    }
    if (this.open.size + this.refused + fresh.size > 2 * this.config.requestsMax) {
      throw new ProtocolError('a peer asks and asks, and does not read the answers');
    }
  }

  /** Take a checked message. @param {Message} message @param {number} now @param {Effect[]} effects */
  arrived(message, now, effects) {
    const { id } = message;
    if (message.type === 'Response') {
      if (this.asked.delete(id)) effects.push({ type: 'answered', id, body: message.body, error: message.error });
    } else if (message.type === 'Cancel') {
      const request = this.open.get(id);
      if (request && !request.answered) {
        this.open.delete(id);
        effects.push({ type: 'abandoned', id });
      }
    } else if (this.open.size >= this.config.requestsMax) {
      this.refused += 1;
      this.queue(message.priority, { type: 'Response', id, error: BUSY, body: new Uint8Array(0) });
    } else {
      const timeoutS = message.timeoutMs / 1000;
      this.open.set(id, { due: now + timeoutS, priority: message.priority, answered: false });
      effects.push({ type: 'asked', id, name: message.name, body: message.body, priority: message.priority, timeoutS });
    }
  }

  /** Add what waits in a lane, as much as fits; whether all of it did. @param {number} lane @param {Bundle} bundle */
  fill(lane, bundle) {
    const queue = this.out[lane];
    while (queue.length) {
      const message = queue[0];
      const gone = message.type === 'Request' && !this.asked.has(message.id); // given up before it was sent
      if (!gone && !bundle.add(message, size(message))) return false;
      const ours = this.asked.get(message.id);
      if (message.type === 'Request' && ours) ours.sent = true;
      else if (message.type === 'Response' && !this.open.delete(message.id)) this.refused -= 1;
      this.count(message, -1);
      queue.shift();
    }
    return true;
  }

  /** Give up what has waited too long, ours and theirs. @param {number} now @param {Effect[]} effects */
  tick(now, effects) {
    for (const [id, request] of this.asked) {
      if (request.due > now) continue;
      this.abandon(id);
      effects.push({ type: 'answered', id, body: new Uint8Array(0), error: LATE });
    }
    for (const [id, request] of this.open) {
      if (request.answered || request.due > now) continue;
      this.open.delete(id);
      effects.push({ type: 'abandoned', id });
    }
  }

  /** The session ended: nothing of it will be answered. @param {Effect[]} effects */
  fail(effects) {
    for (const id of this.asked.keys()) effects.push({ type: 'answered', id, body: new Uint8Array(0), error: LOST });
    for (const [id, request] of this.open) if (!request.answered) effects.push({ type: 'abandoned', id });
    for (const queue of this.out) for (const message of queue) this.count(message, -1);
    this.asked.clear();
    this.open.clear();
    this.out = Array.from({ length: LANES }, () => []);
    this.refused = 0;
  }

  /** @param {number} lane @param {Message} message */
  queue(lane, message) {
    this.out[lane].push(message);
    this.count(message, 1);
  }

  /** @param {Message} message @param {1 | -1} sign */
  count(message, sign) {
    this.load.count += sign;
    this.load.bytes += sign * size(message);
  }
}

/** The bytes of a body and of its text, which UTF-8 may make four times as long. @param {Message} message */
function size(message) {
  return (message.body?.length ?? 0) + 4 * ((message.name ?? message.error)?.length ?? 0);
}
