// One session: a link, the handshake on it, and then the channel. Frames in, frames out.
//
// Sources are pulled, not pushed: whispers wait in the courier, other frames in a queue per priority,
// until a record has room and the link has too; so what is urgent overtakes what is not yet sealed.
// The first frame from the peer must be a Hello; nothing else is read before it.
import { Channel } from './channel.js';
import { hex, NOTHING } from './bytes.js';
import { LANES } from './direct.js';
import { NetworkError, ProtocolError, WhispurrError } from './errors.js';
import * as frames from './frame.js';
import * as greeting from './greeting.js';

const FRAGMENT_BYTES = 16 * 1024;
const ROOM_MIN = 64;
const LINK_HIGH = 1 << 20;
const LINK_POLL_S = 0.02;
const QUEUE_BYTES_MAX = 8 << 20;
const CHANNEL_BINDING = 'channel-binding';
const HEARTBEAT_MAX_S = 300;

/** @typedef {import('./codec.js').Message} Message */
/** @typedef {import('./handshake.js').Established} Established */

/** What a session tells, and asks of, the node it belongs to.
 * @typedef {{
 *   established: (session: Session) => void,
 *   greeted: (session: Session, hello: Message, more: Message[]) => void,
 *   told: (session: Session, message: Message) => void,
 *   frame: (session: Session, type: number, body: Uint8Array) => void,
 *   rtt: (session: Session, seconds: number) => void,
 *   ended: (session: Session, error: WhispurrError, reason: number | null) => void,
 * }} Owner  `ended` is called once; `reason` is that of the peer's goodbye. */

export class Session {
  /** @param {import('./link.js').Link} link
   * @param {import('./handshake.js').Initiator | import('./handshake.js').Responder} side
   * @param {{owner: Owner, clock: import('./clock.js').Clock, entropy: import('./crypto.js').Entropy,
   *   initiator: boolean, channel?: Partial<import('./channel.js').Config>}} options */
  constructor(link, side, { owner, clock, entropy, initiator, channel = {} }) {
    this.link = link;
    this.side = side;
    this.owner = owner;
    this.clock = clock;
    this.entropy = entropy;
    this.initiator = initiator;
    this.channelConfig = channel;
    this.over = false;
    /** The handshake's result. @type {Established | null} */
    this.done = null;
    /** @type {Channel | null} */
    this.channel = null;
    this.greeted = false;
    this.sinceS = clock.now();
    this.joiner = new frames.Reassembler();
    /** What whispers are pulled from, once the session belongs to a peer. @type {import('./courier.js').Courier | null} */
    this.courier = null;
    /** Frames before everything else. @type {Uint8Array[]} */
    this.notes = [];
    /** Parts of long whispers, by priority. @type {Uint8Array[][]} */
    this.parts = Array.from({ length: LANES }, () => []);
    /** Frames of other protocols, by priority. @type {Uint8Array[][]} */
    this.queues = Array.from({ length: LANES }, () => []);
    this.queuedBytes = 0;
    this.parted = 0;
    this.turn = false;
    this.flushing = false;
    /** Whose static key opened the connection; decides between two made at once. */
    this.opener = NOTHING;
    /** The identity by which the peer knows us. @type {import('./identity.js').Ephemeral | null} */
    this.ours = null;
    this.cancelTimer = () => {};
  }

  get path() {
    return this.link.path;
  }

  /** 32 bytes that both ends know and nobody else. */
  get binding() {
    return /** @type {Established} */ (this.done).keys.export(CHANNEL_BINDING);
  }

  get rttS() {
    return this.channel?.heartbeat.rttS ?? null;
  }

  /** Begin: the initiator speaks. */
  start() {
    this.arm(this.clock.now() + this.side.config.timeoutS);
    this.link.attach({
      data: (bytes) => this.onData(bytes),
      closed: (reason) => this.onClosed(reason),
    });
    if (!this.over) this.shake(this.side.begin());
  }

  // Sending

  /** A PEER frame, before all else. @param {Message[]} messages */
  note(...messages) {
    this.notes.push(frames.frame(frames.PEER, greeting.encode(...messages)));
    this.wake();
  }

  /** Queue a frame of another protocol; false if too much waits. @param {number} type @param {Uint8Array} body
   * @param {number} priority */
  send(type, body, priority) {
    if (this.over || this.queuedBytes + body.length > QUEUE_BYTES_MAX) return false;
    const queue = this.queues[priority];
    const whole = type === frames.DIRECT ? FRAGMENT_BYTES : frames.FRAME_MAX; // nothing else may be cut
    const list = body.length <= whole ? [frames.frame(type, body)] : this.cut(type, body);
    for (const frame of list) {
      queue.push(frame);
      this.queuedBytes += frame.length;
    }
    this.wake();
    return true;
  }

