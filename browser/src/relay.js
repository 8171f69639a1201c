// The user's side of relays: places at them, and circuits through them; `whispurrnet/nat/client.py`.
//
// A circuit is a WebSocket of its own to the relay that begins with a token of 32 bytes; when the
// other side has come the relay says one byte, 1, and copies bytes from then on. The usual handshake
// runs end to end inside it, so a relay learns two ephemeral ids, the time and the volume.
import { Address, readAddress } from './address.js';
import { TokenBucket } from './bounded.js';
import { equal, hex } from './bytes.js';
import { bytes, Codec, roughly, str, uint } from './codec.js';
import { within } from './clock.js';
import { NetworkError, ProtocolError, WhispurrError } from './errors.js';
import { RELAY } from './frame.js';
import { RELAYS } from './greeting.js';
import { Link } from './link.js';
import { NO_BINDING } from './payload.js';
import { dialWebSocket } from './websocket.js';

/** @typedef {import('./peer.js').Peer} Peer */

const U32 = 0xffffffff;
const ANSWER_S = 10;
const READY_S = 10;
const READY = 1;
const RETRY_S = 30;
const REFUSED_S = 600;
const TOO_MANY = 2;
const MESSAGES_MAX = 8;
const BODY_BYTES_MAX = 4096;
const SPAN_S_MIN = 60;
const REASONS = ['', 'nobody with that id has a place there', 'it carries as much as it can; try again later', 'it is no relay', 'it does not carry links for us'];

/** @type {import('./codec.js').Union} */
export const UNION = {
  Reserve: [1, {}],
  Reserved: [2, { expiresInS: uint(U32), bytesPerS: roughly(), bytesMax: roughly() }],
  Refused: [3, { nonce: uint(U32), code: uint(255), text: str(200) }],
  Connect: [4, { nonce: uint(U32, 1), id: bytes(32) }],
  Granted: [5, { nonce: uint(U32), token: bytes(32) }],
  Incoming: [6, { token: bytes(32), id: bytes(32) }],
  Release: [7, {}],
};
const CODEC = new Codec(UNION);

/** The body of a RELAY frame. @param {import('./codec.js').Message[]} messages */
export const encode = (...messages) => CODEC.encodeAll(messages);

/** Read the body of a RELAY frame; messages of a later version are skipped. @param {Uint8Array} body */
export function decode(body) {
  if (body.length > BODY_BYTES_MAX) throw new ProtocolError('a relay frame is too long');
  const messages = CODEC.decodeAll(body);
  if (messages.length > MESSAGES_MAX) throw new ProtocolError('a relay frame has too many messages');
  return messages;
}

/** A link through a relay. */
export class RelayedLink extends Link {
  /** @param {Link} inner @param {string} remote */
  constructor(inner, remote) {
    super('relay', remote);
    this.inner = inner;
    this.binding = NO_BINDING;
    inner.attach({ data: (data) => this.came(data), closed: (reason) => this.lost(reason) });
  }

  /** @override */
  get buffered() {
    return this.inner.buffered;
  }

  /** @override @param {Uint8Array} data */
  write(data) {
    this.inner.write(data);
  }

  /** @override */
  close() {
    this.inner.close();
    this.lost('closed here');
  }
}

/** Show a token to a relay and wait for the other side. @param {Link} inner @param {Uint8Array} token
 * @param {string} remote @param {import('./clock.js').Clock} clock @returns {Promise<RelayedLink>} */
export async function meet(inner, token, remote, clock) {
  const ready = new Promise((resolve, reject) => {
    inner.attach({
      data: (data) => {
        inner.attach(null);
        if (data[0] !== READY) return reject(new NetworkError('it is no relay: it does not speak as one'));
        if (data.length > 1) inner.came(data.subarray(1));
        return resolve(new RelayedLink(inner, remote));
      },
      closed: (reason) => reject(new NetworkError(`the relay closed the circuit: ${reason}; the peer did not come`)),
    });
  });
  inner.write(token);
  try {
    return await within(ready, clock, READY_S, () => new NetworkError(`the peer did not come to the relay within ${READY_S} s`));
  } catch (error) {
    inner.close();
    throw error;
  }
}

