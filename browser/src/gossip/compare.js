/**
 * The answering half of a comparison: which messages does each of two neighbours lack?
 *
 * The same messages as `wire/reconcile.py` (negentropy, version 1). A browser answers and never
 * asks: the node it is connected to compares with each new neighbour, and announces what it lacks.
 */

import { concat, equal, hex, zeros } from '../bytes.js';
import { sha256 } from '../crypto.js';
import { ProtocolError } from '../errors.js';
import { compareBytes } from './intent.js';

const VERSION = 0x61;
const MESSAGE_MAX = 65_536;
const KEY_BYTES = 40;
const ID_BYTES = 32;
const FINGERPRINT_BYTES = 16;
const BRANCHES = 16;
const IDS_MAX = 31;
const FRAME_MAX = 60_000;
const ROOM = (BRANCHES + 4) * (10 + 1 + ID_BYTES + 1 + FINGERPRINT_BYTES) + IDS_MAX * ID_BYTES;
const [SKIP, FINGERPRINT, IDS] = [0, 1, 2];
const INFINITY = concat(new Uint8Array(8).fill(255), zeros(ID_BYTES));

/** @typedef {{bound: Uint8Array, mode: number, fingerprint: Uint8Array}} Range */

/**
 * The key of an item: its time in seconds as u64, its id filled up with zeros.
 *
 * @param {number} timeS
 * @param {Uint8Array} id
 */
export function itemKey(timeS, id) {
  const key = new Uint8Array(KEY_BYTES);
  new DataView(key.buffer).setBigUint64(0, BigInt(timeS));
  key.set(id, 8);
  return key;
}

/**
 * The answer to a neighbour's query.
 *
 * @param {Uint8Array[]} items The keys of what is held, in any order.
 * @param {Uint8Array} query
 * @returns {Uint8Array}
 * @throws {ProtocolError} The query is malformed.
 */
export function answer(items, query) {
  if (query.length && query[0] !== VERSION && (query[0] & 0xf0) === (VERSION & 0xf0)) {
    return Uint8Array.of(VERSION); // we speak no other: let them ask again
  }
  const keys = [...items].sort(compareBytes);
  const ranges = new Reader(query).ranges();
  const writer = new Writer();
  let low = 0;
  for (const { bound, mode, fingerprint } of ranges) {
    const high = rank(keys, bound);
    const ours = keys.slice(low, high);
    if (mode === SKIP || (mode === FINGERPRINT && equal(fingerprintOf(ours), fingerprint))) {
      writer.skip(bound);
    } else if (FRAME_MAX - writer.size - ROOM < (mode === IDS ? ours.length * ID_BYTES : 0)) {
      const end = ranges[ranges.length - 1].bound;
      writer.fingerprint(end, fingerprintOf(keys.slice(low, rank(keys, end))));
      break;
    } else if (mode === IDS || ours.length <= IDS_MAX) {
      writer.ids(bound, ours);
    } else {
      divide(ours, bound, writer);
    }
    low = high;
  }
  return writer.message();
}

