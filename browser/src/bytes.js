// Bytes: joining, comparing, numbers (big endian unless it says otherwise), hexadecimal, UTF-8.
import { ProtocolError, UsageError } from './errors.js';

const ENCODER = new TextEncoder();
const DECODER = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** No bytes. @type {Uint8Array} */
export const NOTHING = new Uint8Array(0);

/** @param {(Uint8Array | string)[]} parts Text counts as its UTF-8. @returns {Uint8Array} */
export function concat(...parts) {
  const all = parts.map((part) => (typeof part === 'string' ? ENCODER.encode(part) : part));
  const joined = new Uint8Array(all.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of all) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Whether two byte strings are the same, in a time that does not tell where they differ.
 * @param {Uint8Array} a @param {Uint8Array} b */
export function equal(a, b) {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let n = 0; n < a.length; n++) difference |= a[n] ^ b[n];
  return difference === 0;
}

/** @param {Uint8Array} bytes */
export function isZero(bytes) {
  let any = 0;
  for (const byte of bytes) any |= byte;
  return any === 0;
}

/** @param {Uint8Array} bytes @param {Uint8Array} head */
export function startsWith(bytes, head) {
  return bytes.length >= head.length && head.every((byte, n) => bytes[n] === byte);
}

/** @param {number} n */
export const zeros = (n) => new Uint8Array(n);

/** @param {Uint8Array} bytes */
export function hex(bytes) {
  let out = '';
  for (const byte of bytes) out += (byte < 16 ? '0' : '') + byte.toString(16);
  return out;
}

/** @param {string} text An even number of hexadecimal digits. @returns {Uint8Array} */
export function fromHex(text) {
  if (text.length % 2 || !/^[0-9a-fA-F]*$/.test(text)) {
    throw new UsageError(`not hexadecimal: ${text.slice(0, 70)}`);
  }
  const bytes = new Uint8Array(text.length / 2);
  for (let n = 0; n < bytes.length; n++) bytes[n] = parseInt(text.slice(2 * n, 2 * n + 2), 16);
  return bytes;
}

/** @param {string} text @returns {Uint8Array} */
export const utf8 = (text) => ENCODER.encode(text);

/** The text that bytes of a peer stand for; throws ProtocolError if they are no UTF-8.
 * @param {Uint8Array} bytes */
export function text(bytes) {
  try {
    return DECODER.decode(bytes);
  } catch (error) {
    throw new ProtocolError('a text is not UTF-8', { cause: error });
  }
}

/** @param {Uint8Array} bytes */
const view = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** @param {number} n */
export const u8 = (n) => Uint8Array.of(n);

/** @param {number} n */
export function u16(n) {
  return Uint8Array.of(n >>> 8, n);
}

/** @param {number} n */
export function u32(n) {
  const bytes = new Uint8Array(4);
  view(bytes).setUint32(0, n);
  return bytes;
}

/** @param {number | bigint} n */
export function u64(n) {
  const bytes = new Uint8Array(8);
  view(bytes).setBigUint64(0, BigInt(n));
  return bytes;
}

/** Little endian. @param {number | bigint} n */
export function le64(n) {
  const bytes = new Uint8Array(8);
  view(bytes).setBigUint64(0, BigInt(n), true);
  return bytes;
}

/** @param {Uint8Array} bytes @param {number} at */
export const readU16 = (bytes, at = 0) => view(bytes).getUint16(at);

/** @param {Uint8Array} bytes @param {number} at */
export const readU32 = (bytes, at = 0) => view(bytes).getUint32(at);

/** @param {Uint8Array} bytes @param {number} at */
export const readU64 = (bytes, at = 0) => view(bytes).getBigUint64(at);

/** A buffer that grows at its end and is taken whole: what arrived and is not complete yet. */
export class Buffer {
  constructor() {
    /** @type {Uint8Array} */
    this.bytes = NOTHING;
  }

  get length() {
    return this.bytes.length;
  }

  /** @param {Uint8Array} data */
  add(data) {
    this.bytes = this.bytes.length ? concat(this.bytes, data) : data.slice();
  }

  /** The first `n` bytes; they are gone from here. @param {number} n @returns {Uint8Array} */
  take(n) {
    const taken = this.bytes.subarray(0, n);
    this.bytes = this.bytes.subarray(n);
    return taken;
  }

  clear() {
    this.bytes = NOTHING;
  }
}
