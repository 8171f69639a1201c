// The sending half of a lane: go-back-N with cumulative acknowledgements, through any number of
// sessions; `whispurrnet/direct/sender.py` and `flight.py`. A whisper that has expired is never sent.
// Source: RFC 9293, section 3.8, without its timers: a session loses nothing while it lives.
import { readU32 } from './bytes.js';
import { TTL_MS_MAX } from './direct.js';
import { ProtocolError } from './errors.js';
import { equal } from './bytes.js';

/** @typedef {import('./courier.js').Config} Config */
/** @typedef {import('./courier.js').Effect} Effect */
/** @typedef {import('./direct.js').Bundle} Bundle */
/** @typedef {import('./codec.js').Message} Message */
/** @typedef {{id: number, kind: number, body: Uint8Array, expiresAt: number, acknowledged: boolean}} Parcel */
/** @typedef {{count: number, bytes: number}} Load */

const BACKOFF_MAX = 8;

export class SenderLane {
  /** @param {number} number @param {Config} config @param {Load} load How much waits for this peer.
   * @param {import('./crypto.js').Entropy} entropy */
  constructor(number, config, load, entropy) {
    this.number = number;
    this.config = config;
    this.load = load;
    /** Tells one incarnation of this lane from the next. */
    this.stream = entropy(8);
    this.nextSeq = 1 + (readU32(entropy(4)) >>> 1);
    this.base = this.nextSeq;
    /** Sent and not acknowledged; null stands for one that expired. @type {Map<number, Parcel | null>} */
    this.flight = new Map();
    this.flightBytes = 0;
    /** Received and not yet reported as read: number and id. @type {[number, number][]} */
    this.unread = [];
    /** Not sent yet. @type {Parcel[]} */
    this.fresh = [];
    this.cursor = this.base;
    this.announced = false;
    /** Whether a Resume waits for its answer; nothing else is sent meanwhile. */
    this.awaiting = false;
    this.probing = false;
    this.backoff = 1;
    this.retryAt = Infinity;
    this.expiresAt = Infinity;
  }

  get due() {
    return Math.min(this.retryAt, this.expiresAt);
  }

  /** Whether `fill` would add something now. */
  get ready() {
    if (this.awaiting) return false;
    if ((this.flight.size && !this.announced) || this.cursor < this.nextSeq) return true;
    if (!this.fresh.length) return false;
    return !this.fresh[0].acknowledged || this.hasWindow(this.fresh[0]);
  }

  /** @param {Parcel} parcel */
  post(parcel) {
    this.load.count += 1;
    this.load.bytes += parcel.body.length;
    this.fresh.push(parcel);
    this.expiresAt = Math.min(this.expiresAt, parcel.expiresAt);
  }

  /** The session ended, or another one begins: nothing sent is known to have arrived. */
  restart() {
    this.announced = this.awaiting = this.probing = false;
    this.cursor = this.base;
    this.backoff = 1;
    this.retryAt = Infinity;
  }

  /** The session ended: drop what was to be sent in it alone. @param {number} now */
  down(now) {
    this.restart();
    for (const parcel of this.fresh) if (!parcel.acknowledged) this.drop(parcel);
    this.fresh = this.fresh.filter((parcel) => parcel.acknowledged);
    if (this.flight.size) this.expiresAt = now;
  }

  // Sending

  /** Add as many messages as fit. @param {Bundle} bundle @param {number} now @param {Effect[]} news */
  fill(bundle, now, news) {
    if (this.flight.size && !this.announced && !this.reopen(bundle, now, news)) return;
    if (this.awaiting) return;
    if (this.cursor < this.nextSeq && !this.resend(bundle, now, news)) return;
    while (this.fresh.length && this.sendFresh(this.fresh[0], bundle, now, news)) this.fresh.shift();
  }

