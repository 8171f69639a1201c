// The kinds of messages, by the names of the seeds; the numbers of `stack/protocols.py`.
import { UsageError } from './errors.js';

/** Kinds that go from one peer to another, as a whisper. @type {Record<string, number>} */
export const DIRECT = {
  WHISPER: 1,
  FILE_SYNC: 16,
  MINING_SIGNAL: 17,
  DREAMSPACE: 18,
  Thought: 32,
  AgentCoordination: 33,
  SwarmSync: 34,
  MetricsUpdate: 37,
  Command: 38,
  Response: 39,
  ERROR: 54,
};

/** Kinds that go to many. @type {Record<string, number>} */
export const SPREAD = { RESONANCE: 2, BROADCAST: 3, EMERGENCY_SIGNAL: 4, TURN: 7, TAKEN: 8 };

/** Names that mean the same, and those that another part of a later version carries. */
const ALIASES = new Map([
  ['direct_message', 'WHISPER'],
  ['coordination', 'AgentCoordination'],
]);
const ELSEWHERE = new Map([
  ['healthcheck', 'the session itself does that; see `peer.ping()`'],
  ['heartbeat', 'the session itself does that; see `peer.ping()`'],
  ['consensusproposal', 'this version carries no consensus'],
  ['consensusvote', 'this version carries no consensus'],
]);

const NAMES = new Map(
  Object.entries({ ...DIRECT, ...SPREAD }).map(([name, number]) => [number, name]),
);

/** The name of a kind. @param {number} number */
export function nameOf(number) {
  return NAMES.get(number) ?? `kind ${number}`;
}

/**
 * The number of a kind that can be whispered.
 *
 * @param {string | number} kind Its name or alias, in any case, or its number.
 * @throws {UsageError} There is none, or it is not carried by whispers.
 */
export function numberOf(kind) {
  if (typeof kind === 'number') return kind;
  const wanted = kind.toLowerCase();
  const alias = ALIASES.get(wanted)?.toLowerCase() ?? wanted;
  for (const [name, number] of Object.entries(DIRECT)) {
    if (name.toLowerCase() === alias) return number;
  }
  const why = ELSEWHERE.get(wanted) ?? `use one of ${Object.keys(DIRECT).join(', ')}`;
  throw new UsageError(`a message of the type ${JSON.stringify(kind)} cannot be whispered: ${why}`);
}
