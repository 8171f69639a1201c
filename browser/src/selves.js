// Who this node is, has been, and will be: a new identity every hour, which the old one signs, so
// that sessions and mail in flight carry on. Nothing of it is ever stored.
import { Ephemeral } from './identity.js';

/** @typedef {import('./peer.js').Peer} Peer */

export class Selves {
  /** @param {import('./endpoint.js').Endpoint} endpoint */
  constructor(endpoint) {
    this.endpoint = endpoint;
    this.cancel = () => {};
    /** The current one first, then those that still answer. @type {Ephemeral[]} */
    this.identities = [this.make()];
  }

  /** An identity, and the timer that brings its successor. */
  make() {
    const { endpoint } = this;
    const wallMs = endpoint.wallMs();
    const { lifetimeS, overlapS } = endpoint.options;
    const fresh = Ephemeral.generate(endpoint.entropy, wallMs, { lifetimeS, overlapS });
    this.cancel();
    this.cancel = endpoint.schedule(endpoint.now() + (fresh.expiresMs() - wallMs) / 1000, () => this.rotate());
    return fresh;
  }

  /** Take a new identity, and tell every peer. */
  rotate() {
    const { endpoint } = this;
    const fresh = this.make();
    this.identities = [fresh, ...this.identities.filter((identity) => identity.endsMs() > endpoint.wallMs())];
    for (const peer of endpoint.peers) this.announce(peer);
    endpoint.emit('identity', { id: fresh.id });
    endpoint.relays.changed();
  }

  /** Tell a peer that we go by another identity, if it knows us by an old one. @param {Peer} peer */
  announce(peer) {
    const { session, ours: old } = peer;
    const [current] = this.identities;
    if (!session || !old || old === current || !this.identities.includes(old)) return;
    session.note({
      type: 'Rotate',
      proof: current.proof.encode(),
      signature: old.signSuccessor(current.proof),
      consent: current.signPredecessor(old.proof),
    });
    peer.ours = session.ours = current;
  }

  /** Who we are to a peer: whom it knows already. @param {Peer} peer */
  forPeer(peer) {
    return peer.ours && this.identities.includes(peer.ours) ? peer.ours : this.identities[0];
  }

  stop() {
    this.cancel();
  }
}
