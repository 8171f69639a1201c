// The node: its identity, its peers, its sessions. What carries links (websocket.js, relay.js,
// webrtc.js) and what is said in sessions (gossip/) stand beside it and go through it.
//
// A node here is a full end of the protocol, not a remote control of another: it makes its own
// identity, changes it every hour, and holds its own keys; nothing of it is stored.
import { Address } from './address.js';
import { concat, equal, readU32, u32, u8 } from './bytes.js';
import { Calls } from './calls.js';
import { Clock } from './clock.js';
import { entropy } from './crypto.js';
import { Deliveries } from './deliveries.js';
import { NetworkError, ProtocolError, UsageError } from './errors.js';
import * as frames from './frame.js';
import { Gate } from './gate.js';
import * as greeting from './greeting.js';
import { Responder } from './handshake.js';
import { Proof, verifyPredecessor, verifySuccessor } from './identity.js';
import { checkPresence, Peer } from './peer.js';
import { verifyPersona } from './persona.js';
import { Relays } from './relay.js';
import { Roster } from './roster.js';
import { Selves } from './selves.js';
import { Session } from './session.js';
import { Signal } from './signal.js';
import { newcomerWins } from './takeover.js';
import { Ticket } from './ticket.js';

/** @typedef {import('./codec.js').Message} Message */
/** @typedef {{up?: (peer: Peer) => void, down?: (peer: Peer) => void, renamed?: (peer: Peer, oldId: Uint8Array) => void,
 *   frame?: (peer: Peer, body: Uint8Array) => void}} Protocol */

/** What an endpoint can be told; every field may be missing.
 * @typedef {{networkSecret?: Uint8Array, capabilities?: number, profile?: string, heartbeatS?: number,
 *   persona?: import('./persona.js').Persona, presence?: {state: string, note: string}, relays?: string[],
 *   iceServers?: RTCIceServer[], relayOnly?: boolean, webrtc?: boolean, lifetimeS?: number, overlapS?: number,
 *   level?: number, minLevel?: number, acceptFirstContact?: boolean, outerTimeoutS?: number,
 *   channel?: Partial<import('./channel.js').Config>, courier?: Partial<import('./courier.js').Config>,
 *   WebSocket?: any, RTCPeerConnection?: any, clock?: Clock, entropy?: import('./crypto.js').Entropy}} Options
 *   relays: tickets of nodes to have a place at; relayOnly: tell no peer an address of this machine. */

const SESSIONS_MAX = 128;
const STREAM_OPEN = 1;
const STREAM_RESET = 4;
const STREAM_REFUSED = 1;

export class Endpoint {
  /** @param {Options} options */
  constructor(options = {}) {
    this.options = options;
    this.clock = options.clock ?? new Clock();
    this.entropy = options.entropy ?? entropy;
    this.networkSecret = options.networkSecret ?? null;
    this.WebSocket = options.WebSocket ?? globalThis.WebSocket;
    this.RTCPeerConnection = options.webrtc === false ? undefined : options.RTCPeerConnection ?? globalThis.RTCPeerConnection;
    if (!this.WebSocket) throw new UsageError('there is no WebSocket here; in Node 20 give one: new Endpoint({ WebSocket })');
    const { level = 3, minLevel = 1, acceptFirstContact = false } = options;
    this.handshake = { level, minLevel, acceptFirstContact, networkSecret: this.networkSecret };
    this.channel = { heartbeatS: options.heartbeatS ?? 30, ...options.channel };
    this.persona = options.persona ?? null;
    this.presence = options.presence ?? { state: 'online', note: '' };
    this.gate = new Gate();
    this.counts = { protocolErrors: 0, handshakesFailed: 0, circuitsFailed: 0, unknownFrames: 0 };
    this.stopped = false;
    this.selves = new Selves(this);
    this.roster = new Roster();
    /** @type {Set<Session>} */
    this.sessions = new Set();
    /** @type {Map<Session, Peer>} */
    this.bySession = new Map();
    this.deliveries = new Deliveries(this);
    /** @type {Map<number, Protocol>} */
    this.protocols = new Map();
    /** @type {Map<string, Set<(event: any) => void>>} */
    this.listeners = new Map();
    this.calls = new Calls(this);
    this.relays = new Relays(this);
    this.signal = new Signal(this);
  }