/** What we have at one relay. */
class Place {
  constructor() {
    this.held = false;
    this.asked = false;
    this.cancel = () => {};
    this.incoming = new TokenBucket(2, 64);
  }
}

export class Relays {
  /** @param {import('./endpoint.js').Endpoint} endpoint */
  constructor(endpoint) {
    this.endpoint = endpoint;
    /** Relays that are to be used: the calls that lead to them. @type {Set<string>} */
    this.wanted = new Set();
    /** @type {Map<Peer, Place>} */
    this.places = new Map();
    this.nonce = endpoint.entropy(3).reduce((n, byte) => n * 256 + byte, 1);
    /** @type {Map<number, {peer: Peer, resolve: (token: Uint8Array) => void, reject: (error: Error) => void}>} */
    this.dials = new Map();
    endpoint.use(RELAY, {
      up: (peer) => this.up(peer),
      down: (peer) => this.down(peer),
      frame: (peer, body) => this.frame(peer, body),
      renamed: () => this.changed(),
    });
  }

  /** Our own addresses: one for each relay that has a place for us. */
  addresses() {
    const own = hex(this.endpoint.id);
    return [...this.places].flatMap(([peer, place]) => {
      const base = place.held ? this.baseOf(peer) : null;
      return base ? [String(base.through(hex(peer.staticKey), own))] : [];
    });
  }

  /** Where a connected relay is reached. @param {Peer} peer @returns {Address | null} */
  baseOf(peer) {
    const { session } = peer;
    if (session?.initiator && session.path.startsWith('ws')) return readAddress(session.link.remote);
    return peer.addresses.map(readAddress).find((address) => address?.isUsable && !address.relay) ?? null;
  }

  /** Have a place at this relay. @param {Peer} peer */
  want(peer) {
    this.wanted.add(String(peer.handle));
    if (peer.connected) this.up(peer);
  }

  /** @param {Peer} peer */
  up(peer) {
    if (!this.places.has(peer)) this.places.set(peer, new Place());
    if (this.wanted.has(String(peer.handle))) this.reserve(peer);
  }

  /** @param {Peer} peer */
  down(peer) {
    const place = this.places.get(peer);
    place?.cancel();
    this.places.delete(peer);
    for (const [nonce, dial] of this.dials) {
      if (dial.peer !== peer) continue;
      this.dials.delete(nonce);
      dial.reject(new NetworkError('the relay was lost'));
    }
    if (place?.held) this.changed();
  }

  /** @param {Peer} peer */
  reserve(peer) {
    const place = this.places.get(peer);
    if (!place || place.asked) return;
    if (!(peer.capabilities & RELAYS)) {
      this.endpoint.emit('warn', { text: `${peer.name.slice(0, 8)} is no relay; ask its owner, or take another` });
      return;
    }
    place.asked = true;
    this.send(peer, { type: 'Reserve' });
    this.later(peer, place, ANSWER_S, RETRY_S);
  }

  /** Ask again: after `seconds` without an answer, with a pause. @param {Peer} peer @param {Place} place
   * @param {number} seconds @param {number} pauseS */
  later(peer, place, seconds, pauseS = 0) {
    const { endpoint } = this;
    place.cancel();
    place.cancel = endpoint.clock.schedule(endpoint.now() + seconds, () => {
      place.asked = false;
      if (pauseS) this.later(peer, place, pauseS);
      else this.reserve(peer);
    });
  }

  /** @param {Peer} peer @param {import('./codec.js').Message} message */
  send(peer, message) {
    peer.sendFrame(RELAY, encode(message), 10);
  }

  /** @param {Peer} peer @param {Uint8Array} body */
  frame(peer, body) {
    for (const message of decode(body)) this.arrived(peer, message);
  }

