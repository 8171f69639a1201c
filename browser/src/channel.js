// The encrypted channel of one session: frames in, records out, and back; the same machine as
// `whispurrnet/session/channel.py`. Frames of the type CONTROL are the channel's own:
//
//   PING 1, PONG 2   token 8            any record counts as life
//   REKEY1 3, REKEY2 4   Noise message  (see rekey.js)
//   SWITCH 5                            the last frame of the last record of an epoch
//   GOODBYE 6        reason u8          the last frame of all
//
// A peer can make us hold one record, eight answers to its PINGs and one exchange of keys. After an
// error, GOODBYE or `dead`, the channel is over and says nothing more.
import { concat, NOTHING, readU16, u8, utf8 } from './bytes.js';
import { ProtocolError, WhispurrError } from './errors.js';
import { CONTROL, frame, parse } from './frame.js';
import { Heartbeat } from './heartbeat.js';
import { TransportKeys } from './noise.js';
import { Opener, Reader, RECORD_ROOM, Sealer } from './record.js';
import { Rekey } from './rekey.js';

const PING = 1;
const PONG = 2;
const REKEY1 = 3;
const REKEY2 = 4;
const SWITCH = 5;
const GOODBYE = 6;
const TOKEN_BYTES = 8;
const PONGS_MAX = 8;
const OFFER_AGAIN_S = 1;

/** @typedef {{rekeyAfterS: number, rekeyRecords: number, rekeyBytes: number, nextKeyRecords: number,
 *   recordsMax: number, staleAfterS: number, heartbeatS: number, deadAfter: number}} Config */

/** The same settings as in Python; both ends agree on `nextKeyRecords`. @type {Config} */
export const CONFIG = {
  rekeyAfterS: 3600, rekeyRecords: 2 ** 20, rekeyBytes: 2 ** 30, nextKeyRecords: 4096,
  recordsMax: 2 ** 32, staleAfterS: 7200, heartbeatS: 30, deadAfter: 3,
};

/** @typedef {{type: 'frame', frame: number, body: Uint8Array} | {type: 'rekeyed', epoch: number}
 *   | {type: 'rtt', seconds: number} | {type: 'left', reason: number} | {type: 'dead', stale: boolean}} Effect */

export class Channel {
  /** @param {TransportKeys} keys
   * @param {{initiator: boolean, level: number, entropy: import('./crypto.js').Entropy, now: number,
   *   config?: Partial<Config>}} options */
  constructor(keys, { initiator, level, entropy, now, config = {} }) {
    this.config = { ...CONFIG, ...config };
    this.initiator = initiator;
    this.entropy = entropy;
    this.recordsSent = 0;
    this.bytesSent = 0;
    this.bytesReceived = 0;
    /** How many CONTROL frames of unknown kind were ignored. */
    this.unknown = 0;
    const [sealer, opener] = this.directions(keys, 0);
    this.sealer = sealer;
    this.reader = new Reader(opener);
    /** @type {[Sealer, Opener] | null} */
    this.next = null;
    this.rekey = new Rekey(keys, { initiator, level, entropy });
    this.heartbeat = new Heartbeat(this.config.heartbeatS, this.config.deadAfter, now);
    this.over = false;
    this.leaving = false;
    /** What goes before the frames of the next record. @type {Uint8Array[]} */
    this.first = [];
    this.pongs = 0;
    this.pingPending = false;
    /** What ends it: a SWITCH or a GOODBYE. @type {Uint8Array} */
    this.last = NOTHING;
    this.staleAt = this.rekeyAt = 0;
    this.beginEpoch(now);
  }

  /** How many times the peer has switched to new keys. */
  get epoch() {
    return this.reader.opener.epoch;
  }

  /** Whether there is something to seal besides the frames of the session. */
  get pending() {
    return this.first.length > 0 || this.last.length > 0;
  }

  /** How many bytes of frames the next record has room for. */
  get room() {
    return RECORD_ROOM - this.first.reduce((sum, part) => sum + part.length, this.last.length);
  }

  /** When to call `tick`, in seconds; often too early. */
  get deadline() {
    if (this.over) return Infinity;
    const due = Math.min(this.staleAt, this.heartbeat.deadAt);
    if (this.leaving) return due;
    return Math.min(due, this.heartbeat.askAt, this.rekey.stage === 'idle' ? this.rekeyAt : Infinity);
  }

  /** One record for the link: what is pending of CONTROL, and the frames.
   * @param {Uint8Array[]} frames Whole frames, at most `room` bytes. @param {number} now @returns {Uint8Array} */
  seal(frames, now) {
    if (this.over) throw new ProtocolError('the channel is over; open a new one');
    const switching = this.last.length > 0 && this.last[3] === SWITCH;
    const all = this.pending ? [...this.first, ...frames, this.last] : frames;
    let record;
    try {
      record = this.sealer.seal(all);
    } catch (error) {
      if (error instanceof ProtocolError) this.over = true;
      throw error;
    }
    this.first = [];
    this.pongs = 0;
    this.pingPending = false;
    this.last = NOTHING;
    if (switching) {
      this.sealer = /** @type {[Sealer, Opener]} */ (this.next)[0];
      this.rekey.switchedSend();
    }
    this.heartbeat.sentAt = now;
    this.recordsSent += 1;
    this.bytesSent += record.length;
    const { rekeyRecords, rekeyBytes } = this.config;
    if (this.sealer.counter >= rekeyRecords || this.sealer.bytes >= rekeyBytes) this.offer(now);
    return record;
  }

