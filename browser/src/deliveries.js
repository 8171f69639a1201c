// What comes of whispers and requests, as the application hears it: events, receipts, answers.
import { NetworkError } from './errors.js';

/** @typedef {import('./codec.js').Message} Message */
/** @typedef {import('./courier.js').Effect} Effect */
/** @typedef {import('./peer.js').Peer} Peer */

export class Deliveries {
  /** @param {import('./endpoint.js').Endpoint} endpoint */
  constructor(endpoint) {
    this.endpoint = endpoint;
    /** @type {Map<Peer, () => void>} */
    this.watching = new Map();
  }

  /** While a peer has no session its whispers expire by a timer of ours. @param {Peer} peer */
  watch(peer) {
    const { endpoint } = this;
    this.watching.get(peer)?.();
    this.watching.delete(peer);
    const due = peer.courier.deadline;
    if (peer.session || due === Infinity || endpoint.stopped) return;
    const tick = () => {
      this.take(peer, peer.courier.tick(endpoint.now()));
      this.watch(peer);
    };
    this.watching.set(peer, endpoint.schedule(due, tick));
  }

  /** @param {Peer} peer @param {Effect[]} effects */
  take(peer, effects) {
    for (const effect of [...peer.courier.drain(), ...effects]) { // what was sent was sent before
      if (effect.type === 'whispers') this.whispered(peer, effect.whispers);
      else if (effect.type === 'progress') this.progressed(peer, effect.id, effect.state);
      else if (effect.type === 'asked') this.asked(peer, effect);
      else if (effect.type === 'abandoned') this.endpoint.emit('abandoned', { peer, id: effect.id });
      else answered(peer, effect);
    }
  }

  /** @param {Peer} peer @param {Message[]} whispers */
  whispered(peer, whispers) {
    for (const { kind, body, lane, seq } of whispers) {
      const markRead = () => {
        peer.courier.markRead(lane, seq);
        peer.session?.wake();
      };
      this.endpoint.emit('whisper', { peer, kind, body, lane, seq, markRead });
    }
  }

  /** @param {Peer} peer @param {number} id @param {import('./courier.js').State} state */
  progressed(peer, id, state) {
    const { receipts, courier } = peer;
    const receipt = receipts.get(id);
    receipt?.become(state, this.endpoint.wallMs());
    if (state === 'read' || state === 'expired' || state === 'failed') receipts.delete(id);
    const { queueMax, unreadMax } = courier.config;
    if (receipts.size > queueMax + unreadMax) receipts.delete(/** @type {number} */ (receipts.keys().next().value));
    this.endpoint.emit('progress', { peer, id, state, receipt });
  }

  /** @param {Peer} peer @param {Effect & {type: 'asked'}} effect */
  asked(peer, { id, name, body, timeoutS }) {
    const answer = (/** @type {Uint8Array} */ answerBody, error = '') => {
      peer.courier.answer(id, answerBody, error);
      peer.session?.wake();
    };
    if (!this.endpoint.listeners.get('asked')?.size) answer(new Uint8Array(0), `there is no handler called ${name}`);
    else this.endpoint.emit('asked', { peer, id, name, body, timeoutS, answer });
  }

  stop() {
    for (const cancel of this.watching.values()) cancel();
    this.watching.clear();
  }
}

/** @param {Peer} peer @param {Effect & {type: 'answered'}} effect */
function answered(peer, { id, body, error }) {
  const waiting = peer.asks.get(id);
  peer.asks.delete(id);
  if (error) waiting?.reject(new NetworkError(error));
  else waiting?.resolve(body);
}
