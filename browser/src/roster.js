// Everybody this node knows: those that are connected, and those for whom something waits.
import { equal } from './bytes.js';

/** @typedef {import('./identity.js').Proof} Proof */
/** @typedef {import('./peer.js').Peer} Peer */

const PEERS_MAX = 256;

export class Roster {
  constructor() {
    this.next = 1;
    /** @type {Map<number, Peer>} */
    this.byHandle = new Map();
  }

  get all() {
    return [...this.byHandle.values()];
  }

  /** The peer with this id, or who had it before its last rotations. @param {Uint8Array} id @param {number} wallMs */
  byId(id, wallMs) {
    const { all } = this;
    const before = (/** @type {Peer} */ peer) =>
      peer.earlier.some((proof) => equal(proof.id, id) && proof.notAfterS * 1000 > wallMs);
    return all.find((peer) => equal(peer.id, id)) ?? all.find(before);
  }

  /** The same, or who proved this long-term identity. @param {Proof} proof @param {Uint8Array | null} persona
   * @param {number} wallMs */
  find(proof, persona, wallMs) {
    const proved = (/** @type {Peer} */ peer) => persona && peer.persona && equal(peer.persona, persona);
    return this.byId(proof.id, wallMs) ?? this.all.find(proved);
  }

  /** @param {(handle: number) => Peer} make */
  add(make) {
    if (this.byHandle.size >= PEERS_MAX) {
      const idle = this.all.find((peer) => peer.idle);
      if (idle) this.byHandle.delete(idle.handle);
    }
    const peer = make(this.next++);
    this.byHandle.set(peer.handle, peer);
    return peer;
  }
}
