/**
 * What of all that spreads is for this node, and whose turn it is; as `stack/hearing.py`.
 *
 * A message of the kind TURN is for any one of those who listen: each waits a while of its own, and
 * who is first takes it and says so (`gossip/turns.py`).
 */

import { hex } from '../bytes.js';
import { ProtocolError } from '../errors.js';
import { author } from './envelope.js';
import { Keyring, placeOf } from './keyring.js';

export const [WHISPER, RESONANCE, BROADCAST, EMERGENCY, TURN, TAKEN] = [1, 2, 3, 4, 7, 8];

const WINDOW_S = 4;
const LISTENERS = 1024;
const WAITING_MAX = 256;

/** @typedef {import('./envelope.js').Envelope} Envelope */
/** @typedef {import('./keyring.js').Heard} Heard */

/**
 * @typedef {object} News A message for the application.
 * @property {number} kind RESONANCE, BROADCAST, EMERGENCY or TURN.
 * @property {string} intent The one of ours that it resonates with; empty if it is for everyone.
 * @property {Uint8Array | null} key That of the private topic it came by.
 * @property {number} strength 0 to 1.
 * @property {number} priority
 * @property {Uint8Array} payload
 * @property {Uint8Array | null} author The id of the node that signed it; null: nobody says.
 * @property {number} hop
 * @property {Uint8Array} id
 */

/**
 * @typedef {object} HearingHost
 * @property {(news: News) => void} tell
 * @property {(intent: string, key: Uint8Array | null, id: Uint8Array) => void} claim
 * @property {() => number} wallMs
 * @property {() => number} random
 */

export class Hearing {
  #host;
  /** @type {Map<string, {due: number, intent: string, id: Uint8Array, news: News[]}>} */
  #waiting = new Map();
  /** @type {Set<string>} */
  #taken = new Set();

  /** @param {import('./envelope.js').Realm} realm @param {HearingHost} host */
  constructor(realm, host) {
    this.#host = host;
    this.keyring = new Keyring(realm);
  }

  get deadline() {
    let due = Infinity;
    for (const one of this.#waiting.values()) due = Math.min(due, one.due);
    return due;
  }

  /** A message came into the open: hand it on if it is for us. @param {Envelope} envelope @param {number} hop @param {number} now */
  deliver(envelope, hop, now) {
    const said = this.keyring.open(envelope);
    if (!said.length) return;
    const { kind, intent, payload } = said[0].inside;
    if (kind === TAKEN) {
      this.#take(hex(payload.subarray(0, 16)));
      return;
    }
    const news = this.#news(envelope, said, hop);
    if (kind !== TURN) news.forEach(this.#host.tell);
    else if (news.length) this.#wait(envelope.id, intent, news, now);
  }

  /** A message passed before this was listened to, and still lives. @param {Envelope} envelope @param {string} intent @param {Uint8Array | null} key */
  catchUp(envelope, intent, key) {
    const said = this.keyring
      .open(envelope)
      .filter((one) => one.inside.kind === RESONANCE && placeOf(one.intent, one.key) === placeOf(intent, key));
    this.#news(envelope, said, 0).forEach(this.#host.tell);
  }

  /** Take the messages whose turn it is here. @param {number} now */
  tick(now) {
    for (const [key, { due, intent, id, news }] of this.#waiting) {
      if (due > now) continue;
      this.#take(key);
      news.forEach(this.#host.tell);
      this.#host.claim(intent, news[0].key, id);
    }
  }

  /** @param {Uint8Array} id @param {string} intent @param {News[]} news @param {number} now */
  #wait(id, intent, news, now) {
    const key = hex(id);
    if (this.#taken.has(key) || this.#waiting.size >= WAITING_MAX) return;
    const share = Math.max(0, 1 + Math.log(1 - this.#host.random()) / Math.log(LISTENERS));
    this.#waiting.set(key, { due: now + WINDOW_S * share, intent, id, news });
  }

  /** @param {string} key */
  #take(key) {
    this.#waiting.delete(key);
    this.#taken.add(key);
    if (this.#taken.size > WAITING_MAX) {
      for (const oldest of this.#taken) {
        this.#taken.delete(oldest);
        break;
      }
    }
  }

  /** What the application is told; nothing if the author is forged. @param {Envelope} envelope @param {Heard[]} said @param {number} hop @returns {News[]} */
  #news(envelope, said, hop) {
    if (!said.length) return [];
    let signer;
    try {
      signer = author(envelope, said[0].inside, this.#host.wallMs());
    } catch (error) {
      if (error instanceof ProtocolError) return [];
      throw error;
    }
    return said.map(({ intent, key, strength, inside }) => ({
      kind: inside.kind,
      intent,
      key,
      strength,
      priority: inside.priority,
      payload: inside.payload,
      author: signer,
      hop,
      id: envelope.id,
    }));
  }
}
