// Making WebRTC links: offers and answers in SIGNAL frames, inside the session that the two have;
// the same machine as `whispurrnet/nat/signal.py`. The offerer is the initiator of the handshake in
// the link; the session that comes of it takes over from the older one.
import { TokenBucket } from './bounded.js';
import { readU32 } from './bytes.js';
import { Codec, str, uint } from './codec.js';
import { NetworkError, ProtocolError, WhispurrError } from './errors.js';
import { SIGNAL } from './frame.js';
import { WEBRTC } from './greeting.js';
import { Initiator } from './handshake.js';
import { Attempt } from './webrtc.js';

/** @typedef {import('./peer.js').Peer} Peer */
/** @typedef {import('./codec.js').Message} Message */

const U32 = 0xffffffff;
const SDP_CHARS_MAX = 16 * 1024;
const TIMEOUT_S = 15;
const JOIN_S = 10;
const CANDIDATES_MAX = 64;
const ATTEMPTS_MAX = 32;
const FIRST_S = 0.3;
const AGAIN_S = 30;
const AGAIN_S_MAX = 600;
const CANNOT = 1;
const TOO_MANY = 2;
const FAILED = 3;
const TIMED_OUT = 4;
const REASONS = [
  'the peer gave the WebRTC link up', 'the peer has no WebRTC', 'the peer makes as many WebRTC links as it can',
  'the peer could make no WebRTC link', 'the peer saw no WebRTC link come about in time',
];

const LINES = /^[\r\n -~]*$/; // ASCII; `$` without `m` is the very end
const LINE = /^[ -~]*$/;

/** @type {import('./codec.js').Union} */
export const UNION = {
  Offer: [1, { attempt: uint(U32), sdp: str(SDP_CHARS_MAX, 1, LINES) }],
  Answer: [2, { attempt: uint(U32), sdp: str(SDP_CHARS_MAX, 1, LINES) }],
  Candidate: [3, { attempt: uint(U32), candidate: str(512, 0, LINE), mid: str(16, 0, LINE) }],
  End: [4, { attempt: uint(U32), code: uint(255), text: str(200) }],
};
const CODEC = new Codec(UNION);

/** The body of a SIGNAL frame. @param {Message} message */
export const encode = (message) => CODEC.encodeOne(message);

/** Read the body of a SIGNAL frame; null for a message of a later version. @param {Uint8Array} body */
export const decode = (body) => CODEC.decodeOne(body);

/** What is under way, or planned, with one peer. */
class Talk {
  constructor() {
    /** @type {Attempt | null} */
    this.attempt = null;
    this.tries = 0;
    this.offers = new TokenBucket(0.1, 4);
    this.cancel = () => {};
    this.cancelNext = () => {};
    /** @type {{resolve: () => void, reject: (error: Error) => void}[]} */
    this.waiting = [];
  }
}

export class Signal {
  /** @param {import('./endpoint.js').Endpoint} endpoint */
  constructor(endpoint) {
    this.endpoint = endpoint;
    /** How many messages belonged to no attempt. */
    this.late = 0;
    /** @type {Map<Peer, Talk>} */
    this.talks = new Map();
    endpoint.use(SIGNAL, {
      up: (peer) => this.up(peer),
      down: (peer) => this.down(peer),
      frame: (peer, body) => this.frame(peer, body),
    });
  }

  get on() {
    return Boolean(this.endpoint.RTCPeerConnection);
  }

  get attempts() {
    return [...this.talks.values()].filter((talk) => talk.attempt).length;
  }

  /** A session stands. One that goes through a relay is to become a direct one. @param {Peer} peer */
  up(peer) {
    let talk = this.talks.get(peer);
    if (!talk) this.talks.set(peer, (talk = new Talk()));
    if (peer.path === 'webrtc') this.end(talk, null);
    if (peer.path === 'relay' && peer.session?.initiator) this.plan(peer, talk, FIRST_S);
  }

