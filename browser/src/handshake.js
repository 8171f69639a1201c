// The handshake: from a fresh link and two identities to the keys of a session, as initiator and as
// responder; the same machines as `whispurrnet/session/{initiator,responder,side}.py`.
//
// Bytes in by `arrived`, effects out: {write}, {established}, {refused}. What a responder finds wrong
// with a first message it answers with silence; what went wrong is told to the application, never
// to the peer. A session is established only after the peer's proof of identity was checked against
// the static key of this very handshake.
import { Buffer, concat, equal, NOTHING, startsWith, zeros } from './bytes.js';
import { hkdf, X25519Key } from './crypto.js';
import { AuthError, NetworkError, ProtocolError, UsageError, WhispurrError } from './errors.js';
import * as gates from './gate.js';
import { HandshakeState, TransportKeys } from './noise.js';
import {
  clockBucket, Credentials, Hello, HELLO_BYTES, HINT_BYTES, M3_BYTES, MACS_BYTES, networkTag, NO_BINDING, Offer,
  pskHint, suiteMask, vet,
} from './payload.js';

/** @typedef {import('./crypto.js').Entropy} Entropy */
/** @typedef {import('./identity.js').Ephemeral} Ephemeral */
/** @typedef {import('./identity.js').Proof} Proof */

/** @typedef {{keys: TransportKeys, proof: Proof, identity: Ephemeral, level: number, pattern: string,
 *   psk: 'none' | 'network' | 'pairwise', features: number, rest: Uint8Array, binding: Uint8Array,
 *   bindingMatches: boolean}} Established
 *   proof: the peer's, verified; identity: ours; rest: what came after the handshake. */
/** @typedef {{write: Uint8Array} | {established: Established}
 *   | {refused: WhispurrError | null, silent: boolean}} Effect
 *   A silent refusal leaves the link open and unanswered until the deadline. */

/** @typedef {{level: number, minLevel: number, networkSecret: Uint8Array | null,
 *   acceptFirstContact: boolean, features: number, timeoutS: number}} Config */

/** @type {Config} */
export const CONFIG = {
  level: 3, minLevel: 1, networkSecret: null, acceptFirstContact: false, features: 0, timeoutS: 10,
};

/** What initiator and responder have in common. */
class Side {
  /** @param {Partial<Config>} config @param {{entropy: Entropy, wallMs: () => number, binding?: Uint8Array}} world */
  constructor(config, { entropy, wallMs, binding = NO_BINDING }) {
    this.config = { ...CONFIG, ...config };
    this.entropy = entropy;
    this.wallMs = wallMs;
    this.binding = binding;
    this.buffer = new Buffer();
    /** @type {HandshakeState | null} */
    this.noise = null;
    this.over = false;
  }

  /** The link is gone. @returns {Effect[]} */
  closed() {
    return this.over ? [] : [this.refuse(this.whyClosed())];
  }

  /** It has taken too long. @returns {Effect[]} */
  expired() {
    return this.over ? [] : [this.refuse(this.whyExpired())];
  }

  /** @returns {WhispurrError | null} */
  whyClosed() {
    return null;
  }

  /** @returns {WhispurrError | null} */
  whyExpired() {
    return null;
  }

  /** Forget everything; nothing follows. */
  end() {
    this.over = true;
    this.noise = null;
    this.buffer.clear();
  }

  /** @param {WhispurrError | null} error @returns {Effect} */
  refuse(error) {
    this.end();
    return { refused: error, silent: false };
  }

  /** What a failure of the peer becomes; anything else is ours. @param {unknown} error @returns {Effect} */
  fault(error) {
    if (error instanceof ProtocolError) return this.refuse(error);
    throw error;
  }

  /** @param {Ephemeral} identity @param {number} suites */
  own(identity, suites) {
    return new Credentials({
      suites,
      minLevel: this.config.minLevel,
      features: this.config.features,
      clockBucket: clockBucket(this.wallMs()),
      binding: this.binding,
      proof: identity.proof,
    }).encode();
  }

  /** @param {Credentials} peer @param {Hello} hello @param {number} suites @param {Uint8Array | null} id */
  vet(peer, hello, suites, id) {
    vet(peer, {
      level: hello.level,
      suites,
      minLevel: this.config.minLevel,
      static: /** @type {HandshakeState} */ (this.noise).rs,
      binding: this.binding,
      wallMs: this.wallMs(),
      id,
    });
  }

  networkPsk() {
    const secret = this.config.networkSecret;
    return secret ? hkdf(secret, { info: 'WN1 psk' }) : zeros(32);
  }

  /** @param {Credentials} peer @param {Ephemeral} identity @param {Hello} hello @param {boolean} pairwise
   * @param {Uint8Array} rest @returns {Effect} */
  established(peer, identity, hello, pairwise, rest) {
    const keys = /** @type {HandshakeState} */ (this.noise).finish();
    this.end();
    return {
      established: {
        keys,
        proof: peer.proof,
        identity,
        level: hello.level,
        pattern: hello.pattern,
        psk: pairwise ? 'pairwise' : this.config.networkSecret ? 'network' : 'none',
        features: this.config.features & peer.features,
        rest,
        binding: peer.binding,
        bindingMatches: equal(peer.binding, this.binding),
      },
    };
  }
}