  /** Bytes came over the link, cut anywhere. Throws AuthError or ProtocolError: then the channel is
   * over. @param {Uint8Array} data @param {number} now @returns {Effect[]} */
  arrived(data, now) {
    /** @type {Effect[]} */
    const effects = [];
    if (this.over) return effects;
    try {
      for (const plaintext of this.reader.read(data)) {
        this.onRecord(plaintext, now, effects);
        if (this.over) break;
      }
    } catch (error) {
      if (error instanceof WhispurrError) this.over = true;
      throw error;
    }
    return effects;
  }

  /** @param {number} now @returns {Effect[]} */
  tick(now) {
    if (this.over) return [];
    const stale = now >= this.staleAt;
    if (stale || now >= this.heartbeat.deadAt) {
      this.over = true;
      return [{ type: 'dead', stale }];
    }
    if (now >= this.heartbeat.askAt) this.ping(now);
    if (now >= this.rekeyAt) {
      this.offer(now);
      this.rekeyAt = now + OFFER_AGAIN_S;
    }
    return [];
  }

  /** Say goodbye: seal what is pending once more, then close the link. @param {number} reason */
  leave(reason) {
    if (this.over) return;
    this.leaving = true;
    this.last = control(GOODBYE, u8(reason));
  }

  /** Measure the round trip now. @param {number} now */
  ping(now) {
    if (this.leaving || this.pingPending) {
      this.heartbeat.askedAt = now;
      return;
    }
    const token = this.entropy(TOKEN_BYTES);
    this.heartbeat.ask(token, now);
    this.pingPending = true;
    this.first.push(control(PING, token));
  }

  /** Offer new keys, unless an exchange is under way. @param {number} now */
  offer(now) {
    if (this.leaving) return;
    const offer = this.rekey.offer(now);
    if (offer) this.first.push(control(REKEY1, offer));
  }

  // What arrives

  /** @param {Uint8Array} plaintext @param {number} now @param {Effect[]} effects */
  onRecord(plaintext, now, effects) {
    this.heartbeat.heardAt = now;
    this.bytesReceived += plaintext.length;
    const frames = parse(plaintext);
    for (const [n, [type, body]] of frames.entries()) {
      if (type !== CONTROL) {
        effects.push({ type: 'frame', frame: type, body });
      } else if (body[0] === SWITCH && body.length === 1 && n < frames.length - 1) {
        throw new ProtocolError('a frame after the switch to new keys');
      } else {
        this.onControl(body, now, effects);
        if (this.over) return;
      }
    }
  }

  /** @param {Uint8Array} body @param {number} now @param {Effect[]} effects */
  onControl(body, now, effects) {
    if (!body.length) throw new ProtocolError('a control frame is empty');
    const kind = body[0];
    const rest = body.slice(1);
    switch (kind) {
      case PING:
        checkToken(rest);
        if (this.pongs < PONGS_MAX) {
          this.pongs += 1;
          this.first.push(control(PONG, rest));
        }
        break;
      case PONG: {
        checkToken(rest);
        const seconds = this.heartbeat.answer(rest, now);
        if (seconds !== null) effects.push({ type: 'rtt', seconds });
        break;
      }
      case REKEY1: {
        const answer = this.leaving ? null : this.rekey.answer(rest, now);
        if (answer) {
          this.first.push(control(REKEY2, answer[0]));
          this.beginSwitch(answer[1]);
        }
        break;
      }
      case REKEY2:
        this.beginSwitch(this.rekey.finish(rest));
        break;
      case SWITCH:
        this.rekey.switchedReceive();
        this.reader.opener = /** @type {[Sealer, Opener]} */ (this.next)[1];
        this.beginEpoch(now);
        effects.push({ type: 'rekeyed', epoch: this.epoch });
        break;
      case GOODBYE:
        this.over = true;
        effects.push({ type: 'left', reason: rest.length ? rest[0] : 0 });
        break;
      default:
        this.unknown += 1;
    }
  }

  // Keys

  /** @param {TransportKeys} keys @param {number} epoch @returns {[Sealer, Opener]} */
  directions(keys, epoch) {
    const masks = ['initiator', 'responder'].map((side) => keys.export('frame-mask', utf8(side)));
    if (!this.initiator) masks.reverse();
    return [new Sealer(keys.send, masks[0], epoch, this.config), new Opener(keys.receive, masks[1], epoch, this.config)];
  }

  /** @param {TransportKeys} keys */
  beginSwitch(keys) {
    this.next = this.directions(keys, this.rekey.epoch + 1);
    if (!this.leaving) this.last = control(SWITCH, NOTHING);
  }

  /** @param {number} now */
  beginEpoch(now) {
    const jitter = readU16(this.entropy(2)) / 0xffff;
    this.staleAt = now + this.config.staleAfterS;
    this.rekeyAt = now + this.config.rekeyAfterS * (0.9 + 0.2 * jitter);
  }
}

/** @param {number} kind @param {Uint8Array} rest */
const control = (kind, rest) => frame(CONTROL, concat(u8(kind), rest));

/** @param {Uint8Array} rest */
function checkToken(rest) {
  if (rest.length !== TOKEN_BYTES) throw new ProtocolError(`a PING or PONG with a token of ${rest.length} bytes`);
}