  /** @param {number} type @param {Uint8Array} body */
  cut(type, body) {
    this.parted = (this.parted + 1) >>> 0;
    return frames.split(type, body, FRAGMENT_BYTES, this.parted).map((part) => frames.frame(frames.FRAGMENT, part));
  }

  /** Something waits to be sent: seal it once what happens now is over. */
  wake() {
    if (this.flushing || this.over || !this.channel) return;
    this.flushing = true;
    queueMicrotask(() => {
      this.flushing = false;
      this.flush();
    });
  }

  /** Seal and write as long as there is something and the link takes it. */
  flush() {
    const { channel, link } = this;
    if (this.over || !channel || channel.over) return;
    try {
      while (link.buffered < LINK_HIGH) {
        const record = this.nextRecord(channel);
        if (!record) break;
        link.write(record);
      }
    } catch (error) {
      this.fail(error);
      return;
    }
    if (this.courier?.news.length) this.owner.told(this, { type: 'Sent' });
    this.arm();
  }

  /** @param {Channel} channel */
  nextRecord(channel) {
    const now = this.clock.now();
    const { room } = channel;
    /** @type {Uint8Array[]} */
    const list = [];
    let size = 0;
    const add = (/** @type {Uint8Array} */ frame) => {
      list.push(frame);
      size += frame.length;
    };
    while (this.notes.length && size + this.notes[0].length <= room) add(/** @type {Uint8Array} */ (this.notes.shift()));
    while (this.greeted && !this.notes.length && room - size >= ROOM_MIN) {
      const frame = this.take(room - size, now);
      if (!frame) break;
      add(frame);
    }
    return list.length || channel.pending ? channel.seal(list, now) : null;
  }

  /** The most urgent frame that fits, or null. @param {number} room @param {number} now */
  take(room, now) {
    const filled = (/** @type {Uint8Array[]} */ queue) => queue.length > 0;
    const spread = this.queues.findLastIndex(filled);
    const part = this.parts.findLastIndex(filled);
    const post = this.courier?.priority ?? -1;
    const direct = Math.max(part, post);
    this.turn = spread > direct || (spread === direct && !this.turn);
    if (spread >= 0 && this.turn) {
      const frame = fitting(this.queues[spread], room);
      if (frame) this.queuedBytes -= frame.length;
      return frame;
    }
    if (part >= 0 && part >= post) return fitting(this.parts[part], room);
    if (post < 0) return null;
    const body = this.courier?.pull(room - frames.HEADER_BYTES, now);
    if (!body) return null;
    if (body.length <= room - frames.HEADER_BYTES) return frames.frame(frames.DIRECT, body);
    this.parts[post].push(...this.cut(frames.DIRECT, body));
    return fitting(this.parts[post], room);
  }

  // Receiving

  /** @param {Uint8Array} bytes */
  onData(bytes) {
    if (this.over) return;
    if (!this.channel) this.shake(this.side.arrived(bytes));
    else this.read(bytes);
  }

  /** @param {import('./handshake.js').Effect[]} effects */
  shake(effects) {
    for (const effect of effects) {
      if ('write' in effect) this.link.write(effect.write);
      else if ('established' in effect) this.onEstablished(effect.established);
      else if (!effect.silent) this.finish(effect.refused ?? new NetworkError('nobody worth an answer called'), null);
    }
  }

  /** @param {Established} done */
  onEstablished(done) {
    this.done = done;
    this.ours = done.identity;
    this.opener = (this.initiator ? done.identity.proof : done.proof).staticKey;
    this.channel = new Channel(done.keys, {
      initiator: this.initiator, level: done.level, entropy: this.entropy, now: this.clock.now(), config: this.channelConfig,
    });
    this.arm(this.clock.now() + this.side.config.timeoutS);
    this.owner.established(this);
    if (done.rest.length && !this.over) this.read(done.rest);
    this.flush();
  }

  /** @param {Uint8Array} bytes */
  read(bytes) {
    const channel = /** @type {Channel} */ (this.channel);
    try {
      const now = this.clock.now();
      for (const effect of channel.arrived(bytes, now)) {
        if (effect.type === 'frame') this.onFrame(effect.frame, effect.body, now);
        else if (effect.type === 'rtt') this.owner.rtt(this, effect.seconds);
        else if (effect.type === 'left') this.finish(new NetworkError(greeting.REASONS[effect.reason] ?? greeting.REASONS[0]), effect.reason);
        if (this.over) return;
      }
    } catch (error) {
      this.fail(error);
      return;
    }
    this.flush();
  }