  /** @param {Peer} peer */
  down(peer) {
    const talk = this.talks.get(peer);
    if (!talk) return;
    talk.cancelNext();
    if (talk.attempt?.opened) return; // the new link is taking over
    this.end(talk, new NetworkError('the session ended meanwhile'));
    this.talks.delete(peer);
  }

  /** Try later, if there is still a reason to. @param {Peer} peer @param {Talk} talk @param {number} seconds */
  plan(peer, talk, seconds) {
    const { endpoint } = this;
    if (!this.on || !(peer.capabilities & WEBRTC)) return;
    talk.cancelNext();
    talk.cancelNext = endpoint.clock.schedule(endpoint.now() + seconds, () => {
      if (peer.path !== 'relay' || endpoint.stopped) return;
      this.begin(peer).catch(() => this.plan(peer, talk, Math.min(AGAIN_S * 2 ** talk.tries++, AGAIN_S_MAX)));
    });
  }

  /** Offer this peer a link; resolves when a session runs through it. @param {Peer} peer @returns {Promise<void>} */
  begin(peer) {
    const talk = this.talks.get(peer);
    if (!talk || !peer.connected) return Promise.reject(new NetworkError('the peer is not connected'));
    if (!this.on) return Promise.reject(new NetworkError('there is no WebRTC here'));
    if (!(peer.capabilities & WEBRTC)) return Promise.reject(new NetworkError(REASONS[CANNOT]));
    /** @type {Promise<void>} */
    const done = new Promise((resolve, reject) => talk.waiting.push({ resolve, reject }));
    if (!talk.attempt) {
      const attempt = this.make(peer, talk, readU32(this.endpoint.entropy(4)), true);
      attempt.offer().then(
        (sdp) => this.describe(peer, talk, attempt, 'Offer', sdp),
        (error) => this.giveUp(peer, talk, attempt, FAILED, error),
      );
    }
    return done;
  }

  /** @param {Peer} peer @param {Talk} talk @param {number} number @param {boolean} offerer */
  make(peer, talk, number, offerer) {
    const { endpoint } = this;
    /** @type {Attempt} */
    const attempt = new Attempt(number, offerer, {
      RTCPeerConnection: /** @type {typeof globalThis.RTCPeerConnection} */ (endpoint.RTCPeerConnection),
      iceServers: endpoint.options.iceServers ?? [],
      relayOnly: endpoint.options.relayOnly ?? false,
      candidate: (candidate, mid) => {
        if (attempt.told++ < CANDIDATES_MAX && talk.attempt === attempt && candidate.length <= 512) {
          this.send(peer, { type: 'Candidate', attempt: number, candidate, mid });
        }
      },
      opened: (link) => this.opened(peer, talk, attempt, link),
      failed: (error) => this.giveUp(peer, talk, attempt, FAILED, error),
    });
    talk.attempt = attempt;
    this.limit(peer, talk, attempt, TIMEOUT_S);
    return attempt;
  }

  /** @param {Peer} peer @param {Talk} talk @param {Attempt} attempt @param {number} seconds */
  limit(peer, talk, attempt, seconds) {
    const { endpoint } = this;
    talk.cancel();
    talk.cancel = endpoint.clock.schedule(endpoint.now() + seconds, () => {
      const error = new NetworkError('no WebRTC link came about in time: no path between the two machines');
      this.giveUp(peer, talk, attempt, TIMED_OUT, error);
    });
  }

  /** @param {Peer} peer @param {Talk} talk @param {Attempt} attempt @param {'Offer' | 'Answer'} type @param {string} sdp */
  describe(peer, talk, attempt, type, sdp) {
    if (talk.attempt !== attempt) return;
    this.send(peer, { type, attempt: attempt.number, sdp });
    attempt.release();
  }