  /** Begin: ask the relays for places. Resolves at once; peers are met meanwhile. */
  async start() {
    for (const relay of this.options.relays ?? []) {
      const reached = this.connect(relay, { keep: true });
      reached.then((peer) => this.relays.want(peer), (error) => this.emit('warn', { text: `no relay there: ${error.message}` }));
    }
  }

  /** Say goodbye to everybody. */
  async stop() {
    this.stopped = true;
    this.selves.stop();
    this.calls.stop();
    this.signal.stop();
    for (const session of [...this.sessions]) session.leave(greeting.SHUTTING_DOWN);
    this.deliveries.stop();
  }

  // Who we are

  get identity() {
    return this.selves.identities[0];
  }

  /** The current one first, then those that still answer. */
  get identities() {
    return this.selves.identities;
  }

  get id() {
    return this.identity.id;
  }

  now() {
    return this.clock.now();
  }

  wallMs() {
    return this.clock.wallMs();
  }

  /** Take a new identity, and tell every peer. */
  rotate() {
    this.selves.rotate();
  }

  /** Who we are to a peer: whom it knows already, so that it finds its record of us. @param {Peer} peer */
  identityFor(peer) {
    return this.selves.forPeer(peer);
  }

  /** What every hello says that we can do. */
  get capabilities() {
    return (this.options.capabilities ?? 0) | (this.RTCPeerConnection ? greeting.WEBRTC : 0);
  }

  /** Our own ticket: the places that relays keep for us. */
  ticket() {
    const endsS = Math.floor(this.identity.expiresMs() / 1000);
    return new Ticket({ staticKey: this.identity.static.public, addresses: this.relays.addresses().slice(0, 8), expiresS: endsS, persona: this.persona?.id });
  }

  /** @param {Uint8Array} key @param {Address} address */
  ticketFor(key, address) {
    return new Ticket({ staticKey: key, addresses: [address.placeText()] });
  }

  /** @param {string} state @param {string} note */
  setPresence(state, note = '') {
    checkPresence(state, note);
    this.presence = { state, note };
    for (const peer of this.peers) peer.session?.note({ type: 'Presence', state, note });
  }

  // Peers

  /** Those that are connected. */
  get peers() {
    return this.roster.all.filter((peer) => peer.connected);
  }

  get hasRoom() {
    return this.sessions.size < SESSIONS_MAX;
  }

  /** @param {Uint8Array} id */
  peerById(id) {
    return this.roster.byId(id, this.wallMs());
  }

  /** A session with who a ticket or an address names. @param {Ticket | string} target
   * @param {{keep?: boolean, timeoutS?: number}} [options] keep: make it again whenever it ends. */
  async connect(target, options = {}) {
    if (this.stopped) throw new UsageError('this node was stopped; make another');
    return this.calls.connect(target, options);
  }

  /** Your protocol: what comes in frames of this type. @param {number} type @param {Protocol} protocol */
  use(type, protocol) {
    this.protocols.set(type, protocol);
  }

  /** @param {string} name @param {(event: any) => void} fn @returns {() => void} */
  on(name, fn) {
    let set = this.listeners.get(name);
    if (!set) this.listeners.set(name, (set = new Set()));
    set.add(fn);
    return () => void set.delete(fn);
  }

  /** @param {string} name @param {any} event */
  emit(name, event) {
    for (const fn of this.listeners?.get(name) ?? []) {
      try {
        fn(event);
      } catch (error) {
        queueMicrotask(() => { throw error; }); // the application's own: loud, and none of our business
      }
    }
  }

  /** @param {number} atS @param {() => void} fn */
  schedule(atS, fn) {
    return this.clock.schedule(atS, fn);
  }

