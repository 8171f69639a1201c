// Messages to bytes and back: many of one protocol in one body, as `whispurrnet/wire/codec.py`.
//
// A body is a MessagePack array of messages; a message is an array whose first element, an integer,
// says which it is. Here a message is an object `{type: 'Whisper', kind: 1, ...}`. What is malformed
// is refused (ProtocolError); what is well-formed but of an unknown tag is counted and left out.
import { ProtocolError } from './errors.js';
import { decode, encode, Float } from './msgpack.js';

export const MESSAGES_MAX = 4096;

/** @typedef {{type: string, [field: string]: any}} Message */
/** @typedef {{read: (value: any) => any, write: (value: any) => any, missing?: () => any}} Field
 *    `missing` gives the value of a field that an array ends before. */
/** @typedef {Record<string, [number, Record<string, Field>]>} Union Tag and fields of each message. */

const same = (/** @type {any} */ value) => value;
const bad = (/** @type {string} */ what) => new ProtocolError(`a message holds ${what}`);

/** An integer of these bounds, both included.
 * @param {number} max @param {number} min @returns {Field} */
export const uint = (max = Number.MAX_SAFE_INTEGER, min = 0) => ({
  write: same,
  read(value) {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      throw bad('a number out of bounds');
    }
    return value;
  },
});

/** A number of 64 bits that need not be exact. @returns {Field} */
export const roughly = () => ({
  write: (value) => BigInt(Math.round(value)),
  read(value) {
    if ((typeof value !== 'number' && typeof value !== 'bigint') || value < 0) throw bad('a number out of bounds');
    return Number(value);
  },
});

/** @param {number} min @param {number} max @returns {Field} */
export const float = (min = -Infinity, max = Infinity) => ({
  write: (value) => new Float(value),
  read(value) {
    if (typeof value !== 'number' || !(value >= min && value <= max)) throw bad('a number out of bounds');
    return value;
  },
});

/** @returns {Field} */
export const bool = () => ({
  write: same,
  read(value) {
    if (typeof value !== 'boolean') throw bad('what is neither true nor false');
    return value;
  },
});

/** Bytes of this length. @param {number} min @param {number} max @returns {Field} */
export const bytes = (min = 0, max = min || Infinity) => ({
  write: same,
  read(value) {
    if (!(value instanceof Uint8Array) || value.length < min || value.length > max) {
      throw bad('bytes of the wrong length');
    }
    return value;
  },
});

/** Text; its length is counted in characters, as Python counts.
 * @param {number} max @param {number} min @param {RegExp} [pattern] What it may be made of. @returns {Field} */
export const str = (max = Infinity, min = 0, pattern) => ({
  write: same,
  read(value) {
    if (typeof value !== 'string') throw bad('what should be text');
    if (value.length > max || value.length < min) {
      const length = [...value].length;
      if (length > max || length < min) throw bad('a text of the wrong length');
    }
    if (pattern && !pattern.test(value)) throw bad('a text with characters that do not belong there');
    return value;
  },
});

/** @param {Field} field @param {number} max @param {number} min @returns {Field} */
export const list = (field, max = MESSAGES_MAX, min = 0) => ({
  write: (values) => values.map(field.write),
  read(values) {
    if (!Array.isArray(values) || values.length > max || values.length < min) throw bad('a list of the wrong length');
    return values.map(field.read);
  },
});

/** @param {Field} field @returns {Field} */
export const nullable = (field) => ({
  write: (value) => (value === null || value === undefined ? null : field.write(value)),
  read: (value) => (value === null ? null : field.read(value)),
});

/** A field that may be missing at the end. @param {Field} field @param {any} otherwise @returns {Field} */
export const optional = (field, otherwise) => ({ ...field, missing: () => otherwise });

/** An array without a tag, as an object. @param {Record<string, Field>} fields
 * @param {{exact?: boolean}} [options] exact: more elements are refused @returns {Field} */
export const record = (fields, { exact = false } = {}) => ({
  write: (value) => Object.entries(fields).map(([name, field]) => field.write(value[name])),
  read(values) {
    const names = Object.keys(fields);
    if (!Array.isArray(values) || (exact && values.length > names.length)) throw bad('what should be a record');
    return readFields(fields, values, 0, {});
  },
});

/** @param {Record<string, Field>} fields @param {any[]} values @param {number} at @param {any} into */
function readFields(fields, values, at, into) {
  for (const [name, field] of Object.entries(fields)) {
    if (at < values.length) into[name] = field.read(values[at]);
    else if (field.missing) into[name] = field.missing();
    else throw new ProtocolError('a message ends too early');
    at += 1;
  }
  return into;
}

/** Encodes and decodes bodies of messages that are all of one union. */
export class Codec {
  /** @param {Union} union */
  constructor(union) {
    this.union = union;
    /** How many messages of unknown tag were left out. */
    this.unknown = 0;
    /** @type {Map<number, string>} */
    this.types = new Map(Object.entries(union).map(([type, [tag]]) => [tag, type]));
  }

  /** @param {Message[]} messages @returns {Uint8Array} */
  encodeAll(messages) {
    return encode(messages.map((message) => this.array(message)));
  }

  /** One message that is a body of its own, without a list around it. @param {Message} message */
  encodeOne(message) {
    return encode(this.array(message));
  }

  /** @param {Uint8Array} body @returns {Message[]} */
  decodeAll(body) {
    const values = decode(body);
    if (!Array.isArray(values) || values.length > MESSAGES_MAX) {
      throw new ProtocolError('a body of messages is malformed');
    }
    const messages = [];
    for (const value of values) {
      const message = this.message(value);
      if (message) messages.push(message);
    }
    return messages;
  }

  /** The message that a body is, or null if its tag is unknown. @param {Uint8Array} body */
  decodeOne(body) {
    return this.message(decode(body));
  }

  /** @param {Message} message */
  array(message) {
    const [tag, fields] = this.union[message.type];
    return [tag, ...Object.entries(fields).map(([name, field]) => field.write(message[name]))];
  }

  /** @param {any} value @returns {Message | null} */
  message(value) {
    if (!Array.isArray(value) || !Number.isInteger(value[0])) throw new ProtocolError('a message has no tag');
    const type = this.types.get(value[0]);
    if (type === undefined) {
      this.unknown += 1;
      return null;
    }
    return readFields(this.union[type][1], value, 1, { type });
  }
}
