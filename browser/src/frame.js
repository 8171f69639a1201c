// Frames, the units inside a record, and the fragments of what is larger than one; the same as
// `whispurrnet/wire/frame.py`, with the same bounds.
//
//   frame    = type u8 | length u16 | body
//   record   = frame* | zeros             type 0 ends the frames: what follows is padding
//   FRAGMENT = type u8 | number u32 | offset u32 | total u32 | part
//
// A message in assembly holds no more memory than the bytes of it that arrived, and all of them
// together are bounded.
import { concat, readU16, readU32, u16, u32, u8 } from './bytes.js';
import { ProtocolError, UsageError } from './errors.js';

export const PADDING = 0;
export const CONTROL = 1;
export const FRAGMENT = 2;
export const STREAM = 3;
export const DIRECT = 4;
export const PEER = 5;
export const RETIRED = 6;
export const GOSSIP = 7;
export const VIEW = 8;
export const RENDEZVOUS = 9;
export const OBJECT = 10;
export const RELAY = 11;
export const SIGNAL = 12;

export const HEADER_BYTES = 3;
export const FRAME_MAX = 65535;
export const MESSAGE_MAX = 1024 * 1024 + 4096;
export const FRAGMENT_HEADER_BYTES = 13;

/** @param {number} type @param {Uint8Array} body @returns {Uint8Array} */
export function frame(type, body) {
  if (body.length > FRAME_MAX) throw new UsageError(`a frame body of ${body.length} bytes; split what exceeds ${FRAME_MAX}`);
  return concat(u8(type), u16(body.length), body);
}

/** The frames of one record; padding is left out. @param {Uint8Array} plaintext
 * @returns {[number, Uint8Array][]} */
export function parse(plaintext) {
  /** @type {[number, Uint8Array][]} */
  const frames = [];
  const end = plaintext.length;
  for (let at = 0; at < end && plaintext[at] !== PADDING; ) {
    const start = at + HEADER_BYTES;
    if (start > end) throw new ProtocolError('a record ends inside the header of a frame');
    const next = start + readU16(plaintext, at + 1);
    if (next > end) throw new ProtocolError('a frame reaches beyond the end of its record');
    frames.push([plaintext[at], plaintext.subarray(start, next)]);
    at = next;
  }
  return frames;
}

/** Cut a message into the bodies of FRAGMENT frames.
 * @param {number} type The type it would have in one piece. @param {Uint8Array} body
 * @param {number} max The longest body wanted, header included. @param {number} number
 * @returns {Uint8Array[]} */
export function split(type, body, max, number = 0) {
  const room = max - FRAGMENT_HEADER_BYTES;
  const total = body.length;
  if (total > MESSAGE_MAX) throw new UsageError(`a message of ${total} bytes; the most is ${MESSAGE_MAX}`);
  const parts = [];
  for (let offset = 0; offset < (total || 1); offset += room) {
    parts.push(concat(u8(type), u32(number), u32(offset), u32(total), body.subarray(offset, offset + room)));
  }
  return parts;
}

export const LIMITS = { messagesMax: 16, bytesMax: 4 * 1024 * 1024, messageMax: MESSAGE_MAX, timeoutS: 60 };

/** @typedef {{type: number, total: number, size: number, body: Uint8Array, heardAt: number}} Partial */

/** Joins the fragments of one peer back into messages. */
export class Reassembler {
  constructor(limits = LIMITS) {
    this.limits = limits;
    /** How many fragments came of messages that were forgotten. */
    this.dropped = 0;
    /** @type {Map<number, Partial>} */
    this.partials = new Map();
    this.bytes = 0;
  }

  /** Take the body of one FRAGMENT frame; the message it completes, or null.
   * @param {Uint8Array} body @param {number} now @returns {[number, Uint8Array] | null} */
  add(body, now) {
    if (body.length < FRAGMENT_HEADER_BYTES) throw new ProtocolError('a fragment is shorter than its header');
    const type = body[0];
    const [number, offset, total] = [readU32(body, 1), readU32(body, 5), readU32(body, 9)];
    const part = body.subarray(FRAGMENT_HEADER_BYTES);
    if (type === PADDING || type === CONTROL || type === FRAGMENT) {
      throw new ProtocolError(`a frame of type ${type} came in fragments`);
    }
    if (total > this.limits.messageMax || offset + part.length > total) {
      throw new ProtocolError('a fragment reaches beyond its message, or its message is too long');
    }
    if (!part.length && total) throw new ProtocolError('a fragment is empty');
    let partial = this.partials.get(number);
    if (!partial) {
      if (offset) {
        this.dropped += 1;
        return null;
      }
      if (part.length === total) return [type, part.slice()];
      if (this.partials.size >= this.limits.messagesMax) throw new ProtocolError('too many messages in fragments at once');
      partial = { type, total, size: 0, body: new Uint8Array(part.length), heardAt: now };
    } else if (type !== partial.type || offset !== partial.size || total !== partial.total) {
      throw new ProtocolError('a fragment contradicts the one before it');
    }
    if (this.bytes + part.length > this.limits.bytesMax) throw new ProtocolError('too many bytes in fragments at once');
    this.partials.set(number, partial);
    this.bytes += part.length;
    append(partial, part);
    partial.heardAt = now;
    if (partial.size < partial.total) return null;
    this.forget(number, partial);
    return [type, partial.body.subarray(0, partial.size)];
  }

  /** Forget the messages of which nothing came for too long. @param {number} now */
  expire(now) {
    for (const [number, partial] of this.partials) {
      if (partial.heardAt + this.limits.timeoutS <= now) this.forget(number, partial);
    }
  }

  /** @param {number} number @param {Partial} partial */
  forget(number, partial) {
    this.bytes -= partial.size;
    this.partials.delete(number);
  }
}

/** The body grows by doubling, so it is never more than twice as long as what arrived.
 * @param {Partial} partial @param {Uint8Array} part */
function append(partial, part) {
  const size = partial.size + part.length;
  if (size > partial.body.length) {
    const larger = new Uint8Array(Math.min(partial.total, Math.max(size, 2 * partial.body.length)));
    larger.set(partial.body.subarray(0, partial.size));
    partial.body = larger;
  }
  partial.body.set(part, partial.size);
  partial.size = size;
}