  /** Ask what the receiver has of the flight; false if there was no room for it.
   * @param {Bundle} bundle @param {number} now @param {Effect[]} news */
  reopen(bundle, now, news) {
    if (!this.probing) {
      this.trim(now, news);
      if (!this.flight.size) return true;
    }
    if (!bundle.add(this.resume(), 0)) return false;
    this.announced = this.awaiting = true;
    this.arm(now);
    return true;
  }

  /** Let go of what expired at the start of the flight. @param {number} now @param {Effect[]} news */
  trim(now, news) {
    while (this.flight.size) {
      const parcel = this.flight.get(this.base) ?? null;
      if (parcel && parcel.expiresAt > now) break;
      if (parcel) this.bury(this.base, parcel, news);
      this.flight.delete(this.base);
      this.base += 1;
    }
    this.cursor = this.base;
  }

  /** Send the flight again from the cursor on; false if there was not enough room.
   * @param {Bundle} bundle @param {number} now @param {Effect[]} news */
  resend(bundle, now, news) {
    while (this.cursor < this.nextSeq) {
      const seq = this.cursor;
      let parcel = this.flight.get(seq) ?? null;
      if (parcel && parcel.expiresAt <= now) {
        this.bury(seq, parcel, news);
        parcel = null;
      }
      if (parcel) {
        if (!bundle.add(this.whisper(parcel, seq, now), parcel.body.length)) return false;
        this.cursor = seq + 1;
      } else {
        let last = seq;
        while (last + 1 < this.nextSeq && this.flight.get(last + 1) === null) last += 1;
        if (!bundle.add({ type: 'Skip', lane: this.number, first: seq, last }, 0)) return false;
        this.cursor = last + 1;
      }
    }
    this.arm(now);
    return true;
  }

  /** Send a whisper or drop it, if it has expired; false if it has to wait.
   * @param {Parcel} parcel @param {Bundle} bundle @param {number} now @param {Effect[]} news */
  sendFresh(parcel, bundle, now, news) {
    const size = parcel.body.length;
    if (parcel.expiresAt <= now) {
      this.drop(parcel);
      if (parcel.acknowledged) news.push({ type: 'progress', id: parcel.id, state: 'expired' });
      return true;
    }
    if (!parcel.acknowledged) {
      if (!bundle.add(this.whisper(parcel, 0, now), size)) return false;
      this.drop(parcel);
      return true;
    }
    if (!this.hasWindow(parcel)) return false;
    if (!this.announced) {
      if (!bundle.add(this.resume(), 0)) return false;
      this.announced = true;
    }
    if (!bundle.fits(size)) return false;
    const seq = this.nextSeq;
    this.flight.set(seq, parcel);
    this.nextSeq = this.cursor = seq + 1;
    this.flightBytes += size;
    if (this.retryAt === Infinity) this.arm(now);
    news.push({ type: 'progress', id: parcel.id, state: 'sent' });
    return bundle.add(this.whisper(parcel, seq, now), size);
  }

  /** @returns {Message} */
  resume() {
    return { type: 'Resume', lane: this.number, stream: this.stream, first: this.base };
  }

  /** @param {Parcel} parcel @param {number} seq @param {number} now @returns {Message} */
  whisper(parcel, seq, now) {
    const left = Math.floor((parcel.expiresAt - now) * 1000);
    const ttlMs = parcel.expiresAt === Infinity ? 0 : Math.max(1, Math.min(left, TTL_MS_MAX));
    return { type: 'Whisper', kind: parcel.kind, seq, ttlMs, lane: this.number, body: parcel.body };
  }

  /** Whether the window has room for one more. @param {Parcel} parcel */
  hasWindow(parcel) {
    if (!this.flight.size) return true;
    const { window, windowBytes } = this.config;
    return this.nextSeq - this.base < window && this.flightBytes + parcel.body.length <= windowBytes;
  }

  // What the receiver says

  /** Throws ProtocolError if an acknowledgement is about what was never sent. @param {Message} ack */
  check(ack) {
    const beyond = ack.received >= this.nextSeq || ack.read > ack.received;
    if (equal(ack.stream, this.stream) && beyond) {
      throw new ProtocolError('a peer acknowledged a whisper that it was never sent');
    }
  }

