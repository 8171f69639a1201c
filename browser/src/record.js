// Records: what crosses the wire of an open channel, one seal for many frames; the ChaCha20-Poly1305
// suite of `whispurrnet/session/record.py` (a browser never says that it likes AES).
//
//   record = size/256 u16, masked | sealed
//   sealed = AEAD(key, nonce, frames | zeros, AD)                  in one of seven sizes
//   nonce  = 4 zero bytes | counter u64 LE         one counter a direction, never on the wire
//   AD     = epoch u8 | index of the size u8
//   mask   = the first 2 bytes of BLAKE2s(key = mask key of the direction, counter u64 LE)
//
// A record opens only at its own place in its own direction and epoch, and once: the counter is the
// replay window of a link that keeps its order.
import { Buffer, concat, le64, readU16, u16 } from './bytes.js';
import { aeadOpen, aeadSeal, blake2s, TAG_BYTES } from './crypto.js';
import { AuthError, ProtocolError, UsageError } from './errors.js';
import { nextKey, nonce } from './noise.js';

export const SIZES = [256, 1024, 2048, 8192, 16384, 32768, 65536];
export const HEAD_BYTES = 2;
export const RECORD_BYTES_MAX = HEAD_BYTES + 65536;
/** The most bytes of frames one record carries. */
export const RECORD_ROOM = 65536 - TAG_BYTES;
export const NEXT_KEY_RECORDS = 4096;
export const RECORDS_MAX = 2 ** 32;

/** The keys and the counter of one direction in one epoch. */
class Direction {
  /** @param {Uint8Array} key @param {Uint8Array} maskKey @param {number} epoch
   * @param {{nextKeyRecords?: number, recordsMax?: number}} [limits] */
  constructor(key, maskKey, epoch, { nextKeyRecords = NEXT_KEY_RECORDS, recordsMax = RECORDS_MAX } = {}) {
    this.epoch = epoch;
    /** How many records were sealed or opened. */
    this.counter = 0;
    /** How many bytes they had on the wire. */
    this.bytes = 0;
    this.key = key;
    this.maskKey = maskKey;
    this.nextKeyRecords = nextKeyRecords;
    this.nextKeyAt = Math.min(nextKeyRecords, recordsMax);
    this.recordsMax = recordsMax;
  }

  /** Noise's `Rekey()`, every so many records; or the end of this epoch's counter. */
  prepare() {
    if (this.counter < this.nextKeyAt) return;
    if (this.counter >= this.recordsMax) {
      throw new ProtocolError(`${this.counter} records without a rekey; the peer must answer one before that`);
    }
    this.key = nextKey(this.key);
    this.nextKeyAt = Math.min(this.counter + this.nextKeyRecords, this.recordsMax);
  }

  /** The two bytes that hide a size. */
  mask() {
    return readU16(blake2s(le64(this.counter), { key: this.maskKey }));
  }

  /** @param {number} size Of the sealed part. */
  associated(size) {
    return Uint8Array.of(this.epoch & 0xff, SIZES.indexOf(size));
  }

  /** @param {number} size */
  count(size) {
    this.counter += 1;
    this.bytes += HEAD_BYTES + size;
  }
}

/** Seals what is sent in one epoch. */
export class Sealer extends Direction {
  /** One record, ready for the wire. @param {Uint8Array[]} frames Whole frames, in order. */
  seal(frames) {
    const length = frames.reduce((sum, frame) => sum + frame.length, 0);
    if (length > RECORD_ROOM) throw new UsageError(`${length} bytes of frames; one record has room for ${RECORD_ROOM}`);
    this.prepare();
    const size = /** @type {number} */ (SIZES.find((each) => length <= each - TAG_BYTES));
    const plaintext = new Uint8Array(size - TAG_BYTES);
    plaintext.set(concat(...frames));
    const head = u16((size >> 8) ^ this.mask());
    const sealed = aeadSeal(this.key, nonce(this.counter), this.associated(size), plaintext);
    this.count(size);
    return concat(head, sealed);
  }
}

/** Opens what is received in one epoch. */
export class Opener extends Direction {
  /** How long the sealed part of the next record is, by its head. @param {Uint8Array} head */
  size(head) {
    const size = (readU16(head) ^ this.mask()) << 8;
    if (!SIZES.includes(size)) throw new AuthError('a record of no known size');
    return size;
  }

  /** The plaintext of the next record: frames and padding. @param {Uint8Array} sealed */
  open(sealed) {
    this.prepare();
    const plaintext = aeadOpen(this.key, nonce(this.counter), this.associated(sealed.length), sealed);
    if (!plaintext) throw new AuthError('a record is not authentic');
    this.count(sealed.length);
    return plaintext;
  }
}

/** Cuts what arrives into records and opens them; holds less than one record. */
export class Reader {
  /** @param {Opener} opener Another may be put here between two plaintexts. */
  constructor(opener) {
    this.opener = opener;
    this.head = new Buffer();
    /** The sealed part that is being filled. @type {Uint8Array | null} */
    this.sealed = null;
    this.held = 0;
  }

  /** The plaintexts of the records that are complete now. @param {Uint8Array} data
   * @returns {Generator<Uint8Array>} */
  *read(data) {
    const { head } = this;
    let at = 0;
    for (;;) {
      if (!this.sealed) {
        const used = Math.min(HEAD_BYTES - head.length, data.length - at);
        head.add(data.subarray(at, at + used));
        at += used;
        if (head.length < HEAD_BYTES) return;
        this.sealed = new Uint8Array(this.opener.size(head.bytes));
        head.clear();
      }
      const { sealed } = this;
      const part = data.subarray(at, at + sealed.length - this.held);
      sealed.set(part, this.held);
      at += part.length;
      this.held += part.length;
      if (this.held < sealed.length) return;
      this.sealed = null;
      this.held = 0;
      yield this.opener.open(sealed);
    }
  }
}
