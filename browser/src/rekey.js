// New keys for an open channel, so that a thief of the old ones is out again; the same machine as
// `whispurrnet/session/rekey.py`. REKEY1 and REKEY2 are the two messages of NNhfs+psk0 inside the
// channel; each side then says SWITCH, and everything after it is under the new keys.
// When both offer at once, the offer of the side that opened the connection is the one answered.
import { TokenBucket } from './bounded.js';
import { concat, u32 } from './bytes.js';
import { kemOfLevel } from './crypto.js';
import { ProtocolError } from './errors.js';
import { HandshakeState, TransportKeys } from './noise.js';

const OFFERS_PER_S_MAX = 16;
const OFFERS_BURST = 64;

export class Rekey {
  /** @param {TransportKeys} keys
   * @param {{initiator: boolean, level: number, entropy: import('./crypto.js').Entropy}} options */
  constructor(keys, { initiator, level, entropy }) {
    /** The keys of the epoch that has not ended. */
    this.keys = keys;
    this.epoch = 0;
    /** @type {'idle' | 'offered' | 'switching'} */
    this.stage = 'idle';
    this.initiator = initiator;
    this.name = `Noise_NNhfs+psk0_25519+${kemOfLevel(level).name}_ChaChaPoly_SHA256`;
    this.entropy = entropy;
    /** @type {HandshakeState | null} */
    this.offered = null;
    /** @type {TransportKeys | null} */
    this.next = null;
    this.toSend = this.toReceive = false;
    this.ourOffers = new TokenBucket(OFFERS_PER_S_MAX / 2, OFFERS_BURST / 2);
    this.peerOffers = new TokenBucket(OFFERS_PER_S_MAX, OFFERS_BURST);
  }

  /** Begin an exchange: the REKEY1, or null if one is under way or was just now. @param {number} now */
  offer(now) {
    if (this.stage !== 'idle' || !this.ourOffers.take(1, now)) return null;
    this.offered = this.handshake(true);
    this.stage = 'offered';
    return this.offered.write();
  }

  /** Take the peer's REKEY1; the REKEY2 and the next keys, or null if our offer wins.
   * @param {Uint8Array} message @param {number} now @returns {[Uint8Array, TransportKeys] | null} */
  answer(message, now) {
    if (this.stage === 'switching') throw new ProtocolError('an offer of new keys before the last exchange has ended');
    if (this.stage === 'offered' && this.initiator) return null;
    if (!this.peerOffers.take(1, now)) throw new ProtocolError(`more than ${OFFERS_PER_S_MAX} offers of new keys a second`);
    const handshake = this.handshake(false);
    handshake.read(message);
    const answer = handshake.write();
    return [answer, this.beginSwitch(handshake.finish())];
  }

  /** Take the peer's REKEY2; the next keys. @param {Uint8Array} message */
  finish(message) {
    if (this.stage !== 'offered' || !this.offered) {
      throw new ProtocolError('an answer to an offer of new keys that was not made');
    }
    this.offered.read(message);
    return this.beginSwitch(this.offered.finish());
  }

  /** Our SWITCH was sealed: what follows it is under the next keys. */
  switchedSend() {
    this.toSend = false;
    this.endSwitch();
  }

  /** The peer's SWITCH came. */
  switchedReceive() {
    if (!this.toReceive) throw new ProtocolError('a switch to new keys that were not exchanged');
    this.toReceive = false;
    this.endSwitch();
  }

  /** @param {boolean} initiator */
  handshake(initiator) {
    const epoch = u32(this.epoch);
    return new HandshakeState(this.name, {
      initiator,
      prologue: concat('WN1 rekey', this.keys.hash, epoch),
      psk: this.keys.export('rekey', epoch),
      entropy: this.entropy,
    });
  }

  /** @param {TransportKeys} keys */
  beginSwitch(keys) {
    this.offered = null;
    this.next = keys;
    this.toSend = this.toReceive = true;
    this.stage = 'switching';
    return keys;
  }

  endSwitch() {
    if (this.toSend || this.toReceive || !this.next) return;
    this.keys = this.next;
    this.next = null;
    this.epoch += 1;
    this.stage = 'idle';
  }
}