/** The side that opened the link. */
export class Initiator extends Side {
  /** @param {Partial<Config>} config @param {Ephemeral} identity
   * @param {{entropy: Entropy, wallMs: () => number, binding?: Uint8Array, remoteKey: Uint8Array | null,
   *   expectedId?: Uint8Array | null, psk?: Uint8Array | null}} options
   *   remoteKey null: pattern XX, a first contact; psk: shared with this responder, an invite's say. */
  constructor(config, identity, options) {
    super(config, options);
    this.identity = identity;
    this.remoteKey = options.remoteKey;
    this.expectedId = options.expectedId ?? null;
    this.psk = options.psk ?? null;
    this.hello = new Hello(this.config.level, this.remoteKey ? 'XK' : 'XX');
    this.suites = suiteMask(this.config.minLevel, this.config.level);
    this.m1 = NOTHING;
    this.cookieSeen = false;
  }

  /** The link is open: speak. @returns {Effect[]} */
  begin() {
    if (this.remoteKey && equal(this.remoteKey, this.identity.static.public)) {
      return [this.refuse(new UsageError("this ticket is this node's own; take another"))];
    }
    const { networkSecret, minLevel, features } = this.config;
    const e = X25519Key.generate(this.entropy);
    this.noise = new HandshakeState(this.hello.noiseName, {
      initiator: true,
      prologue: this.hello.prologue(networkTag(networkSecret)),
      s: this.identity.static,
      e,
      rs: this.remoteKey,
      entropy: this.entropy,
    });
    const hint = this.psk ? pskHint(this.psk, e.public) : this.entropy(HINT_BYTES);
    const offer = new Offer(this.suites, minLevel, features, hint);
    let message;
    try {
      message = this.noise.write(offer.encode(this.entropy));
    } catch (error) {
      if (!(error instanceof AuthError)) throw error;
      return [this.refuse(new UsageError("the ticket's key is no key; ask for another"))];
    }
    const m1 = concat(this.hello.encode(), message, zeros(MACS_BYTES));
    this.m1 = gates.addressMacs(m1, this.remoteKey, networkSecret);
    return [{ write: this.m1 }];
  }

  /** @param {Uint8Array} data @returns {Effect[]} */
  arrived(data) {
    if (this.over || !this.noise) return [];
    /** @type {Effect[]} */
    const effects = [];
    const { buffer } = this;
    buffer.add(data);
    if (!this.cookieSeen && startsWith(buffer.bytes, gates.COOKIE_HEAD)) {
      if (buffer.length < gates.COOKIE_REPLY_BYTES) return [];
      const cookie = this.cookieIn(buffer.bytes.subarray(0, gates.COOKIE_REPLY_BYTES));
      if (cookie) {
        this.cookieSeen = true;
        buffer.take(gates.COOKIE_REPLY_BYTES);
        effects.push({ write: gates.addCookie(this.m1, cookie) });
      }
    }
    if (buffer.length < this.hello.m2Bytes) return effects;
    const m2 = buffer.bytes;
    buffer.clear();
    try {
      if (m2.length > this.hello.m2Bytes) throw new ProtocolError('the peer spoke out of turn in the handshake');
      const [peer, m3] = this.answer(m2);
      effects.push({ write: m3 }, this.established(peer, this.identity, this.hello, this.psk !== null, NOTHING));
    } catch (error) {
      effects.push(this.fault(error));
    }
    return effects;
  }

  /** The cookie in the first 60 bytes, or null: then they begin a second message. @param {Uint8Array} reply */
  cookieIn(reply) {
    try {
      return gates.openCookie(reply, this.m1, this.remoteKey, this.config.networkSecret);
    } catch (error) {
      if (error instanceof AuthError) return null;
      throw error;
    }
  }

  /** @param {Uint8Array} m2 @returns {[Credentials, Uint8Array]} who wrote it, and the third message */
  answer(m2) {
    const noise = /** @type {HandshakeState} */ (this.noise);
    const peer = Credentials.decode(noise.read(m2));
    if (noise.rs && equal(noise.rs, this.identity.static.public)) {
      throw new AuthError('this address leads back to this node itself; take it out of the list');
    }
    this.vet(peer, this.hello, this.suites, this.expectedId);
    noise.psk = this.psk ?? this.networkPsk();
    return [peer, noise.write(this.own(this.identity, this.suites))];
  }

  /** @override */
  whyClosed() {
    return new NetworkError(
      'the other side closed the link during the handshake; it may speak another protocol, or know ' +
        'neither our network secret nor our invite',
    );
  }

  /** @override */
  whyExpired() {
    return new NetworkError(
      `no answer within ${this.config.timeoutS} s: nobody with the expected key (and network secret) ` +
        'listens there; check the ticket, it may be old',
    );
  }
}

