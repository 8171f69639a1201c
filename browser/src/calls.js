// Calls: whom we want to be connected to, how they are reached, and when to try again.
//
// The addresses of a target are tried in turn, direct ones first. A call that is to be kept is made
// again when its session ends, after 1 s, 2 s, 4 s and so on up to a minute, less or more by chance.
import { Address, parseAddress, readAddress } from './address.js';
import { equal, hex } from './bytes.js';
import { within } from './clock.js';
import { AuthError, NetworkError, UsageError, WhispurrError } from './errors.js';
import { Initiator } from './handshake.js';
import { parseTicket, Ticket } from './ticket.js';
import { dialWebSocket } from './websocket.js';

/** @typedef {import('./endpoint.js').Endpoint} Endpoint */
/** @typedef {import('./peer.js').Peer} Peer */
/** @typedef {import('./session.js').Session} Session */

const AGAIN_S = 1;
const AGAIN_S_MAX = 60;
const ADDRESSES_MAX = 16;
const STEADY_S = 30;

/** Somebody we want to be connected to. */
export class Call {
  /** @param {Ticket | null} ticket @param {Address[]} addresses @param {boolean} keep */
  constructor(ticket, addresses, keep) {
    /** The key that must answer; null: whoever does (pattern XX). @type {Uint8Array | null} */
    this.staticKey = ticket?.staticKey ?? null;
    this.addresses = addresses;
    this.psk = ticket?.psk ?? null;
    this.invited = this.psk !== null;
    this.persona = ticket?.persona ?? null;
    this.keep = keep;
    /** @type {Peer | null} */
    this.peer = null;
    this.tries = 0;
    this.over = false;
    this.trying = false;
    this.cancel = () => {};
    /** Who waits for the first session. @type {{resolve: (peer: Peer) => void, reject: (error: Error) => void}[]} */
    this.waiting = [];
  }

  /** The direct ones first; each once. */
  inOrder() {
    const direct = this.addresses.filter((address) => !address.relay);
    return [...direct, ...this.addresses.filter((address) => address.relay)];
  }

  /** @param {string[]} texts That the peer itself told us. */
  learn(texts) {
    for (const text of texts) {
      const address = readAddress(text);
      const known = address && this.addresses.some((each) => String(each) === String(address));
      if (address?.isUsable && !known && this.addresses.length < ADDRESSES_MAX) this.addresses.push(address);
    }
  }
}

export class Calls {
  /** @param {Endpoint} endpoint */
  constructor(endpoint) {
    this.endpoint = endpoint;
    /** @type {Set<Call>} */
    this.calls = new Set();
    /** The call of a session that was dialled. @type {WeakMap<Session, Call>} */
    this.bySession = new WeakMap();
    /** @type {WeakMap<Session, {resolve: (peer: Peer) => void, reject: (error: Error) => void}>} */
    this.pending = new WeakMap();
  }

  /** @param {Ticket | string} target A ticket, its text or URI, or an address.
   * @param {{keep?: boolean, timeoutS?: number}} options @returns {Promise<Peer>} */
  async connect(target, { keep = true, timeoutS = 20 } = {}) {
    const call = this.find(target) ?? this.make(target, keep);
    if (call.peer?.connected) return call.peer;
    const reached = new Promise((resolve, reject) => call.waiting.push({ resolve, reject }));
    if (!call.trying) this.attempt(call);
    const late = () => new NetworkError(`no session came about within ${timeoutS} s`);
    return within(reached, this.endpoint.clock, timeoutS, late);
  }

  /** A call to the same target. @param {Ticket | string} target */
  find(target) {
    const key = typeof target === 'string' && target.startsWith('/') ? null : toTicket(target).staticKey;
    if (!key) return [...this.calls].find((call) => !call.staticKey && String(call.addresses[0]) === String(parseAddress(/** @type {string} */ (target))));
    return [...this.calls].find((call) => call.staticKey && equal(call.staticKey, key));
  }

  /** @param {Ticket | string} target @param {boolean} keep */
  make(target, keep) {
    let ticket = null;
    /** @type {Address[]} */
    let addresses;
    if (typeof target === 'string' && target.trim().startsWith('/')) {
      addresses = [parseAddress(target.trim())];
    } else {
      ticket = toTicket(target);
      ticket.check(this.endpoint.wallMs());
      addresses = ticket.addresses.map(readAddress).filter((address) => address !== null);
    }
    const usable = addresses.filter((address) => address.isUsable);
    if (!usable.length) {
      throw new UsageError(
        'none of these addresses can be opened here: a browser opens /ws and /wss; let the node listen on ' +
          'one, or reach it through a relay',
      );
    }
    const call = new Call(ticket, usable, keep);
    this.calls.add(call);
    return call;
  }

