// The receiving half of a lane: each whisper once, in order, through any number of sessions;
// `whispurrnet/direct/receiver.py`. What arrives out of order is dropped, never kept: the sender
// sends it again. Before the Resume of a session nothing numbered is taken.

const PAST_MAX = 4;

/** @typedef {{expected: number, read: number}} Position */

export class ReceiverLane {
  constructor() {
    /** The sender's stream, as hexadecimal. */
    this.stream = '';
    /** @type {Uint8Array} */
    this.streamId = new Uint8Array(8);
    /** Whether this session has opened the lane. */
    this.live = false;
    this.expected = 1;
    this.read = 0;
    /** Earlier streams, the oldest first. @type {[string, Position][]} */
    this.past = [];
  }

  copy() {
    return Object.assign(new ReceiverLane(), this);
  }

  /** Whether the whisper is the next one; then the one after it is expected. @param {number} seq */
  take(seq) {
    if (!this.live || seq !== this.expected) return false;
    this.expected += 1;
    return true;
  }

  /** Open the lane where the sender says. @param {string} stream @param {Uint8Array} id @param {number} first */
  resume(stream, id, first) {
    if (stream !== this.stream) this.switchTo(stream, id);
    this.expected = Math.max(this.expected, first);
    this.live = true;
  }

  /** Pass over what expired, if it comes next. @param {number} first @param {number} last */
  skip(first, last) {
    if (this.live && first <= this.expected) this.expected = Math.max(this.expected, last + 1);
  }

  /** Note that the application read up to `seq`; whether that is news of this stream. @param {number} seq */
  markRead(seq) {
    if (!(this.read < seq && seq < this.expected)) return false;
    this.read = seq;
    return true;
  }

  /** @param {number} lane @returns {import('./codec.js').Message} */
  ack(lane) {
    return { type: 'Ack', lane, stream: this.streamId, received: this.expected - 1, read: this.read };
  }

  /** @param {string} stream @param {Uint8Array} id */
  switchTo(stream, id) {
    const past = new Map(this.past);
    if (this.stream) past.set(this.stream, { expected: this.expected, read: this.read });
    const here = past.get(stream) ?? { expected: 1, read: 0 };
    past.delete(stream);
    this.stream = stream;
    this.streamId = id;
    this.expected = here.expected;
    this.read = here.read;
    this.past = [...past].slice(-PAST_MAX);
  }
}