  /** The channel is open: shake hands in it. @param {Peer} peer @param {Talk} talk @param {Attempt} attempt
   * @param {import('./webrtc.js').DataLink} link */
  opened(peer, talk, attempt, link) {
    const { endpoint } = this;
    if (talk.attempt !== attempt) {
      link.close();
      return;
    }
    this.limit(peer, talk, attempt, JOIN_S);
    if (!attempt.offerer) {
      endpoint.accept(link);
      return;
    }
    const side = new Initiator(endpoint.handshake, endpoint.identityFor(peer), {
      entropy: endpoint.entropy,
      wallMs: () => endpoint.wallMs(),
      binding: link.binding,
      remoteKey: peer.staticKey,
      expectedId: peer.id,
      psk: peer.psk,
    });
    endpoint.open(link, side, true).start();
  }

  // What the peer says

  /** @param {Peer} peer @param {Message} message */
  send(peer, message) {
    peer.sendFrame(SIGNAL, encode(message), 10);
  }

  /** @param {Peer} peer @param {Uint8Array} body */
  frame(peer, body) {
    const message = decode(body);
    const talk = this.talks.get(peer);
    if (!message || !talk) {
      this.late += 1;
      return;
    }
    if (message.type === 'Offer') {
      this.onOffer(peer, talk, message);
      return;
    }
    const { attempt } = talk;
    if (!attempt || attempt.number !== message.attempt || attempt.opened) {
      this.late += 1;
    } else if (message.type === 'Answer') {
      if (!attempt.offerer || !attempt.described || attempt.met) {
        throw new ProtocolError('an answer to a WebRTC offer that was not made');
      }
      attempt.met = true;
      attempt.accept(message.sdp).catch((error) => this.giveUp(peer, talk, attempt, FAILED, error));
    } else if (message.type === 'Candidate') {
      if (!attempt.met || attempt.taken++ >= CANDIDATES_MAX) this.late += 1;
      else attempt.candidate(message.candidate, message.mid);
    } else {
      this.end(talk, new NetworkError(REASONS[message.code] ?? REASONS[0]));
    }
  }

  /** @param {Peer} peer @param {Talk} talk @param {Message} message */
  onOffer(peer, talk, { attempt: number, sdp }) {
    const ours = talk.attempt;
    const decline = (/** @type {number} */ code) => this.send(peer, { type: 'End', attempt: number, code, text: '' });
    if (!talk.offers.take(1, this.endpoint.now())) return decline(TOO_MANY);
    if (!this.on) return decline(CANNOT);
    if (ours) {
      if (ours.opened || !ours.offerer || ours.met || ours.number < number) {
        this.late += 1; // of two offers the smaller number stays, and the peer sees it the same way
        return undefined;
      }
      this.end(talk, new NetworkError("both sides offered; the peer's offer stays"), true);
      if (ours.number === number) return undefined;
    }
    if (this.attempts >= ATTEMPTS_MAX) return decline(TOO_MANY);
    const attempt = this.make(peer, talk, number, false);
    attempt.answer(sdp).then(
      (answer) => this.describe(peer, talk, attempt, 'Answer', answer),
      (error) => this.giveUp(peer, talk, attempt, FAILED, error),
    );
    return undefined;
  }

  // Ends

  /** @param {Peer} peer @param {Talk} talk @param {Attempt} attempt @param {number} code @param {any} error */
  giveUp(peer, talk, attempt, code, error) {
    if (talk.attempt !== attempt) return;
    const known = attempt.described || !attempt.offerer;
    if (known) this.send(peer, { type: 'End', attempt: attempt.number, code, text: '' });
    const said = error instanceof WhispurrError ? error : new NetworkError(`WebRTC failed: ${error?.message ?? error}`);
    this.end(talk, said);
  }

  /** @param {Talk} talk @param {Error | null} error null: a session runs through the link
   * @param {boolean} [goesOn] Another attempt follows at once. */
  end(talk, error, goesOn = false) {
    const { attempt } = talk;
    talk.cancel();
    talk.attempt = null;
    attempt?.stop();
    if (goesOn) return;
    if (!error) talk.tries = 0;
    for (const waiter of talk.waiting.splice(0)) {
      if (error) waiter.reject(error);
      else waiter.resolve();
    }
  }

  stop() {
    for (const talk of this.talks.values()) {
      talk.cancelNext();
      this.end(talk, new NetworkError('this node was stopped'));
    }
  }
}