  // Sessions

  /** @param {import('./link.js').Link} link
   * @param {import('./handshake.js').Initiator | import('./handshake.js').Responder} side @param {boolean} initiator */
  open(link, side, initiator) {
    const session = new Session(link, side, {
      owner: this, clock: this.clock, entropy: this.entropy, initiator, channel: this.channel,
    });
    this.sessions.add(session);
    return session;
  }

  /** Somebody opened this link to us. @param {import('./link.js').Link} link */
  accept(link) {
    if (this.stopped || !this.hasRoom) {
      link.close();
      return;
    }
    const side = new Responder(this.handshake, this.identities, this.gate, {
      entropy: this.entropy,
      wallMs: () => this.wallMs(),
      binding: link.binding,
      findPsk: (matches) => this.roster.all.find((peer) => peer.psk && matches(peer.psk))?.psk ?? null,
    });
    this.open(link, side, false).start();
  }

  /** The handshake is done: greet. @param {Session} session */
  established(session) {
    const done = /** @type {import('./handshake.js').Established} */ (session.done);
    if (this.identities.some((identity) => equal(identity.id, done.proof.id))) {
      session.finish(new UsageError('that address is this node itself'), null);
      return;
    }
    const role = session.initiator ? greeting.INITIATOR : greeting.RESPONDER;
    session.note({
      type: 'Hello',
      version: greeting.VERSION,
      profile: this.options.profile ?? 'browser',
      capabilities: this.capabilities | (this.calls.isKept(session) ? greeting.KEEP : 0),
      heartbeatMs: Math.round(this.channel.heartbeatS * 1000),
      addresses: this.relays.addresses().filter((text) => text.length <= greeting.ADDRESS_BYTES_MAX).slice(0, greeting.ADDRESSES_MAX),
      persona: this.persona?.prove(session.binding, role) ?? null,
    });
  }

  /** The peer has greeted. @param {Session} session @param {Message} hello @param {Message[]} more */
  greeted(session, hello, more) {
    const { proof, keys } = /** @type {import('./handshake.js').Established} */ (session.done);
    const role = session.initiator ? greeting.RESPONDER : greeting.INITIATOR;
    const persona = hello.persona ? verifyPersona(hello.persona, session.binding, role) : null;
    const call = this.calls.bySession.get(session);
    if (call?.persona && !(persona && equal(call.persona, persona))) {
      throw new ProtocolError('the node that answered does not hold the long-term identity in the ticket');
    }
    const asked = more.some((message) => message.type === 'Moves');
    let peer = this.roster.find(proof, persona, this.wallMs());
    if (peer?.session) {
      if (!newcomerWins(peer.session, session, this.now(), asked)) {
        session.leave(greeting.DUPLICATE);
        return;
      }
      const old = peer.session;
      this.lose(peer, new NetworkError(greeting.REASONS[greeting.DUPLICATE]));
      this.bySession.delete(old);
      old.leave(greeting.DUPLICATE);
    }
    if (!peer) peer = this.roster.add((handle) => new Peer(this, handle, proof));
    if (!equal(peer.id, proof.id)) peer.rename(proof);
    // Who holds a session with us asks whether it goes on here: no, this is a session of its own.
    if (asked && !session.initiator) session.note({ type: 'Moves', session: new Uint8Array(0) });
    if (call?.invited) peer.psk = keys.export('pairwise');
    peer.capabilities = hello.capabilities;
    peer.profile = hello.profile;
    peer.addresses = hello.addresses;
    peer.persona = persona;
    peer.session = session;
    peer.ours = session.ours;
    this.bySession.set(session, peer);
    this.courierEffects(peer, peer.courier.up());
    session.courier = peer.courier;
    this.selves.announce(peer);
    if (this.presence.state !== 'online' || this.presence.note) session.note({ type: 'Presence', ...this.presence });
    for (const protocol of this.protocols.values()) protocol.up?.(peer);
    this.calls.greeted(session, peer);
    this.emit('up', { peer });
    for (const message of more) if (!session.over) this.told(session, message);
  }

