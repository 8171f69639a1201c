/**
 * Intents: their one spelling, and the features, keys and slots that are made of one.
 *
 * The same as `gossip/resonance.py` and `gossip/ladder.py`, held to `vectors/gossip.json`. Nothing of
 * an intent travels but 16 slots of 6 bytes, made with a fresh nonce for each message.
 */

import { hex, utf8 } from '../bytes.js';
import { hmac, sha256 } from '../crypto.js';
import { UsageError } from '../errors.js';

/** @typedef {[name: string, weight: number]} Feature */

export const INTENT_BYTES_MAX = 256;
export const FEATURES_MAX = 16;
export const INTERESTS_MAX = 256;
export const SLOTS = FEATURES_MAX;
export const SLOT_BYTES = 6;

/** The intent of what is for everyone. */
export const EVERYONE = '';

const KEY_LABEL = utf8('WN1 resonance key\0');
const TAG_LABEL = utf8('WN1 whisper tag\0');
const HASH_LABEL = utf8('WN1 intent hash\0');
const SPACES = /[ \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/u;

/**
 * The order of byte strings, as Python has it.
 *
 * @param {Uint8Array} one
 * @param {Uint8Array} other
 */
export function compareBytes(one, other) {
  const size = Math.min(one.length, other.length);
  for (let at = 0; at < size; at += 1) {
    if (one[at] !== other[at]) return one[at] - other[at];
  }
  return one.length - other.length;
}

/** Unicode's full case folding of one character, where it is not its upper and then lower case. @param {string} char */
function foldCharacter(char) {
  if (char === '\u0131' || /[\u13a0-\u13f5]/u.test(char)) return char;
  if (char === '\u00df' || char === '\u1e9e') return 'ss';
  const code = char.codePointAt(0) ?? 0;
  if (code >= 0x13f8 && code <= 0x13fd) return String.fromCodePoint(code - 8);
  if (code >= 0xab70 && code <= 0xabbf) return String.fromCodePoint(code - 0xab70 + 0x13a0);
  return [...char.toUpperCase()].map((upper) => upper.toLowerCase()).join('');
}

/** @param {string} text */
function foldCase(text) {
  return [...text].map(foldCharacter).join('');
}

/** Unicode's caseless matching with compatibility forms (definition D146). @param {string} text */
function fold(text) {
  return foldCase(foldCase(text.normalize('NFD')).normalize('NFKD')).normalize('NFKC');
}

/** One space between words, none around them; what Python's `' '.join(text.split())` gives. @param {string} text */
function tidy(text) {
  return text.split(SPACES).filter((word) => word).join(' ');
}

/** @param {string} one @param {string} other */
function compareText(one, other) {
  return compareBytes(utf8(one), utf8(other)); // the order of code points, as in Python
}

/**
 * The one spelling of an intent: `Health//Sensor #b #a` becomes `health/sensor#a#b`.
 *
 * @param {string} intent
 * @returns {string}
 * @throws {UsageError} There is no path, or the intent is too long or has control characters.
 */
export function normalise(intent) {
  if (typeof intent !== 'string' || [...intent].length > 4 * INTENT_BYTES_MAX) {
    throw new UsageError(`an intent is text of at most ${INTENT_BYTES_MAX} bytes; shorten it`);
  }
  const text = fold(intent);
  if (/[\p{Cc}\p{Cs}]/u.test(text)) {
    throw new UsageError("an intent is text without control characters, such as `sensor/heart`");
  }
  const [path, ...tags] = text.split('#');
  const parts = path.split('/').map(tidy).filter((part) => part);
  const marks = [...new Set(tags.map(tidy).filter((mark) => mark))].sort(compareText);
  const whole = parts.join('/') + marks.map((mark) => `#${mark}`).join('');
  if (!parts.length) {
    throw new UsageError("an intent has a path, such as `sensor/heart` or `sensor/heart#urgent`");
  }
  if (utf8(whole).length > INTENT_BYTES_MAX || parts.length + marks.length > FEATURES_MAX) {
    throw new UsageError(
      `an intent has at most ${INTENT_BYTES_MAX} bytes, and ${FEATURES_MAX} parts and tags; ` +
        'put details in the payload',
    );
  }
  return whole;
}

/**
 * The features of an intent: pairs of a name and a weight, the first part of its path first.
 *
 * @param {string} intent
 * @returns {Feature[]}
 */
export function features(intent) {
  if (intent === EVERYONE) return [[EVERYONE, 1]];
  const [path, ...tags] = normalise(intent).split('#');
  const parts = path.split('/');
  /** @type {Feature[]} */
  const prefixes = parts.map((_, at) => [parts.slice(0, at + 1).join('/'), at + 1]);
  /** @type {Feature[]} */
  const marks = tags.map((tag) => [`#${tag}`, 1]);
  return [...prefixes, ...marks];
}

/** The first part of the path of a normal intent: who knows it can open its messages. @param {string} intent */
export function root(intent) {
  return intent.split('#', 1)[0].split('/', 1)[0];
}

/**
 * The key of a feature under the base key of a realm or of a private topic; 32 bytes.
 *
 * @param {Uint8Array} base
 * @param {string} feature
 */
export function featureKey(base, feature) {
  return hmac(base, KEY_LABEL, utf8(feature));
}

/**
 * What marks one message as having a feature; 6 bytes.
 *
 * @param {Uint8Array} key
 * @param {Uint8Array} nonce
 */
export function slot(key, nonce) {
  return hmac(key, TAG_LABEL, nonce).subarray(0, SLOT_BYTES);
}

/**
 * The 16 slots of one message, in order, those of no feature random.
 *
 * @param {Uint8Array} base
 * @param {string} intent
 * @param {Uint8Array} nonce
 * @param {(n: number) => Uint8Array} entropy
 */
export function slots(base, intent, nonce, entropy) {
  const named = features(intent).map(([name]) => slot(featureKey(base, name), nonce));
  const filling = entropy(SLOT_BYTES * (SLOTS - named.length));
  for (let at = 0; at < filling.length; at += SLOT_BYTES) {
    named.push(filling.subarray(at, at + SLOT_BYTES));
  }
  return named.sort(compareBytes);
}

/**
 * How much of an interest a message matches, 0 to 1.
 *
 * @param {Feature[]} interest
 * @param {Set<string>} there The features of the message.
 */
export function match(interest, there) {
  let found = 0;
  let whole = 0;
  for (const [name, weight] of interest) {
    whole += weight;
    if (there.has(name)) found += weight;
  }
  return found / whole;
}

/** A name of the intent for this machine alone; 64 characters. It never travels. @param {string} intent */
export function intentHash(intent) {
  return hex(sha256(HASH_LABEL, utf8(normalise(intent))));
}