  /** Let go of what was received; if a Resume is answered, send the rest again.
   * @param {Message} ack @param {number} now @param {Effect[]} effects */
  acknowledge(ack, now, effects) {
    if (!equal(ack.stream, this.stream)) return;
    const progress = ack.received >= this.base;
    for (; this.base <= ack.received; this.base++) {
      const parcel = this.flight.get(this.base);
      this.flight.delete(this.base);
      if (!parcel) continue;
      this.flightBytes -= parcel.body.length;
      this.drop(parcel);
      this.unread.push([this.base, parcel.id]);
      if (this.unread.length > this.config.unreadMax) this.unread.shift();
      effects.push({ type: 'progress', id: parcel.id, state: 'received' });
    }
    while (this.unread.length && this.unread[0][0] <= ack.read) {
      const [, id] = /** @type {[number, number]} */ (this.unread.shift());
      effects.push({ type: 'progress', id, state: 'read' });
    }
    if (this.probing && progress) {
      this.announced = true; // the flight arrives after all: there is nothing to ask
      this.awaiting = this.probing = false;
    } else if (this.awaiting) {
      this.cursor = this.base;
      this.awaiting = this.probing = false;
    }
    this.cursor = Math.max(this.cursor, this.base);
    if (progress) {
      this.backoff = 1;
      this.retryAt = Infinity;
      if (this.flight.size && this.announced) this.arm(now);
    }
  }

  // Time

  /** Ask again what should have been acknowledged, and find what has expired.
   * @param {number} now @param {boolean} up @param {Effect[]} effects */
  tick(now, up, effects) {
    if (!this.flight.size) {
      this.retryAt = Infinity;
    } else if (this.retryAt <= now) {
      this.probing = this.probing || !this.awaiting;
      this.announced = this.awaiting = false;
      this.backoff = Math.min(this.backoff * 2, BACKOFF_MAX);
      this.retryAt = now + this.config.retryS * this.backoff;
      this.expiresAt = now;
    }
    if (this.expiresAt <= now) this.sweep(now, up, effects);
  }

  /** @param {number} now */
  arm(now) {
    if (this.retryAt === Infinity) this.retryAt = now + this.config.retryS * this.backoff;
  }

  /** Drop what has expired: from the queue, and from a flight of which nothing is heard.
   * @param {number} now @param {boolean} up @param {Effect[]} effects */
  sweep(now, up, effects) {
    let due = Infinity;
    this.fresh = this.fresh.filter((parcel) => {
      if (parcel.expiresAt > now) {
        due = Math.min(due, parcel.expiresAt);
        return true;
      }
      this.drop(parcel);
      if (parcel.acknowledged) effects.push({ type: 'progress', id: parcel.id, state: 'expired' });
      return false;
    });
    if (!up || this.backoff > 1) {
      for (const [seq, parcel] of this.flight) {
        if (parcel && parcel.expiresAt <= now) this.bury(seq, parcel, effects);
        else if (parcel) due = Math.min(due, parcel.expiresAt);
      }
    }
    this.expiresAt = due;
  }

  /** @param {number} seq @param {Parcel} parcel @param {Effect[]} effects */
  bury(seq, parcel, effects) {
    this.flight.set(seq, null);
    this.flightBytes -= parcel.body.length;
    this.drop(parcel);
    effects.push({ type: 'progress', id: parcel.id, state: 'expired' });
  }

  /** @param {Parcel} parcel */
  drop(parcel) {
    this.load.count -= 1;
    this.load.bytes -= parcel.body.length;
  }

  /** Give up everything. @param {Effect[]} effects */
  fail(effects) {
    for (const parcel of [...this.flight.values(), ...this.fresh]) {
      if (parcel?.acknowledged) effects.push({ type: 'progress', id: parcel.id, state: 'failed' });
    }
  }
}
