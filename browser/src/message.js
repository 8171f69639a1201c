// What an application gets: messages, and the topics they come by.
import { fromHex, hex, utf8 } from './bytes.js';
import { UsageError } from './errors.js';
import { Feed } from './feed.js';
import { nameOf } from './kinds.js';

/** @typedef {import('./gossip/hearing.js').News} News */
/** @typedef {import('./node.js').Node} Node */
/** @typedef {import('./node.js').Body} Body */

/** A message that came, of whichever kind. */
export class Message {
  /** @param {{body: Uint8Array, kind: number, from?: Uint8Array | null, peer?: any, news?: News, markRead?: () => void}} fields */
  constructor({ body, kind, from = null, peer = null, news, markRead }) {
    this.body = body;
    /** Its kind by name, such as `WHISPER`, `RESONANCE`, `Thought`. */
    this.kind = nameOf(kind);
    /** The id of who sent it, 64 hexadecimal digits; null: nobody says. */
    this.from = from && hex(from);
    /** The connected peer it came from; null for what spreads. */
    this.peer = peer;
    /** The intent it came by; empty for a broadcast, null for a whisper. */
    this.intent = news ? news.intent : null;
    this.strength = news ? news.strength : 1;
    this.priority = news ? news.priority : 5;
    this.hops = news ? news.hop : 0;
    this.markRead = markRead ?? (() => {});
  }

  /** The body as text; what is not UTF-8 shows as replacement characters. */
  get text() {
    return new TextDecoder().decode(this.body);
  }
}

/**
 * Who listens to an intent: read it with `for await`, or `send` to all others.
 *
 * @extends {Feed<Message>}
 */
export class Topic extends Feed {
  #node;
  #key;

  /** @param {Node} node @param {string} intent @param {Uint8Array | null} key @param {() => void} onClose */
  constructor(node, intent, key, onClose) {
    super(onClose);
    this.#node = node;
    this.#key = key;
    this.intent = intent;
  }

  /** @param {Body} body @param {object} [options] As of `Node.resonate`. */
  send(body, options = {}) {
    return this.#node.resonate(this.intent, body, { ...options, key: this.#key });
  }
}

/** @param {Body} body */
export function bytesOf(body) {
  if (typeof body === 'string') return utf8(body);
  if (body instanceof Uint8Array) return body;
  throw new UsageError('a body is text or a Uint8Array');
}

/** @param {Uint8Array | string | null} key */
export function keyOf(key) {
  const bytes = typeof key === 'string' ? fromHex(key) : key;
  if (bytes && bytes.length !== 32) throw new UsageError('the key of a topic has 32 bytes');
  return bytes;
}

/** @param {{id: Uint8Array, neighbours: number}} sent */
export function shown({ id, neighbours }) {
  return { id: hex(id), neighbours };
}
