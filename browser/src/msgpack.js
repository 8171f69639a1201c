// MessagePack, as much of it as the protocol speaks: nil, booleans, integers, floats, text, bytes,
// arrays and maps with text keys. No extensions.
// Source: the MessagePack specification. Integers are written in their shortest form, as msgspec
// does; floats always as float64. An integer beyond 2^53 - 1 is read as a BigInt.
import { NOTHING, text, utf8 } from './bytes.js';
import { ProtocolError, UsageError } from './errors.js';

const DEPTH_MAX = 16;
const MALFORMED = 'a body is no MessagePack that is spoken here';

/** A number to be written as a float, whatever its value. */
export class Float {
  /** @param {number} value */
  constructor(value) {
    this.value = value;
  }
}

class Writer {
  constructor() {
    this.bytes = new Uint8Array(256);
    this.view = new DataView(this.bytes.buffer);
    this.at = 0;
  }

  /** Room for `n` more bytes; returns where they begin. @param {number} n */
  room(n) {
    if (this.at + n > this.bytes.length) {
      const larger = new Uint8Array(Math.max(2 * this.bytes.length, this.at + n));
      larger.set(this.bytes);
      this.bytes = larger;
      this.view = new DataView(larger.buffer);
    }
    const at = this.at;
    this.at += n;
    return at;
  }

  /** @param {number} byte */
  u8(byte) {
    const at = this.room(1);
    this.bytes[at] = byte;
  }

  /** A type byte and an unsigned number. @param {number} type @param {1 | 2 | 4} size @param {number} n */
  head(type, size, n) {
    const at = this.room(1 + size);
    this.bytes[at] = type;
    if (size === 1) this.view.setUint8(at + 1, n);
    else if (size === 2) this.view.setUint16(at + 1, n);
    else this.view.setUint32(at + 1, n);
  }

  /** @param {Uint8Array} bytes */
  raw(bytes) {
    const at = this.room(bytes.length);
    this.bytes.set(bytes, at);
  }

  /** @param {any} value */
  put(value) {
    if (value === null) this.u8(0xc0);
    else if (typeof value === 'boolean') this.u8(value ? 0xc3 : 0xc2);
    else if (typeof value === 'number' || typeof value === 'bigint') this.number(value);
    else if (value instanceof Float) this.float(value.value);
    else if (typeof value === 'string') this.text(value);
    else if (value instanceof Uint8Array) this.binary(value);
    else if (Array.isArray(value)) this.array(value);
    else if (typeof value === 'object') this.map(value);
    else throw new UsageError(`a ${typeof value} cannot be written as MessagePack`);
  }

  /** @param {number | bigint} n */
  number(n) {
    if (typeof n === 'number' && !Number.isSafeInteger(n)) this.float(n);
    else if (n >= 0) this.unsigned(n);
    else if (n >= -32) this.u8(Number(n) & 0xff);
    else {
      const at = this.room(9);
      this.bytes[at] = 0xd3;
      this.view.setBigInt64(at + 1, BigInt(n));
    }
  }

  /** @param {number | bigint} n */
  unsigned(n) {
    if (n < 0x80) this.u8(Number(n));
    else if (n < 0x100) this.head(0xcc, 1, Number(n));
    else if (n < 0x10000) this.head(0xcd, 2, Number(n));
    else if (n < 0x100000000) this.head(0xce, 4, Number(n));
    else {
      const at = this.room(9);
      this.bytes[at] = 0xcf;
      this.view.setBigUint64(at + 1, BigInt(n));
    }
  }

  /** @param {number} n */
  float(n) {
    const at = this.room(9);
    this.bytes[at] = 0xcb;
    this.view.setFloat64(at + 1, n);
  }

  /** @param {string} value */
  text(value) {
    const bytes = utf8(value);
    const n = bytes.length;
    if (n < 32) this.u8(0xa0 | n);
    else if (n < 0x100) this.head(0xd9, 1, n);
    else if (n < 0x10000) this.head(0xda, 2, n);
    else this.head(0xdb, 4, n);
    this.raw(bytes);
  }

  /** @param {Uint8Array} bytes */
  binary(bytes) {
    const n = bytes.length;
    if (n < 0x100) this.head(0xc4, 1, n);
    else if (n < 0x10000) this.head(0xc5, 2, n);
    else this.head(0xc6, 4, n);
    this.raw(bytes);
  }