  /** Try all addresses once, in turn. @param {Call} call */
  async attempt(call) {
    call.trying = true;
    call.cancel();
    /** @type {WhispurrError[]} */
    const errors = [];
    for (const address of call.inOrder()) {
      if (call.over || call.peer?.connected) break;
      try {
        const peer = await this.dial(call, address);
        call.tries = 0;
        call.trying = false;
        this.reached(call, peer);
        return;
      } catch (error) {
        if (!(error instanceof WhispurrError)) throw error;
        errors.push(error);
      }
    }
    call.trying = false;
    if (call.over || call.peer?.connected) return;
    const error = errors.find((each) => each instanceof AuthError || each instanceof UsageError) ?? errors[0];
    this.failed(call, error ?? new NetworkError('there is no address to try'));
  }

  /** @param {Call} call @param {Peer} peer */
  reached(call, peer) {
    call.peer = peer;
    for (const { resolve } of call.waiting.splice(0)) resolve(peer);
    if (!call.keep) this.calls.delete(call);
  }

  /** @param {Call} call @param {WhispurrError} error */
  failed(call, error) {
    const final = !call.keep || error instanceof AuthError || error instanceof UsageError;
    for (const { reject } of call.waiting.splice(0)) reject(error);
    if (final && !call.peer) this.end(call);
    else this.again(call);
  }

  /** Try again later. @param {Call} call */
  again(call) {
    if (call.over || call.trying) return;
    const { endpoint } = this;
    const waitS = Math.min(AGAIN_S * 2 ** call.tries, AGAIN_S_MAX) * (0.75 + endpoint.entropy(1)[0] / 512);
    call.tries += 1;
    call.cancel();
    call.cancel = endpoint.clock.schedule(endpoint.now() + waitS, () => {
      if (!call.over && !call.peer?.connected && !call.trying) this.attempt(call);
    });
  }

  /** Open a link to one address and make a session on it. @param {Call} call @param {Address} address
   * @returns {Promise<Peer>} */
  async dial(call, address) {
    const { endpoint } = this;
    const link = address.relay
      ? await endpoint.relays.dial(address)
      : await dialWebSocket(address, { WebSocket: endpoint.WebSocket, clock: endpoint.clock });
    if (call.over || endpoint.stopped) {
      link.close();
      throw new NetworkError('the call was given up meanwhile');
    }
    const identity = (call.peer && endpoint.identityFor(call.peer)) ?? endpoint.identity;
    const side = new Initiator(endpoint.handshake, identity, {
      entropy: endpoint.entropy,
      wallMs: () => endpoint.wallMs(),
      binding: link.binding,
      remoteKey: call.staticKey,
      expectedId: call.staticKey ? null : address.id, // a key says as much, and outlives a rotation
      psk: call.psk,
    });
    return new Promise((resolve, reject) => {
      const session = endpoint.open(link, side, true);
      this.bySession.set(session, call);
      this.pending.set(session, { resolve, reject });
      session.start();
    });
  }

  /** A session stands. @param {Session} session @param {Peer} peer */
  greeted(session, peer) {
    for (const call of this.calls) {
      if (call.peer === peer || (call.staticKey && equal(call.staticKey, peer.staticKey))) {
        call.peer = peer;
        call.learn(peer.addresses);
        if (peer.psk) call.psk = peer.psk;
        call.invited = false;
      }
    }
    this.pending.get(session)?.resolve(peer);
  }

  /** A session ended, or never came about. @param {Session} session @param {Peer | null} peer
   * @param {WhispurrError} error @param {boolean} forGood */
  ended(session, peer, error, forGood) {
    this.pending.get(session)?.reject(error);
    for (const call of peer ? [...this.calls] : []) {
      if (call.peer !== peer || peer?.connected) continue;
      if (forGood) this.end(call);
      else if (call.keep) {
        if (this.endpoint.now() - session.sinceS > STEADY_S) call.tries = 0;
        this.again(call);
      }
    }
  }

  /** It goes by another key and id from now on. @param {Peer} peer @param {Uint8Array} oldId */
  renamed(peer, oldId) {
    for (const call of this.calls) {
      if (call.peer !== peer) continue;
      if (call.staticKey) call.staticKey = peer.staticKey;
      call.addresses = call.addresses.map((address) =>
        address.peerId === hex(oldId) ? new Address({ ...address, peerId: peer.name }) : address,
      );
    }
  }

  /** @param {Peer} peer */
  giveUp(peer) {
    for (const call of [...this.calls]) if (call.peer === peer) this.end(call);
  }

  /** Whether a session was wanted by a person or the application. @param {Session} session */
  isKept(session) {
    return this.bySession.get(session)?.keep ?? false;
  }

  /** @param {Call} call */
  end(call) {
    call.over = true;
    call.cancel();
    this.calls.delete(call);
  }

  stop() {
    for (const call of [...this.calls]) {
      this.end(call);
      for (const { reject } of call.waiting.splice(0)) reject(new NetworkError('this node was stopped'));
    }
  }

  toString() {
    return [...this.calls].map((call) => (call.staticKey ? hex(call.staticKey).slice(0, 8) : '?')).join(' ');
  }
}

/** @param {Ticket | string} target */
const toTicket = (target) => (typeof target === 'string' ? parseTicket(target) : target);
