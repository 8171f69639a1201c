/**
 * What a message that spreads must be, before it is kept and passed on: shape, realm, stamp.
 *
 * A body is a stamp and an envelope: alg u8 | value 16 | envelope; as `stack/checker.py`.
 */

import { concat, hex } from '../bytes.js';
import { ProtocolError } from '../errors.js';
import { parse, verify } from './envelope.js';
import { BITS_BASE, verify as verifyStamp } from './stamp.js';

const STAMP_BYTES = 17;
const HASHCASH = 1;
const EARLY_S = 330;
const LATE_S = 30;

/** @typedef {import('./spread.js').Item} Item */

/** The body that spreads. @param {Uint8Array} value The stamp, 16 bytes. @param {Uint8Array} raw */
export function stamped(value, raw) {
  return concat(Uint8Array.of(HASHCASH), value, raw);
}

/**
 * Read what costs little.
 *
 * @param {Uint8Array} body
 * @param {number} now
 * @param {number} wallMs
 * @returns {Item}
 * @throws {ProtocolError} It has not the shape of a message, or not a time that can be.
 */
export function inspect(body, now, wallMs) {
  const envelope = parse(body.subarray(STAMP_BYTES));
  const leftS = envelope.expiryS - wallMs / 1000;
  if (!(leftS > -LATE_S && leftS <= EARLY_S)) {
    throw new ProtocolError('a message expires at a time that cannot be');
  }
  return { key: hex(envelope.id), envelope, expiresAt: now + leftS };
}

/**
 * Ask what costs more.
 *
 * @param {import('./envelope.js').Realm} realm
 * @param {number} shard
 * @param {Item} item
 * @param {Uint8Array} body
 * @throws {ProtocolError} It is of another realm or shard, forged, or shows too little work.
 */
export function admit(realm, shard, { envelope }, body) {
  if (envelope.shard !== shard) throw new ProtocolError('a message of another shard');
  const value = body.subarray(1, STAMP_BYTES);
  const { id, expiryS } = envelope;
  if (body[0] !== HASHCASH || !verifyStamp(id, expiryS, value, BITS_BASE)) {
    throw new ProtocolError('a message without the stamp that is always asked for');
  }
  verify(realm, envelope);
}