/** @param {Uint8Array[]} keys @param {Uint8Array} bound */
function rank(keys, bound) {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareBytes(keys[middle], bound) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** @param {Uint8Array[]} keys @param {Uint8Array} bound @param {Writer} writer */
function divide(keys, bound, writer) {
  let first = 0;
  for (let part = 1; part <= BRANCHES; part += 1) {
    const end = Math.floor((keys.length * part) / BRANCHES);
    const upper = end === keys.length ? bound : between(keys[end - 1], keys[end]);
    writer.fingerprint(upper, fingerprintOf(keys.slice(first, end)));
    first = end;
  }
}

/** The shortest bound after one key and not after the next. @param {Uint8Array} before @param {Uint8Array} after */
function between(before, after) {
  let size = 8;
  if (equal(before.subarray(0, 8), after.subarray(0, 8))) {
    while (before[size] === after[size]) size += 1;
    size += 1;
  }
  return concat(after.subarray(0, size), zeros(KEY_BYTES - size));
}

/** @param {Uint8Array[]} keys */
function fingerprintOf(keys) {
  let sum = 0n;
  for (const key of keys) sum += BigInt(`0x${hex(key.slice(8).reverse())}`);
  const bytes = new Uint8Array(ID_BYTES);
  for (let at = 0; at < ID_BYTES; at += 1) bytes[at] = Number((sum >> BigInt(8 * at)) & 0xffn);
  return sha256(bytes, varint(BigInt(keys.length))).subarray(0, FINGERPRINT_BYTES);
}

/** @param {bigint} value */
function varint(value) {
  const digits = [Number(value & 0x7fn)];
  for (let rest = value >> 7n; rest; rest >>= 7n) digits.unshift(Number(rest & 0x7fn) | 0x80);
  return Uint8Array.from(digits);
}

/** A message while it is written; ranges skipped one after the other become one. */
class Writer {
  /** @type {Uint8Array[]} */
  #parts = [Uint8Array.of(VERSION)];
  #time = 0n;
  /** @type {Uint8Array} */
  #bound = zeros(KEY_BYTES);
  /** @type {Uint8Array} */
  #skipped = zeros(KEY_BYTES);
  size = 1;

  /** @param {Uint8Array} bound */
  skip(bound) {
    if (compareBytes(bound, this.#skipped) > 0) this.#skipped = bound;
  }

  /** @param {Uint8Array} bound @param {Uint8Array} fingerprint */
  fingerprint(bound, fingerprint) {
    this.#begin(bound, FINGERPRINT);
    this.#add(fingerprint);
  }

  /** @param {Uint8Array} bound @param {Uint8Array[]} keys */
  ids(bound, keys) {
    this.#begin(bound, IDS);
    this.#add(varint(BigInt(keys.length)), ...keys.map((key) => key.subarray(8)));
  }

  message() {
    return concat(...this.#parts);
  }

  /** @param {Uint8Array} bound @param {number} mode */
  #begin(bound, mode) {
    if (compareBytes(this.#skipped, this.#bound) > 0) {
      this.#put(this.#skipped);
      this.#add(varint(BigInt(SKIP)));
    }
    this.#put(bound);
    this.#add(varint(BigInt(mode)));
    this.#bound = this.#skipped = bound;
  }

  /** @param {Uint8Array} bound */
  #put(bound) {
    if (equal(bound, INFINITY)) {
      this.#add(Uint8Array.of(0, 0));
      return;
    }
    const time = new DataView(bound.buffer, bound.byteOffset).getBigUint64(0);
    let size = ID_BYTES;
    while (size && !bound[7 + size]) size -= 1;
    this.#add(varint(1n + time - this.#time), varint(BigInt(size)), bound.slice(8, 8 + size));
    this.#time = time;
  }

  /** @param {...Uint8Array} parts */
  #add(...parts) {
    this.#parts.push(...parts);
    for (const part of parts) this.size += part.length;
  }
}

/** A message while it is read. */
class Reader {
  #at = 1;
  #time = 0n;
  #message;

  /** @param {Uint8Array} message */
  constructor(message) {
    if (!message.length || message[0] !== VERSION || message.length > MESSAGE_MAX) {
      throw new ProtocolError('a comparison is of another version, or too long');
    }
    this.#message = message;
  }

  /** @returns {Range[]} */
  ranges() {
    const found = [];
    /** @type {Uint8Array} */
    let last = zeros(KEY_BYTES);
    while (this.#at < this.#message.length) {
      const bound = this.#bound();
      if (compareBytes(bound, last) < 0) throw malformed();
      last = bound;
      const mode = Number(this.#varint());
      if (mode > IDS) throw malformed();
      const fingerprint = mode === FINGERPRINT ? this.#take(FINGERPRINT_BYTES) : zeros(0);
      if (mode === IDS) this.#take(Number(this.#varint()) * ID_BYTES);
      found.push({ bound, mode, fingerprint });
    }
    return found;
  }

  #bound() {
    const time = this.#varint();
    const size = Number(this.#varint());
    if (size > ID_BYTES) throw malformed();
    const prefix = this.#take(size);
    if (!time) {
      if (size) throw malformed();
      return INFINITY;
    }
    this.#time += time - 1n;
    if (this.#time > 2n ** 64n - 2n) throw malformed();
    const key = new Uint8Array(KEY_BYTES);
    new DataView(key.buffer).setBigUint64(0, this.#time);
    key.set(prefix, 8);
    return key;
  }

  #varint() {
    let value = 0n;
    for (let digits = 0; digits < 10 && this.#at < this.#message.length; digits += 1) {
      const byte = this.#message[this.#at];
      this.#at += 1;
      value = (value << 7n) | BigInt(byte & 0x7f);
      if (byte < 0x80) return value;
      if (!value) break;
    }
    throw malformed();
  }

  /** @param {number} count */
  #take(count) {
    if (count > this.#message.length - this.#at) throw malformed();
    const part = this.#message.subarray(this.#at, this.#at + count);
    this.#at += count;
    return part;
  }
}

function malformed() {
  return new ProtocolError('a comparison is malformed');
}
