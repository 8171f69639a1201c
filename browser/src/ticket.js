// Tickets: where a node is and how to know it, as text; the same as `whispurrnet/wire/ticket.py`.
//
//   WN1- | base32( version 1 | flags 1 | static_key 32 | expires_s 4 | [psk 32] | [persona 32]
//                  | count 1 | count times (length 1 | address) | check 4 )
//
// Base32 is that of RFC 4648, section 6, without padding. `check` is the start of SHA-256 over
// "WN1 ticket" and all bytes before it. One ticket has one text.
import { concat, equal, NOTHING, readU32, u32, u8, utf8 } from './bytes.js';
import { sha256 } from './crypto.js';
import { UsageError } from './errors.js';

export const PREFIX = 'WN1-';
const SCHEME = 'WHISPURR:';
const ADDRESSES_MAX = 8;
const TEXT_MAX = 3500;
const CHECK_BYTES = 4;
const VERSION = 1;
const HAS_PSK = 1;
const HAS_PERSONA = 2;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const ADDRESS = /^\/[\x21-\x7e]{0,254}$/;

export class Ticket {
  /** @param {{staticKey: Uint8Array, addresses?: string[], expiresS?: number, psk?: Uint8Array | null,
   *   persona?: Uint8Array | null}} fields expiresS: unix time, 0 for never */
  constructor({ staticKey, addresses = [], expiresS = 0, psk = null, persona = null }) {
    for (const [name, value] of Object.entries({ staticKey, psk, persona })) {
      if (value && value.length !== 32) throw new UsageError(`a ticket's ${name} has 32 bytes, not ${value.length}`);
    }
    if (addresses.length > ADDRESSES_MAX) throw new UsageError(`a ticket holds ${ADDRESSES_MAX} addresses at most`);
    for (const address of addresses) {
      if (!ADDRESS.test(address)) throw new UsageError(`not an address for a ticket: ${address.slice(0, 70)}`);
    }
    this.staticKey = staticKey;
    this.addresses = addresses;
    this.expiresS = expiresS;
    this.psk = psk;
    this.persona = persona;
  }

  /** `WN1-` and upper-case letters and digits. With a psk it is a secret. */
  get text() {
    const flags = (this.psk ? HAS_PSK : 0) | (this.persona ? HAS_PERSONA : 0);
    const body = concat(
      Uint8Array.of(VERSION, flags), this.staticKey, u32(this.expiresS), this.psk ?? NOTHING,
      this.persona ?? NOTHING, u8(this.addresses.length),
      ...this.addresses.flatMap((address) => [u8(address.length), utf8(address)]),
    );
    return PREFIX + base32(concat(body, check(body)));
  }

  toString() {
    return this.text;
  }

  /** Throws UsageError if its time is over. @param {number} wallMs */
  check(wallMs) {
    if (this.expiresS && wallMs >= this.expiresS * 1000) {
      throw new UsageError(`this ticket expired at ${new Date(this.expiresS * 1000).toISOString()}; ask for a new one`);
    }
  }
}

/** Read a ticket from its text or URI; case and white space do not matter. Throws UsageError.
 * @param {string} text */
export function parseTicket(text) {
  if (text.length > 2 * TEXT_MAX) throw notATicket(`${text.length} characters are too many`);
  const compact = text.replace(/\s+/g, '');
  if (!compact) throw notATicket('it is empty');
  if (!/^[\x21-\x7e]*$/.test(compact)) throw notATicket('it holds what does not occur in one');
  let letters = compact.toUpperCase();
  if (letters.startsWith(SCHEME)) letters = letters.slice(SCHEME.length);
  if (!letters.startsWith(PREFIX)) throw notATicket(`it begins with ${compact.slice(0, 8)}`);
  letters = letters.slice(PREFIX.length);
  if (letters.length > TEXT_MAX) throw notATicket(`${letters.length} characters are too many`);
  return read(unbase32(letters));
}

/** @param {Uint8Array} raw */
function read(raw) {
  const body = raw.slice(0, Math.max(0, raw.length - CHECK_BYTES));
  if (!body.length || !equal(raw.subarray(body.length), check(body))) {
    throw damaged('its check does not match, a part is missing or was changed');
  }
  let at = 0;
  const take = (/** @type {number} */ size) => {
    const part = body.slice(at, at + size);
    if (part.length !== size) throw damaged('it ends too early');
    at += size;
    return part;
  };
  const version = take(1)[0];
  if (version !== VERSION) throw new UsageError(`this ticket has version ${version}, and this program reads version ${VERSION}`);
  const flags = take(1)[0];
  if (flags & ~(HAS_PSK | HAS_PERSONA)) throw new UsageError('this ticket asks for something this program does not know');
  const staticKey = take(32);
  const expiresS = readU32(take(4));
  const psk = flags & HAS_PSK ? take(32) : null;
  const persona = flags & HAS_PERSONA ? take(32) : null;
  const count = take(1)[0];
  if (count > ADDRESSES_MAX) throw damaged(`it holds ${count} addresses, and ${ADDRESSES_MAX} is the most`);
  const addresses = [];
  for (let n = 0; n < count; n++) addresses.push(String.fromCharCode(...take(take(1)[0])));
  if (at !== body.length) throw damaged('something follows after its end');
  return new Ticket({ staticKey, addresses, expiresS, psk, persona });
}

/** @param {Uint8Array} body */
const check = (body) => sha256('WN1 ticket', body).slice(0, CHECK_BYTES);

/** @param {string} reason */
const notATicket = (reason) => new UsageError(`not a ticket: ${reason}; a ticket begins with ${PREFIX}`);

/** @param {string} reason */
const damaged = (reason) =>
  new UsageError(`not a ticket: ${reason}; a ticket begins with ${PREFIX} and is copied whole: copy it again`);

/** @param {Uint8Array} bytes */
function base32(bytes) {
  let text = '';
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff;
    bits += 8;
    for (; bits >= 5; bits -= 5) text += ALPHABET[(held >> (bits - 5)) & 31];
  }
  return bits ? text + ALPHABET[(held << (5 - bits)) & 31] : text;
}

/** @param {string} letters */
function unbase32(letters) {
  const bytes = new Uint8Array(Math.floor((letters.length * 5) / 8));
  let bits = 0;
  let held = 0;
  let at = 0;
  for (const [n, letter] of [...letters].entries()) {
    const value = ALPHABET.indexOf(letter);
    if (value < 0) throw damaged(`'${letter}' at place ${n + 1} after ${PREFIX} does not occur in one`);
    held = ((held << 5) | value) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes[at++] = (held >> bits) & 0xff;
    }
  }
  if (base32(bytes) !== letters) throw damaged('a character is missing, was added, or the last was changed');
  return bytes;
}
