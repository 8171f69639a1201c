// The public names: what is exported is declared, and what is declared is exported.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { UsageError } from '../src/errors.js';
import { Feed, WAITING_MAX } from '../src/feed.js';
import * as api from '../src/index.js';
import { nameOf, numberOf } from '../src/kinds.js';

test('the types declare what is exported', () => {
  const types = readFileSync(new URL('../src/index.d.ts', import.meta.url), 'utf8');
  const declared = [...types.matchAll(/^export (?:class|function) (\w+)/gm)].map((one) => one[1]);
  assert.deepEqual(declared.sort(), Object.keys(api).sort());
  for (const [, name, body] of types.matchAll(/^export class (Node|Topic|WasmP2PClient|WhispurrNode) [^{]*\{(.*?)^\}/gms)) {
    const made = /** @type {any} */ (api)[name];
    const members = [...body.matchAll(/^ {2}(?:readonly )?(\w+)(?:\(|:)/gm)].map((one) => one[1]);
    const there = new Set(['constructor', 'create_neural_message', 'intent', 'dropped']);
    for (let at = made.prototype; at; at = Object.getPrototypeOf(at)) {
      Object.getOwnPropertyNames(at).forEach((one) => there.add(one));
    }
    assert.deepEqual(members.filter((one) => !there.has(one)), [], name);
  }
});

test('nothing is made weaker', async () => {
  const client = new api.WasmP2PClient('node-123');
  await assert.rejects(client.initialize({ quantum_resistant: false }), /cannot be switched off/);
});

test('messages of D21 have types that can be whispered, and bounds', () => {
  const message = api.create_neural_message('Thought', 'agent-1', 'agent-2', 5, 60);
  assert.deepEqual(message, { type: 'Thought', source: 'agent-1', destination: 'agent-2', priority: 5, ttl: 60 });
  for (const bad of [['ConsensusVote', 'a', 'b'], ['Nonsense', 'a', 'b'], ['Thought', 'a', 'b', 11], ['Thought', 'a', 'b', 5, 0]]) {
    assert.throws(() => api.create_neural_message(.../** @type {[any, any, any]} */ (bad)), UsageError);
  }
});

test('the numbers of kinds are those of Python', () => {
  const page = readFileSync(new URL('../../docs/protocol/numbers.md', import.meta.url), 'utf8');
  const rows = [...page.matchAll(/^\| (\d+) \| (\w+) \| ([^|]*) \| [A-E\d ]+ \| (\w+) \|/gm)];
  const direct = rows.filter((row) => row[4] === 'direct');
  assert.ok(direct.length >= 10);
  for (const [, number, name, aliases] of direct) {
    for (const one of [name, ...aliases.split(', ').filter((alias) => alias)]) assert.equal(numberOf(one), Number(number), one);
    assert.equal(nameOf(Number(number)), name);
  }
});

test('a feed is bounded and ends', async () => {
  let closed = 0;
  const feed = new Feed(() => (closed += 1));
  for (let n = 0; n < WAITING_MAX + 5; n += 1) feed.push(n);
  assert.equal(feed.dropped, 5);
  for await (const value of feed) {
    assert.equal(value, 5);
    break;
  }
  const waiting = feed.next();
  feed.close();
  assert.equal((await waiting).done, false, 'what waits is read first');
  assert.equal(closed, 1);
});