  /** The peer says something of itself, or a timer of its session came. @param {Session} session @param {Message} message */
  told(session, message) {
    const peer = this.bySession.get(session);
    if (!peer) return;
    const now = this.now();
    switch (message.type) {
      case 'Tick':
        this.courierEffects(peer, peer.courier.tick(now));
        break;
      case 'Sent':
        this.courierEffects(peer, []);
        break;
      case 'Hello':
        throw new ProtocolError('a second hello');
      case 'Rotate':
        this.renamed(peer, message);
        break;
      case 'Presence':
        if (!peer.news.take(1, now)) throw new ProtocolError('a peer changes its presence too often');
        peer.presence = { state: message.state, note: message.note };
        this.emit('presence', { peer });
        break;
      default: // memberships, moves: not spoken here
    }
  }

  /** @param {Peer} peer @param {Message} message */
  renamed(peer, { proof: encoded, signature, consent }) {
    if (!peer.rotations.take(1, this.now())) throw new ProtocolError('a peer changes its identity too often');
    const proof = Proof.decode(encoded);
    proof.verify(this.wallMs());
    verifySuccessor(peer.proof, proof, signature);
    verifyPredecessor(peer.proof, proof, consent);
    const oldId = peer.id;
    peer.rename(proof);
    this.calls.renamed(peer, oldId);
    for (const protocol of this.protocols.values()) protocol.renamed?.(peer, oldId);
    this.emit('renamed', { peer, oldId });
  }

  /** @param {Session} session @param {number} type @param {Uint8Array} body */
  frame(session, type, body) {
    const peer = this.bySession.get(session);
    if (!peer) return;
    if (type === frames.DIRECT) {
      this.courierEffects(peer, peer.courier.arrived(body, this.now()));
      return;
    }
    const protocol = this.protocols.get(type);
    if (protocol?.frame) protocol.frame(peer, body);
    else if (type === frames.STREAM && body[0] === STREAM_OPEN && body.length >= 6) refuseStream(peer, body);
    else this.counts.unknownFrames += 1;
  }

  /** @param {Session} session @param {number} seconds */
  rtt(session, seconds) {
    for (const resolve of this.bySession.get(session)?.pings.splice(0) ?? []) resolve(seconds);
  }

  /** @param {Session} session @param {import('./errors.js').WhispurrError} error @param {number | null} reason */
  ended(session, error, reason) {
    this.sessions.delete(session);
    if (error instanceof ProtocolError) this.counts.protocolErrors += 1;
    const peer = this.bySession.get(session) ?? null;
    this.bySession.delete(session);
    if (!peer) this.counts.handshakesFailed += 1;
    const last = peer?.session === session;
    if (peer && last) this.lose(peer, error);
    const final = [greeting.CLOSED, greeting.REVOKED, greeting.PRUNED];
    const forGood = last && reason !== null && final.includes(reason);
    this.calls.ended(session, last ? peer : null, error, forGood);
  }

  /** @param {Peer} peer @param {Error} error */
  lose(peer, error) {
    if (peer.session) peer.session.courier = null;
    peer.session = null;
    this.courierEffects(peer, peer.courier.down(this.now()));
    peer.pings = [];
    for (const protocol of this.protocols.values()) protocol.down?.(peer);
    this.emit('down', { peer, reason: error.message });
    this.watch(peer);
  }

  /** @param {Peer} peer */
  watch(peer) {
    this.deliveries.watch(peer);
  }

  /** @param {Peer} peer @param {import('./courier.js').Effect[]} effects */
  courierEffects(peer, effects) {
    this.deliveries.take(peer, effects);
  }
}

/** Streams are not spoken here. @param {Peer} peer @param {Uint8Array} body */
function refuseStream(peer, body) {
  peer.sendFrame(frames.STREAM, concat(u8(STREAM_RESET), u32(readU32(body, 1)), u32(STREAM_REFUSED)));
}
