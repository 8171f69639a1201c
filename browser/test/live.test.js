// A real Python node, real sockets: the same handshake, the same frames, both ways.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test, { after, before } from 'node:test';
import { WebSocket } from 'ws';
import { hex, utf8 } from '../src/bytes.js';
import { networkKey } from '../src/crypto.js';
import { Endpoint } from '../src/endpoint.js';
import { AuthError, IdentityChanged, NetworkError } from '../src/errors.js';
import { Persona } from '../src/persona.js';
import { parseTicket, Ticket } from '../src/ticket.js';
import { PythonNode } from './python.js';

let python;
const endpoints = [];
const make = (options = {}) => {
  const endpoint = new Endpoint({ WebSocket, webrtc: false, ...options });
  endpoints.push(endpoint);
  return endpoint;
};
const once = (endpoint, name, passes = () => true, seconds = 15) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`no ${name}`)), seconds * 1000);
    const off = endpoint.on(name, (event) => {
      if (!passes(event)) return;
      clearTimeout(timer);
      off();
      resolve(event);
    });
  });
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

before(async () => {
  python = await new PythonNode().start();
});
after(async () => {
  for (const endpoint of endpoints) await endpoint.stop();
  await python.stop();
});

test('whispers both ways, received and read', async () => {
  const endpoint = make();
  const peer = await endpoint.connect(python.ticket);
  assert.equal(peer.path, 'ws');
  assert.equal(peer.name, python.id);
  const receipt = peer.whisper('I saw you again');
  await receipt.wait('received');
  assert.notEqual(receipt.state, 'sent');
  assert.equal((await python.heard('whisper')).text, 'I saw you again');
  await receipt.wait('read');
  assert.deepEqual(Object.keys(receipt.at), ['sent', 'received', 'read']);
  const [said] = await Promise.all([once(endpoint, 'whisper'), python.order({ do: 'whisper', text: 'and I you' })]);
  assert.equal(new TextDecoder().decode(said.body), 'and I you');
  said.markRead();
  assert.ok((await peer.ping()) < 5);
  await endpoint.stop();
});

test('bodies of 1 MiB in fragments, both ways, in order with short ones', async () => {
  const endpoint = make();
  const peer = await endpoint.connect(python.ticket);
  const body = new Uint8Array(1 << 20).map((_, n) => n * 7);
  const receipts = [peer.whisper('before'), peer.whisper(body), peer.whisper('behind')];
  await Promise.all(receipts.map((receipt) => receipt.wait('received')));
  assert.equal((await python.heard('whisper')).text, 'before');
  const long = await python.heard('whisper');
  assert.equal(long.sha256, sha256(body));
  assert.equal((await python.heard('whisper')).text, 'behind');
  const [came, done] = await Promise.all([
    once(endpoint, 'whisper'), python.order({ do: 'whisper', text: 'abcdefgh', times: 131072 }),
  ]);
  assert.equal(came.body.length, 1 << 20);
  assert.equal(done.sha256, sha256(came.body));
  assert.throws(() => peer.whisper(new Uint8Array((1 << 20) + 1)), /most is/);
  await endpoint.stop();
});

test('requests both ways', async () => {
  const endpoint = make();
  endpoint.on('asked', ({ name, body, answer }) => {
    if (name === 'reverse') answer(body.slice().reverse());
    else answer(new Uint8Array(0), 'no such handler');
  });
  const peer = await endpoint.connect(python.ticket);
  assert.equal(new TextDecoder().decode(await peer.ask('shout', 'who goes there')), 'WHO GOES THERE');
  await assert.rejects(peer.ask('nothing', ''), NetworkError);
  assert.equal((await python.order({ do: 'ask', name: 'reverse', text: 'abc' })).text, 'cba');
  assert.match((await python.order({ do: 'ask', name: 'other', text: '' })).error, /no such handler/);
  await endpoint.stop();
});

test('new keys, offered by either side', async () => {
  const endpoint = make({ channel: { rekeyRecords: 20 } });
  const peer = await endpoint.connect(python.ticket);
  for (let n = 0; n < 60; n++) await peer.whisper(`number ${n}`).wait('received');
  for (let n = 0; n < 60; n++) assert.equal((await python.heard('whisper')).text, `number ${n}`);
  assert.ok(peer.session.channel.epoch >= 2, `epoch ${peer.session.channel.epoch}`);
  const other = await new PythonNode({ session: { rekey_after_s: 1 } }).start().catch(() => null);
  if (other) {
    const second = await endpoint.connect(other.ticket);
    const until = Date.now() + 8000;
    while (!second.session.channel.epoch && Date.now() < until) await new Promise((go) => setTimeout(go, 50));
    assert.ok(second.session.channel.epoch > 0, 'the Python node offered new keys');
    await second.whisper('still here').wait('received');
    await other.stop();
  }
  await endpoint.stop();
});