  /** @param {number} type @param {Uint8Array} body @param {number} now */
  onFrame(type, body, now) {
    if (type === frames.FRAGMENT && this.greeted) {
      const whole = this.joiner.add(body, now);
      if (whole) this.onFrame(whole[0], whole[1], now);
    } else if (type === frames.PEER) {
      this.onGreeting(greeting.decode(body));
    } else if (!this.greeted) {
      throw new ProtocolError('a message came before the hello');
    } else {
      this.owner.frame(this, type, body);
    }
  }

  /** @param {Message[]} messages */
  onGreeting(messages) {
    if (this.greeted) {
      for (const message of messages) {
        if (this.over) return;
        if (message.type === 'Asleep') this.onAsleep(message);
        else this.owner.told(this, message);
      }
      return;
    }
    const [hello, ...more] = messages;
    if (hello?.type !== 'Hello') throw new ProtocolError('the first greeting is not a hello');
    this.greeted = true;
    this.owner.greeted(this, hello, more);
  }

  /** The peer may be silent for so long. @param {Message} message */
  onAsleep({ heartbeatMs }) {
    const { heartbeat, config } = /** @type {Channel} */ (this.channel);
    heartbeat.stretch(Math.max(config.heartbeatS, Math.min(heartbeatMs / 1000, HEARTBEAT_MAX_S)), this.clock.now());
  }

  // Time and ends

  /** @param {number} [atS] Of the handshake; without it, what is due next in the channel. */
  arm(atS) {
    this.cancelTimer();
    this.cancelTimer = () => {};
    if (this.over) return;
    const now = this.clock.now();
    let due = atS ?? Infinity;
    if (atS === undefined && this.greeted && this.channel) {
      due = Math.min(this.channel.deadline, this.courier?.deadline ?? Infinity);
      if (this.link.buffered >= LINK_HIGH) due = Math.min(due, now + LINK_POLL_S);
      due = Math.max(due, now + 0.005);
    } else if (atS === undefined) {
      due = this.sinceS + 2 * this.side.config.timeoutS;
    }
    if (due < Infinity) this.cancelTimer = this.clock.schedule(due, () => this.onTimer());
  }

  onTimer() {
    if (this.over) return;
    const { channel } = this;
    if (!channel || !this.greeted) {
      if (channel) this.finish(new NetworkError('the peer did not greet in time'), null);
      else this.shake(this.side.expired());
      return;
    }
    const now = this.clock.now();
    this.joiner.expire(now);
    if (channel.tick(now).length) {
      this.finish(new NetworkError('no sign of life for three heartbeats'), null);
      return;
    }
    this.owner.told(this, { type: 'Tick' });
    this.flush();
  }

  /** Measure the round trip. */
  ping() {
    this.channel?.ping(this.clock.now());
    this.wake();
  }

  /** Take new keys now. */
  rekey() {
    this.channel?.offer(this.clock.now());
    this.wake();
  }

  /** Say goodbye and close. @param {number} reason */
  leave(reason) {
    if (this.over) return;
    const { channel } = this;
    if (channel && !channel.over) {
      channel.leave(reason);
      try {
        this.link.write(channel.seal([], this.clock.now()));
      } catch (error) {
        if (!(error instanceof WhispurrError)) throw error;
      }
    }
    this.finish(new NetworkError('closed here'), null);
  }

  /** @param {string} reason */
  onClosed(reason) {
    if (this.over) return;
    if (!this.channel) {
      this.shake(this.side.closed());
      if (this.over) return;
    }
    this.finish(new NetworkError(`the link is gone: ${reason}`), null);
  }

  /** @param {unknown} error */
  fail(error) {
    if (!(error instanceof WhispurrError)) throw error;
    this.finish(error, null);
  }

  /** @param {WhispurrError} error @param {number | null} reason */
  finish(error, reason) {
    if (this.over) return;
    this.over = true;
    this.cancelTimer();
    this.link.close();
    if (!this.channel) this.side.closed();
    this.owner.ended(this, error, reason);
  }

  /** For people who debug; holds nothing secret. */
  toString() {
    return `session over ${this.path} ${this.done ? hex(this.done.proof.id).slice(0, 8) : ''}`;
  }
}

/** Take the first frame of a queue if it fits. @param {Uint8Array[]} queue @param {number} room */
function fitting(queue, room) {
  return queue[0].length <= room ? /** @type {Uint8Array} */ (queue.shift()) : null;
}
