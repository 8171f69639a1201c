/**
 * Membership as a leaf: a neighbour of the nodes it is connected to, and of nobody else.
 *
 * It asks each peer that gossips to take it (VIEW frames, `docs/protocol/view.md`) and says yes to
 * whoever asks. Nobody can call a browser, so it gives no contact of its own, keeps none of others,
 * and walks end here.
 */

import { bool, bytes, Codec, list, nullable, record, str, uint } from '../codec.js';
import { ProtocolError } from '../errors.js';
import { Bucket } from './bucket.js';

const BODY_BYTES_MAX = 16 * 1024;
const ANSWER_S = 10;
const AGAIN_S = 65;
const BACKOFF_S_MAX = 3600;

const contact = record({
  key: bytes(32),
  addresses: list(str(200, 1), 4, 1),
  expiresS: uint(2 ** 32 - 1),
});

const CODEC = new Codec({
  Join: [1, { me: nullable(contact) }],
  Neighbor: [3, { urgent: bool(), me: nullable(contact) }],
  NeighborReply: [4, { accepted: bool(), me: nullable(contact), contacts: list(contact, 4) }],
  Prune: [5, { contacts: list(contact, 4), backoffS: uint(BACKOFF_S_MAX) }],
});

/**
 * @typedef {object} LeafHost
 * @property {(peer: number, body: Uint8Array) => void} send
 * @property {(peer: number) => void} enter A peer is our neighbour from now on.
 * @property {(peer: number) => void} leave It is no more.
 * @property {() => number} random From 0 to 1.
 */

class Link {
  active = false;
  unanswered = 0;
  askAt = Infinity;
  messages = new Bucket(20, 400);
}

export class Leaf {
  #host;
  /** @type {Map<number, Link>} */
  #links = new Map();

  /** @param {LeafHost} host */
  constructor(host) {
    this.#host = host;
  }

  /** When `tick` is wanted, in seconds. */
  get deadline() {
    let due = Infinity;
    for (const link of this.#links.values()) due = Math.min(due, link.askAt);
    return due;
  }

  /** Our neighbours. */
  get active() {
    return [...this.#links].filter(([, link]) => link.active).map(([peer]) => peer);
  }

  /** A session with a peer that gossips began. @param {number} peer @param {number} now */
  up(peer, now) {
    if (this.#links.has(peer)) return;
    const link = new Link();
    this.#links.set(peer, link);
    this.#ask(peer, link, now);
  }

  /** It ended. @param {number} peer */
  down(peer) {
    const link = this.#links.get(peer);
    if (!link) return;
    this.#deactivate(peer, link);
    this.#links.delete(peer);
  }

  /**
   * The body of a VIEW frame came, without the shard.
   *
   * @param {number} peer
   * @param {Uint8Array} body
   * @param {number} now
   * @throws {ProtocolError} It is malformed, out of place, or one too many.
   */
  arrived(peer, body, now) {
    const link = this.#links.get(peer);
    if (!link) return;
    if (!link.messages.take(1, now) || body.length > BODY_BYTES_MAX) {
      throw new ProtocolError('a peer floods us with messages about the overlay');
    }
    const messages = CODEC.decodeAll(body);
    if (messages.length > 1) throw new ProtocolError('several messages in one body');
    for (const message of messages) this.#take(peer, link, message, now);
  }

  /** Ask again whom it is time to ask. @param {number} now */
  tick(now) {
    for (const [peer, link] of this.#links) {
      if (link.askAt > now) continue;
      if (link.unanswered) link.askAt = now + this.#later(); // it does not answer
      if (!link.active) this.#ask(peer, link, now);
    }
  }

  /** @param {number} peer @param {Link} link @param {import('../codec.js').Message} message @param {number} now */
  #take(peer, link, message, now) {
    switch (message.type) {
      case 'Join':
      case 'Neighbor':
        this.#send(peer, { type: 'NeighborReply', accepted: true, me: null, contacts: [] });
        this.#activate(peer, link);
        break;
      case 'NeighborReply':
        if (!link.unanswered) throw new ProtocolError('a peer answered what was not asked');
        link.unanswered -= 1;
        if (message.accepted) this.#activate(peer, link);
        else if (!link.active) link.askAt = now + this.#later();
        break;
      default:
        this.#deactivate(peer, link);
        link.askAt = now + message.backoffS + this.#later() / 10;
    }
  }

  /** @param {number} peer @param {Link} link @param {number} now */
  #ask(peer, link, now) {
    link.unanswered += 1;
    link.askAt = now + ANSWER_S;
    this.#send(peer, { type: 'Neighbor', urgent: !this.active.length, me: null });
  }

  /** @param {number} peer @param {Link} link */
  #activate(peer, link) {
    link.askAt = Infinity;
    if (link.active) return;
    link.active = true;
    this.#host.enter(peer);
  }

  /** @param {number} peer @param {Link} link */
  #deactivate(peer, link) {
    if (!link.active) return;
    link.active = false;
    this.#host.leave(peer);
  }

  #later() {
    return AGAIN_S * (0.9 + 0.2 * this.#host.random());
  }

  /** @param {number} peer @param {import('../codec.js').Message} message */
  #send(peer, message) {
    this.#host.send(peer, CODEC.encodeAll([message]));
  }
}