  /** @param {any[]} values */
  array(values) {
    const n = values.length;
    if (n < 16) this.u8(0x90 | n);
    else if (n < 0x10000) this.head(0xdc, 2, n);
    else this.head(0xdd, 4, n);
    for (const value of values) this.put(value);
  }

  /** @param {Record<string, any>} object */
  map(object) {
    const pairs = Object.entries(object);
    if (pairs.length < 16) this.u8(0x80 | pairs.length);
    else this.head(0xde, 2, pairs.length);
    for (const [key, value] of pairs) {
      this.text(key);
      this.put(value);
    }
  }
}

class Reader {
  /** @param {Uint8Array} bytes */
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
  }

  /** @param {number} n */
  take(n) {
    const at = this.at;
    if (at + n > this.bytes.length) throw new ProtocolError(MALFORMED);
    this.at = at + n;
    return at;
  }

  /** @param {number} depth @returns {any} */
  value(depth) {
    const type = this.bytes[this.take(1)];
    if (type < 0x80) return type;
    if (type >= 0xe0) return type - 256;
    if (type < 0x90) return this.map(type & 15, depth);
    if (type < 0xa0) return this.array(type & 15, depth);
    if (type < 0xc0) return this.text(type & 31);
    switch (type) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return this.binary(this.size(1));
      case 0xc5: return this.binary(this.size(2));
      case 0xc6: return this.binary(this.size(4));
      case 0xca: return this.view.getFloat32(this.take(4));
      case 0xcb: return this.view.getFloat64(this.take(8));
      case 0xcc: return this.size(1);
      case 0xcd: return this.size(2);
      case 0xce: return this.size(4);
      case 0xcf: return narrow(this.view.getBigUint64(this.take(8)));
      case 0xd0: return this.view.getInt8(this.take(1));
      case 0xd1: return this.view.getInt16(this.take(2));
      case 0xd2: return this.view.getInt32(this.take(4));
      case 0xd3: return narrow(this.view.getBigInt64(this.take(8)));
      case 0xd9: return this.text(this.size(1));
      case 0xda: return this.text(this.size(2));
      case 0xdb: return this.text(this.size(4));
      case 0xdc: return this.array(this.size(2), depth);
      case 0xdd: return this.array(this.size(4), depth);
      case 0xde: return this.map(this.size(2), depth);
      case 0xdf: return this.map(this.size(4), depth);
      default: throw new ProtocolError(MALFORMED);
    }
  }

  /** @param {1 | 2 | 4} bytes */
  size(bytes) {
    const at = this.take(bytes);
    if (bytes === 1) return this.bytes[at];
    return bytes === 2 ? this.view.getUint16(at) : this.view.getUint32(at);
  }

  /** @param {number} n */
  text(n) {
    const at = this.take(n);
    return text(this.bytes.subarray(at, at + n));
  }

  /** @param {number} n */
  binary(n) {
    const at = this.take(n);
    return n ? this.bytes.slice(at, at + n) : NOTHING;
  }

  /** @param {number} n @param {number} depth */
  array(n, depth) {
    this.check(n, depth);
    const values = [];
    for (let i = 0; i < n; i++) values.push(this.value(depth + 1));
    return values;
  }

  /** @param {number} n @param {number} depth */
  map(n, depth) {
    this.check(n, depth);
    /** @type {Record<string, any>} */
    const object = Object.create(null);
    for (let i = 0; i < n; i++) {
      const key = this.value(depth + 1);
      if (typeof key !== 'string') throw new ProtocolError(MALFORMED);
      object[key] = this.value(depth + 1);
    }
    return object;
  }

  /** Nothing is made for what cannot be there: each element has at least one byte.
   * @param {number} n @param {number} depth */
  check(n, depth) {
    if (depth >= DEPTH_MAX || n > this.bytes.length - this.at) throw new ProtocolError(MALFORMED);
  }
}

/** @param {bigint} n */
function narrow(n) {
  const small = n <= Number.MAX_SAFE_INTEGER && n >= Number.MIN_SAFE_INTEGER;
  return small ? Number(n) : n;
}

/** @param {any} value @returns {Uint8Array} */
export function encode(value) {
  const writer = new Writer();
  writer.put(value);
  return writer.bytes.slice(0, writer.at);
}

/** The one value that these bytes are; throws ProtocolError. @param {Uint8Array} bytes @returns {any} */
export function decode(bytes) {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  if (reader.at !== bytes.length) throw new ProtocolError(MALFORMED);
  return value;
}
