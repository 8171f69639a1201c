// What two nodes say of themselves once the channel is up: `whispurrnet/stack/greeting.py`.
// The first frame of a session, each way, is a Hello; nothing else is read before it.
import { bytes, Codec, list, nullable, str, uint } from './codec.js';
import { ProtocolError } from './errors.js';
import { personaProof } from './persona.js';

export const VERSION = 1;
export const ADDRESSES_MAX = 8;
export const ADDRESS_BYTES_MAX = 255;
export const PRESENCE_STATES = ['online', 'away', 'busy', 'asleep'];
export const PRESENCE_NOTE_MAX = 120;
export const INITIATOR = 0;
export const RESPONDER = 1;

// Capabilities
export const GOSSIPS = 1;
export const SHARED = 2;
export const KEEP = 4;
export const MEETS = 8;
export const CLOSED_REALM = 16;
export const OBJECTS = 32;
export const MAPPED = 64;
export const RELAYS = 128;
export const WEBRTC = 256;

// Why a session ends, in a GOODBYE
export const CLOSED = 0;
export const SHUTTING_DOWN = 1;
export const DUPLICATE = 2;
export const FULL = 3;
export const REVOKED = 4;
export const PRUNED = 5;
export const LATER = 6;
export const REASONS = [
  'the peer said goodbye',
  'the peer is shutting down',
  'another connection to this peer took over',
  'the peer has as many connections as it takes',
  'the peer does not talk to us',
  'the peer has neighbours enough',
  'the peer does not change the path now; it may later',
];

const U32 = 0xffffffff;
const CHAIN_BYTES_MAX = 1024;

/** @type {import('./codec.js').Union} */
export const UNION = {
  Hello: [1, {
    version: uint(255, 1),
    profile: str(16),
    capabilities: uint(U32),
    heartbeatMs: uint(U32),
    addresses: list(str(ADDRESS_BYTES_MAX), ADDRESSES_MAX),
    persona: nullable(personaProof()),
  }],
  Rotate: [2, { proof: bytes(240), signature: bytes(64), consent: bytes(64) }],
  Presence: [3, { state: str(16), note: str(PRESENCE_NOTE_MAX) }],
  Belong: [4, { chain: bytes(0, CHAIN_BYTES_MAX), signature: bytes(64) }],
  Apply: [5, { key: bytes(32), signature: bytes(64), invite: bytes(0, 32) }],
  Grant: [6, { chain: bytes(0, CHAIN_BYTES_MAX) }],
  Asleep: [7, { heartbeatMs: uint(U32) }],
  Moves: [8, { session: bytes(0, 32) }],
  Moved: [9, {}],
};

const CODEC = new Codec(UNION);

/** The body of a PEER frame. @param {import('./codec.js').Message[]} messages */
export const encode = (...messages) => CODEC.encodeAll(messages);

/** Read the body of a PEER frame; messages of a later version are skipped. @param {Uint8Array} body */
export function decode(body) {
  const messages = CODEC.decodeAll(body);
  if (messages.length > ADDRESSES_MAX) throw new ProtocolError(`${messages.length} greetings in one frame`);
  return messages;
}
