// The mesh with a real Python node: a leaf of it hears, is heard, and meets others under names.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { WebSocket } from 'ws';

import { open } from '../src/index.js';
import { PythonNode } from './python.js';

/** @type {{close(): Promise<void>}[]} */
const open_ = [];
/** @type {PythonNode[]} */
const pythons = [];
const serve = async (/** @type {object} */ settings) => {
  const python = await new PythonNode(settings).start();
  pythons.push(python);
  return python;
};
const join = async (/** @type {object} */ options) => {
  const node = await open({ ...options, endpoint: { WebSocket, webrtc: false, ...options.endpoint } });
  open_.push(node);
  for (let n = 0; !node.neighbours && n < 250; n += 1) await new Promise((go) => setTimeout(go, 20));
  return node;
};
const said = async (/** @type {import('../src/message.js').Topic} */ topic) => (await topic.next()).value;

after(async () => {
  for (const node of open_) await node.close();
  for (const python of pythons) await python.stop();
});

test('resonances both ways in a private network, and an emergency', async () => {
  const python = await serve({ network_secret: 'moon and tides' });
  const node = await join({ bootstrap: [python.ticket], networkSecret: 'moon and tides' });
  assert.equal(node.neighbours, 1);
  await python.order({ do: 'join', intent: 'Tea/Grün' });
  await node.resonate('tea/GRÜN#hot', 'the kettle is on', { strength: 0.75 });
  const heard = await python.heard('resonance');
  assert.deepEqual([heard.text, heard.strength], ['the kettle is on', 0.75]);
  const topic = node.join('tea/straße');
  await python.order({ do: 'resonate', intent: 'tea/STRASSE', text: 'coming' });
  const message = await said(topic);
  assert.deepEqual([message.text, message.kind, message.from], ['coming', 'RESONANCE', python.id]);
  /** @type {Promise<any>} */
  const fire = new Promise((resolve) => node.on('broadcast', resolve));
  await python.order({ do: 'emergency', text: 'fire' });
  assert.equal((await fire).text, 'fire');
  await assert.rejects(join({ bootstrap: [python.ticket], timeoutS: 2 }), 'another network is not let in');
});

test('two leaves of one node hear each other, and who comes later what still lives', async () => {
  const python = await serve({ nat: { relay: true } });
  const one = await join({ bootstrap: [python.ticket] });
  await one.resonate('den/north', 'still warm', { key: 'ab'.repeat(32) });
  await one.resonate('large', 'x'.repeat(15_360));
  const other = await join({ bootstrap: [python.ticket] });
  assert.equal((await said(other.join('den/north', { key: 'ab'.repeat(32) }))).text, 'still warm');
  assert.equal((await said(other.join('large'))).text.length, 15_360);
  await assert.rejects(one.resonate('large', 'x'.repeat(15_361)), /does not fit/);
});

test('names lead to nodes, and a leaf with a relay is found by its own', async () => {
  const python = await serve({ nat: { relay: true } });
  const endpoint = { relays: [python.ticket] };
  await python.order({ do: 'register', name: 'peer1' });
  const one = await join({ bootstrap: [python.ticket], endpoint });
  const other = await join({ bootstrap: [python.ticket] });
  assert.equal((await one.find('peer1')).length, 1);
  assert.deepEqual(await one.find('nobody'), []);
  one.register('agent-7');
  for (let n = 0; !one.ticket && n < 250; n += 1) await new Promise((go) => setTimeout(go, 20));
  /** @type {string[]} */
  let tickets = [];
  for (let n = 0; !tickets.length && n < 20; n += 1) tickets = await other.find('agent-7');
  const peer = await other.connect(tickets[0]);
  assert.equal(peer.name, one.id);
  const [message] = await Promise.all([
    one.whispers().next(),
    other.whisper(peer, 'found you', { kind: 'Thought' }).received(),
  ]);
  assert.deepEqual([message.value.text, message.value.kind], ['found you', 'Thought']);
});
