// From a relay to a direct path: signalling in the session, and who sits between is found out. The
// connections are a stand-in; tests/interop/test_browser.py has those of Chromium.
import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { WebSocket } from 'ws';
import { zeros } from '../src/bytes.js';
import { Endpoint } from '../src/endpoint.js';
import { AuthError, ProtocolError } from '../src/errors.js';
import { Ephemeral } from '../src/identity.js';
import { entropy } from '../src/crypto.js';
import { Credentials, vet } from '../src/payload.js';
import { bindingOf, checkDescription } from '../src/webrtc.js';
import { PythonNode } from './python.js';
import { FakeRTC } from './rtc.js';

let relay;
const endpoints = [];
const make = (options = {}) => {
  const endpoint = new Endpoint({ WebSocket, RTCPeerConnection: FakeRTC, ...options });
  endpoints.push(endpoint);
  return endpoint;
};
/** Two that met through the relay; what the second hears is kept. */
async function pair(alter = () => {}, options = {}) {
  const ada = make({ relays: [relay.ticket], ...options });
  const placed = new Promise((resolve) => ada.on('address', ({ addresses }) => addresses.length && resolve()));
  await ada.start();
  await placed;
  const bob = make(options);
  alter(ada, bob);
  const heard = [];
  ada.on('whisper', ({ body }) => heard.push(new TextDecoder().decode(body)));
  const peer = await bob.connect(ada.ticket().text);
  assert.equal(peer.path, 'relay');
  return { ada, bob, peer, heard };
}
const wait = (ms) => new Promise((go) => setTimeout(go, ms));

before(async () => {
  relay = await new PythonNode({ nat: { relay: true, webrtc: 'off' } }).start();
});
after(async () => {
  for (const endpoint of endpoints) await endpoint.stop();
  await relay.stop();
});

test('a session moves from the relay to WebRTC by itself, and nothing is lost or doubled', async () => {
  const { ada, bob, peer, heard } = await pair();
  const receipts = [];
  for (let n = 0; n < 120; n++) {
    receipts.push(peer.whisper(`${n}`));
    await wait(8);
  }
  await Promise.all(receipts.map((receipt) => receipt.wait('received')));
  assert.deepEqual(heard, Array.from({ length: 120 }, (_, n) => `${n}`));
  assert.equal(peer.path, 'webrtc');
  assert.equal(ada.peerById(bob.id).path, 'webrtc');
  const long = peer.whisper(new Uint8Array(1 << 20));
  await long.wait('received');
});

test('both offer at once: one link comes of it', async () => {
  const { ada, bob, peer } = await pair();
  const back = ada.peerById(bob.id);
  const made = FakeRTC.made;
  await Promise.allSettled([peer.upgrade(), back.upgrade()]);
  for (let n = 0; n < 100 && !(peer.path === 'webrtc' && back.path === 'webrtc'); n++) await wait(20);
  assert.deepEqual([peer.path, back.path], ['webrtc', 'webrtc']);
  assert.ok(FakeRTC.made - made >= 2);
  await peer.whisper('here').wait('received');
});

test('who sits between, with a fingerprint of his own, is refused; the relay still serves', async () => {
  const { ada, peer, heard } = await pair((_, bob) => {
    const { signal } = bob;
    const send = signal.send.bind(signal);
    const man = 'AB:'.repeat(31) + 'AB';
    signal.send = (to, message) => send(to, message.sdp ? { ...message, sdp: message.sdp.replace(/(sha-256 )\S+/, `$1${man}`) } : message);
  });
  await assert.rejects(peer.upgrade(), /WebRTC/);
  assert.equal(peer.path, 'relay');
  assert.ok(ada.counts.protocolErrors + ada.counts.handshakesFailed > 0);
  await peer.whisper('still').wait('received');
  assert.deepEqual(heard, ['still']);
});

test('who has no WebRTC says so', async () => {
  const { peer } = await pair((ada) => (ada.RTCPeerConnection = undefined));
  await assert.rejects(peer.upgrade(), /has no WebRTC/);
});

test('a binding of WebRTC has to agree; one of TLS need not', () => {
  const { proof } = Ephemeral.generate(entropy, 1.8e12);
  const credentials = (binding) => new Credentials({ suites: 8, minLevel: 1, features: 0, clockBucket: 1.8e9 / 60, binding, proof });
  const expected = (binding) => ({ level: 3, suites: 8, minLevel: 1, static: proof.staticKey, binding, wallMs: 1.8e12 });
  const [one, two] = [bindingOf(zeros(32), zeros(32)), bindingOf(zeros(32), entropy(32))];
  vet(credentials(one), expected(one));
  assert.throws(() => vet(credentials(one), expected(two)), AuthError);
  assert.throws(() => vet(credentials(zeros(33)), expected(two)), AuthError);
  assert.throws(() => vet(credentials(two), expected(zeros(33))), AuthError);
  vet(credentials(Uint8Array.of(1, ...zeros(32))), expected(zeros(33)));
});

test('descriptions about more than one data channel, or with two fingerprints, are refused', () => {
  const print = (byte) => `a=fingerprint:sha-256 ${`${byte}:`.repeat(31)}${byte}\r\n`;
  const data = 'm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n';
  checkDescription(data + print('AB'));
  for (const bad of [data, data + print('AB') + print('CD'), data + print('AB') + 'm=audio 9 x 0\r\n', data + print('AB').replace('sha-256', 'sha-1')]) {
    assert.throws(() => checkDescription(bad), ProtocolError);
  }
});
