// Reached through a relay: a real Python relay, and both kinds of nodes at either end.
import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { WebSocket } from 'ws';
import { hex } from '../src/bytes.js';
import { Endpoint } from '../src/endpoint.js';
import { NetworkError } from '../src/errors.js';
import { parseAddress } from '../src/address.js';
import { parseTicket, Ticket } from '../src/ticket.js';
import { PythonNode } from './python.js';

let relay;
const endpoints = [];
const nodes = [];
const make = (options = {}) => {
  const endpoint = new Endpoint({ WebSocket, webrtc: false, ...options });
  endpoints.push(endpoint);
  return endpoint;
};
const python = async (settings) => {
  const node = new PythonNode(settings);
  nodes.push(node);
  return node.start();
};
/** An endpoint that has a place at the relay. */
const placed = async (options = {}) => {
  const endpoint = make({ relays: [relay.ticket], ...options });
  const reached = new Promise((resolve) => endpoint.on('address', ({ addresses }) => addresses.length && resolve()));
  await endpoint.start();
  await reached;
  return endpoint;
};

before(async () => {
  relay = await python({ nat: { relay: true } });
});
after(async () => {
  for (const endpoint of endpoints) await endpoint.stop();
  await Promise.all(nodes.map((node) => node.stop()));
});

test('two browsers meet through a relay that neither of them is', async () => {
  const ada = await placed();
  const { addresses } = ada.ticket();
  assert.equal(parseAddress(addresses[0]).peerId, hex(ada.id));
  const bob = make();
  const heard = new Promise((resolve) => ada.on('whisper', resolve));
  const peer = await bob.connect(ada.ticket().text);
  assert.equal(peer.path, 'relay');
  assert.equal(peer.name, hex(ada.id));
  await peer.whisper('through').wait('received');
  const { peer: back } = await heard;
  assert.equal(back.name, hex(bob.id));
  const long = new Uint8Array(1 << 20).fill(5);
  const came = new Promise((resolve) => bob.on('whisper', ({ body }) => resolve(body)));
  await back.whisper(long).wait('received');
  assert.equal((await came).length, long.length);
});

test('a Python node that listens nowhere calls a browser, and is called by one', async () => {
  const ada = await placed();
  const caller = await python({ listen: [], nat: { webrtc: 'off' } });
  const up = new Promise((resolve) => ada.on('up', ({ peer }) => peer.path === 'relay' && resolve(peer)));
  const answer = await caller.order({ do: 'connect', ticket: ada.ticket().text });
  assert.match(answer.path ?? JSON.stringify(answer), /relay/);
  const peer = await up;
  await peer.whisper('welcome').wait('received');
  assert.equal((await caller.heard('whisper')).text, 'welcome');
  const heard = new Promise((resolve) => ada.on('whisper', resolve));
  await caller.order({ do: 'whisper', text: 'thank you' });
  assert.equal(new TextDecoder().decode((await heard).body), 'thank you');

  const bob = make();
  const far = await python({ listen: [], nat: { relays: [relay.ticket], webrtc: 'off' } });
  let ticket = far.ticket;
  for (let n = 0; n < 100 && !parseTicket(ticket).addresses.length; n++) {
    await new Promise((go) => setTimeout(go, 50));
    ticket = (await far.order({ do: 'ticket' })).ticket;
  }
  const reached = await bob.connect(ticket);
  assert.equal(reached.path, 'relay');
  await reached.whisper('hello there').wait('received');
});

test('a common peer carries a small circuit without any place', async () => {
  const common = await python({});
  const ada = make();
  const bob = make();
  await ada.connect(common.ticket);
  await bob.connect(common.ticket);
  const base = parseTicket(common.ticket);
  const address = parseAddress(base.addresses.find((each) => each.endsWith('/ws')));
  const through = address.through(hex(base.staticKey), hex(ada.id));
  const ticket = new Ticket({ staticKey: ada.identity.static.public, addresses: [String(through)] });
  const peer = await bob.connect(ticket, { keep: false });
  assert.equal(peer.path, 'relay');
  await peer.whisper('hi').wait('received');
});

test('nobody there, and a node that lies about who it is', async () => {
  const ada = await placed();
  const bob = make();
  bob.handshake.timeoutS = 1;
  const address = parseAddress(ada.ticket().addresses[0]);
  const nobody = new Ticket({ staticKey: new Uint8Array(32).fill(9), addresses: [String(address.through(address.relay, '09'.repeat(32)))] });
  await assert.rejects(bob.connect(nobody, { keep: false }), /nobody with that id/);
  const wrong = new Ticket({ staticKey: new Uint8Array(32).fill(9), addresses: [String(address)] });
  await assert.rejects(bob.connect(wrong, { keep: false }), NetworkError);
});

test('a place is kept through a rotation and a lost session', async () => {
  const ada = await placed();
  ada.rotate();
  const bob = make();
  const peer = await bob.connect(ada.ticket().text, { keep: false });
  assert.equal(peer.name, hex(ada.id));
  const again = new Promise((resolve) => {
    let lost = false;
    ada.on('address', ({ addresses }) => {
      if (!addresses.length) lost = true;
      else if (lost) resolve();
    });
  });
  const [atRelay] = ada.peers.filter((each) => each.session.initiator);
  atRelay.session.link.socket.terminate();
  await again;
  const carl = make();
  await (await carl.connect(ada.ticket().text, { keep: false })).whisper('still there?').wait('received');
});