  /** @param {Peer} peer @param {import('./codec.js').Message} message */
  arrived(peer, message) {
    const place = this.places.get(peer);
    if (!place) return;
    switch (message.type) {
      case 'Reserved':
        if (place.asked) this.reserved(peer, place, Math.max(SPAN_S_MIN, message.expiresInS));
        break;
      case 'Refused':
        if (message.nonce) this.answered(peer, message.nonce)?.reject(refusal(message));
        else if (place.asked) this.refused(peer, place, message);
        break;
      case 'Granted':
        this.answered(peer, message.nonce)?.resolve(message.token);
        break;
      case 'Incoming':
        if (place.incoming.take(1, this.endpoint.now())) this.accept(peer, message.token, message.id);
        break;
      default: // asked of a relay, which we are not
        if (message.type === 'Connect') this.send(peer, { type: 'Refused', nonce: message.nonce, code: 3, text: '' });
        else if (message.type === 'Reserve') this.send(peer, { type: 'Refused', nonce: 0, code: 3, text: '' });
    }
  }

  /** @param {Peer} peer @param {Place} place @param {number} spanS */
  reserved(peer, place, spanS) {
    const fresh = !place.held;
    place.held = true;
    place.asked = false;
    this.later(peer, place, spanS * (0.5 + this.endpoint.entropy(1)[0] / 1280));
    if (fresh) this.changed();
  }

  /** @param {Peer} peer @param {Place} place @param {import('./codec.js').Message} message */
  refused(peer, place, message) {
    const held = place.held;
    place.held = place.asked = false;
    this.later(peer, place, message.code === TOO_MANY ? RETRY_S : REFUSED_S);
    this.endpoint.emit('warn', { text: `a relay has no place for us: ${REASONS[message.code] ?? REASONS[4]}` });
    if (held) this.changed();
  }

  /** @param {Peer} peer @param {number} nonce */
  answered(peer, nonce) {
    const dial = this.dials.get(nonce);
    if (dial?.peer !== peer) return null;
    this.dials.delete(nonce);
    return dial;
  }

  changed() {
    this.endpoint.emit('address', { addresses: this.addresses() });
  }

  // Circuits

  /** A link to who is behind a relay. @param {Address} address @returns {Promise<RelayedLink>} */
  async dial(address) {
    const { endpoint } = this;
    const key = /** @type {Uint8Array} */ (address.relayKey);
    const relay = endpoint.peers.find((peer) => equal(peer.staticKey, key)) ?? (await this.callRelay(address, key));
    const nonce = (this.nonce = (this.nonce % U32) + 1);
    const granted = new Promise((resolve, reject) => this.dials.set(nonce, { peer: relay, resolve, reject }));
    this.send(relay, { type: 'Connect', nonce, id: /** @type {Uint8Array} */ (address.id) });
    let token;
    try {
      token = await within(granted, endpoint.clock, ANSWER_S, () => new NetworkError('the relay did not answer'));
    } finally {
      this.dials.delete(nonce);
    }
    return this.circuit(this.baseOf(relay) ?? address, token, String(address));
  }

  /** @param {Address} address @param {Uint8Array} key */
  callRelay(address, key) {
    return this.endpoint.connect(this.endpoint.ticketFor(key, address), { keep: false });
  }

  /** @param {Address} base @param {Uint8Array} token @param {string} remote */
  async circuit(base, token, remote) {
    const { endpoint } = this;
    const inner = await dialWebSocket(base, { WebSocket: endpoint.WebSocket, clock: endpoint.clock });
    return meet(inner, token, remote, endpoint.clock);
  }

  /** Somebody calls. @param {Peer} relay @param {Uint8Array} token @param {Uint8Array} id As the relay says. */
  async accept(relay, token, id) {
    const base = this.baseOf(relay);
    if (!base || !this.endpoint.hasRoom) return;
    try {
      const link = await this.circuit(base, token, String(base.through(hex(relay.staticKey), hex(id))));
      this.endpoint.accept(link);
    } catch (error) {
      if (!(error instanceof WhispurrError)) throw error;
      this.endpoint.counts.circuitsFailed += 1;
    }
  }
}

/** @param {import('./codec.js').Message} message */
function refusal({ code, text }) {
  const said = text ? ` (it says: ${text})` : '';
  return new NetworkError(`the relay refused: ${REASONS[code] || REASONS[4]}${said}`);
}
