// A link: a stream of bytes to one other side, in order, whatever carries it. Nothing is believed of
// who is there: the handshake says.
import { Buffer } from './bytes.js';
import { NO_BINDING } from './payload.js';

/** @typedef {{data: (bytes: Uint8Array) => void, closed: (reason: string) => void}} Handler */

/** What WebSockets, data channels and circuits have in common: what comes before there is a handler
 * is kept, up to `EARLY_MAX`. */
export class Link {
  /** @param {string} path 'ws', 'wss', 'relay' or 'webrtc' @param {string} remote Where it leads. */
  constructor(path, remote) {
    this.path = path;
    this.remote = remote;
    /** 33 bytes: what this side sees of what is around the link. @type {Uint8Array} */
    this.binding = NO_BINDING;
    this.isOpen = true;
    /** @type {Handler | null} */
    this.handler = null;
    this.early = new Buffer();
    this.why = '';
  }

  /** How many bytes were written and not sent yet. */
  get buffered() {
    return 0;
  }

  /** Hear of this link from now on; null: keep what comes. @param {Handler | null} handler */
  attach(handler) {
    this.handler = handler;
    if (!handler) return;
    const early = this.early.bytes;
    this.early.clear();
    if (early.length) handler.data(early);
    if (!this.isOpen) handler.closed(this.why);
  }

  /** @param {Uint8Array} bytes */
  write(bytes) {
    void bytes;
  }

  /** Send what was written, then close. */
  close() {
    this.lost('closed here');
  }

  /** Bytes came. @param {Uint8Array} bytes */
  came(bytes) {
    if (!this.isOpen || !bytes.length) return;
    if (this.handler) this.handler.data(bytes);
    else if (this.early.length + bytes.length <= EARLY_MAX) this.early.add(bytes);
    else this.close();
  }

  /** It is gone. @param {string} reason */
  lost(reason) {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.why = reason;
    this.handler?.closed(reason);
  }
}

export const EARLY_MAX = 1 << 20;
