// What travels in DIRECT frames: whispers, their acknowledgements, requests and answers; the same
// as `whispurrnet/direct/messages.py`. Sizes and ranges are checked while decoding.
import { bytes, Codec, str, uint } from './codec.js';

export const LANES = 11;
export const BODY_BYTES_MAX = 1024 * 1024;
export const FRAME_BYTES = 32 * 1024;
export const ARRAY_BYTES = 3;
export const OVERHEAD_BYTES = 32;
export const NAME_CHARS_MAX = 128;
export const ERROR_CHARS_MAX = 1024;
export const KIND_MAX = 0xffff;
export const TTL_MS_MAX = 0xffffffff;
export const ARRIVED_BYTES_MAX = BODY_BYTES_MAX + 4096;

const lane = () => uint(LANES - 1);
const stream = () => bytes(8);

/** @type {import('./codec.js').Union} */
export const UNION = {
  Whisper: [1, { kind: uint(KIND_MAX), seq: uint(), ttlMs: uint(TTL_MS_MAX), lane: lane(), body: bytes() }],
  Ack: [2, { lane: lane(), stream: stream(), received: uint(), read: uint() }],
  Resume: [3, { lane: lane(), stream: stream(), first: uint(undefined, 1) }],
  Request: [4, {
    id: uint(), name: str(NAME_CHARS_MAX), timeoutMs: uint(TTL_MS_MAX, 1), priority: lane(), body: bytes(),
  }],
  Response: [5, { id: uint(), error: str(ERROR_CHARS_MAX), body: bytes() }],
  Cancel: [6, { id: uint() }],
  Skip: [7, { lane: lane(), first: uint(undefined, 1), last: uint(undefined, 1) }],
};

export const codec = () => new Codec(UNION);

/** The messages of one frame while it is being filled. */
export class Bundle {
  /** @param {number} room */
  constructor(room) {
    /** @type {import('./codec.js').Message[]} */
    this.messages = [];
    this.left = Math.min(room, FRAME_BYTES) - ARRAY_BYTES;
  }

  /** Whether a message of `size` bytes fits, or would be the only one. @param {number} size */
  fits(size) {
    return size + OVERHEAD_BYTES <= this.left || !this.messages.length;
  }

  /** @param {import('./codec.js').Message} message @param {number} size Of its body and texts. */
  add(message, size) {
    if (!this.fits(size)) return false;
    this.left -= size + OVERHEAD_BYTES;
    this.messages.push(message);
    return true;
  }
}