/** The side that accepted the link. */
export class Responder extends Side {
  /** @param {Partial<Config>} config @param {Ephemeral[]} identities The current one first.
   * @param {gates.Gate} gate @param {{entropy: Entropy, wallMs: () => number, binding?: Uint8Array,
   *   findPsk?: (matches: (psk: Uint8Array) => boolean) => Uint8Array | null}} options */
  constructor(config, identities, gate, options) {
    super(config, options);
    this.identities = identities;
    this.identity = identities[0];
    this.gate = gate;
    this.findPsk = options.findPsk ?? (() => null);
    this.suites = suiteMask(this.config.minLevel, 5);
    this.silent = false;
    this.entered = false;
    /** @type {Hello | null} */
    this.hello = null;
    /** @type {Offer | null} */
    this.offer = null;
    this.ephemeral = NOTHING;
  }

  /** @returns {Effect[]} */
  begin() {
    return [];
  }

  /** @override */
  end() {
    super.end();
    if (this.entered) this.gate.leave();
    this.entered = false;
  }

  /** @param {Uint8Array} data @returns {Effect[]} */
  arrived(data) {
    if (this.over || this.silent) return [];
    this.buffer.add(data);
    return this.noise ? this.onThird() : this.onFirst();
  }

  /** Answer nothing, and forget what comes, until the deadline. @returns {Effect[]} */
  silence() {
    this.silent = true;
    this.noise = null;
    this.buffer.clear();
    return [{ refused: null, silent: true }];
  }

  /** @returns {Effect[]} */
  onFirst() {
    const { buffer } = this;
    if (buffer.length < HELLO_BYTES) return [];
    let hello;
    try {
      hello = Hello.decode(buffer.bytes.subarray(0, HELLO_BYTES));
    } catch (error) {
      if (error instanceof ProtocolError) return this.silence();
      throw error;
    }
    const { acceptFirstContact, networkSecret } = this.config;
    const permitted = (this.suites >> hello.level) & 1 && (hello.pattern === 'XK' || acceptFirstContact || networkSecret);
    if (!permitted || buffer.length > hello.m1Bytes) return this.silence();
    if (buffer.length < hello.m1Bytes) return [];
    const m1 = buffer.bytes;
    buffer.clear();
    const found = this.identities.find((identity) =>
      gates.isAddressed(m1, hello.pattern === 'XK' ? identity.static.public : null, networkSecret),
    );
    if (!found || !this.gate.enter(m1)) return this.silence();
    this.entered = true;
    this.identity = found;
    try {
      return [{ write: this.answer(m1, hello) }];
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.entered = false;
      this.gate.leave();
      return this.silence();
    }
  }

  /** @param {Uint8Array} m1 @param {Hello} hello */
  answer(m1, hello) {
    const noise = new HandshakeState(hello.noiseName, {
      initiator: false,
      prologue: hello.prologue(networkTag(this.config.networkSecret)),
      s: this.identity.static,
      entropy: this.entropy,
    });
    const offer = Offer.decode(noise.read(m1.slice(HELLO_BYTES, -MACS_BYTES)));
    if (!((offer.suites >> hello.level) & 1) || offer.minLevel > hello.level) {
      throw new ProtocolError('the peer offers a level that it does not take');
    }
    const m2 = noise.write(this.own(this.identity, this.suites));
    this.hello = hello;
    this.offer = offer;
    this.noise = noise;
    this.ephemeral = m1.slice(HELLO_BYTES, HELLO_BYTES + 32);
    return m2;
  }

  /** @returns {Effect[]} */
  onThird() {
    const { buffer } = this;
    if (buffer.length < M3_BYTES) return [];
    const m3 = buffer.take(M3_BYTES).slice();
    const rest = buffer.bytes.slice();
    buffer.clear();
    try {
      const [peer, pairwise] = this.admit(m3);
      return [this.established(peer, this.identity, /** @type {Hello} */ (this.hello), pairwise, rest)];
    } catch (error) {
      return [this.fault(error)];
    }
  }

  /** The offer's hint names one pre-shared key, or none; no other is tried.
   * @param {Uint8Array} m3 @returns {[Credentials, boolean]} */
  admit(m3) {
    const noise = /** @type {HandshakeState} */ (this.noise);
    const offer = /** @type {Offer} */ (this.offer);
    const psk = this.findPsk((known) => equal(pskHint(known, this.ephemeral), offer.hint));
    noise.psk = psk ?? this.networkPsk();
    const peer = Credentials.decode(noise.read(m3));
    const rs = /** @type {Uint8Array} */ (noise.rs);
    if (this.identities.some((identity) => equal(rs, identity.static.public))) {
      throw new AuthError('this node called itself');
    }
    if (peer.suites !== offer.suites || peer.minLevel !== offer.minLevel || peer.features !== offer.features) {
      throw new ProtocolError('the peer offers one thing first and another later');
    }
    this.vet(peer, /** @type {Hello} */ (this.hello), this.suites, null);
    return [peer, psk !== null];
  }
}