test('a wrong key, a wrong id and a wrong network are refused', async () => {
  const endpoint = make();
  const ticket = parseTicket(python.ticket);
  const wrongKey = new Ticket({ staticKey: ticket.staticKey.slice().reverse(), addresses: ticket.addresses });
  endpoint.handshake.timeoutS = 1; // whoever is not addressed gets no byte back
  await assert.rejects(endpoint.connect(wrongKey, { keep: false, timeoutS: 5 }), NetworkError);
  const secret = make({ networkSecret: new Uint8Array(32).fill(7) });
  secret.handshake.timeoutS = 1;
  await assert.rejects(secret.connect(python.ticket, { keep: false, timeoutS: 5 }), NetworkError);
  const persona = new Ticket({ staticKey: ticket.staticKey, addresses: ticket.addresses, persona: new Uint8Array(32) });
  const third = make();
  await assert.rejects(third.connect(persona, { keep: false, timeoutS: 5 }), /long-term identity/);
  assert.ok(new IdentityChanged('x') instanceof AuthError);
  await assert.rejects(make().connect('/ip4/127.0.0.1/tcp/1/ws', { keep: false }), NetworkError);
  await assert.rejects(make().connect('/ip4/127.0.0.1/tcp/1', { keep: false }), /browser opens/);
});

test('a private network, a first contact by an address, and a persona', async () => {
  const secret = 'a long secret of a few friends';
  const closed = await new PythonNode({ network_secret: secret }).start();
  const endpoint = make({ networkSecret: networkKey(secret), persona: new Persona(new Uint8Array(32).fill(3)) });
  const { addresses } = parseTicket(closed.ticket);
  const peer = await endpoint.connect(addresses.find((address) => address.includes('/ws')));
  assert.equal(peer.session.done.pattern, 'XX');
  assert.equal(peer.session.done.psk, 'network');
  await peer.whisper('let me in').wait('received');
  await endpoint.stop();
  await closed.stop();
});

test('identities rotate on both sides inside the session', async () => {
  const endpoint = make();
  const peer = await endpoint.connect(python.ticket);
  const before = hex(endpoint.id);
  endpoint.rotate();
  assert.notEqual(hex(endpoint.id), before);
  await python.heard((event) => event.event === 'peer_rotated', 'peer_rotated');
  await Promise.all([once(endpoint, 'renamed'), python.order({ do: 'rotate' })]);
  await peer.whisper('same as ever').wait('received');
  assert.equal(endpoint.peers.length, 1);
  const session = peer.session;
  const again = once(endpoint, 'up');
  session.link.socket.terminate();
  await again;
  assert.notEqual(peer.session, session);
  await peer.whisper('and again').wait('received');
  assert.equal((await python.order({ do: 'report' })).peers, 1);
  await endpoint.stop();
});

test('a broken link is made again, and what waited arrives once and in order', async () => {
  const fresh = await new PythonNode().start();
  const endpoint = make();
  const peer = await endpoint.connect(fresh.ticket);
  const receipts = [];
  for (let n = 0; n < 300; n++) {
    receipts.push(peer.whisper(`line ${n}`));
    if (n === 100 || n === 200) peer.session?.link.socket.terminate();
    if (n % 10 === 0) await new Promise((go) => setTimeout(go, 3));
  }
  await Promise.all(receipts.map((receipt) => receipt.wait('received')));
  const heard = [];
  while (heard.length < 300) heard.push((await fresh.heard('whisper')).text);
  assert.deepEqual(heard, Array.from({ length: 300 }, (_, n) => `line ${n}`));
  await new Promise((go) => setTimeout(go, 100));
  assert.ok(!fresh.events.some((event) => event.event === 'whisper'), 'none came twice');
  await endpoint.stop();
  await fresh.stop();
});

test('a stream is refused, and nothing else is harmed', async () => {
  const endpoint = make();
  const peer = await endpoint.connect(python.ticket);
  const answer = await python.order({ do: 'stream' });
  assert.ok(answer.error, JSON.stringify(answer));
  await peer.whisper(utf8('fine')).wait('received');
  await endpoint.stop();
});
