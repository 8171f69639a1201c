// Gossip against the frozen vectors of Python, and between leaves in one process.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { concat, fromHex, hex, utf8, zeros } from '../src/bytes.js';
import { entropy } from '../src/crypto.js';
import { ProtocolError, UsageError } from '../src/errors.js';
import { GOSSIP, VIEW } from '../src/frame.js';
import { answer, itemKey } from '../src/gossip/compare.js';
import { author, BUCKETS, parse, Realm, realmKey, verify } from '../src/gossip/envelope.js';
import { featureKey, features, match, normalise, slot } from '../src/gossip/intent.js';
import { Keyring } from '../src/gossip/keyring.js';
import { Mesh } from '../src/gossip/mesh.js';
import * as stamp from '../src/gossip/stamp.js';
import { Ephemeral } from '../src/identity.js';

const read = (/** @type {string} */ name) =>
  JSON.parse(readFileSync(new URL(`../../vectors/${name}`, import.meta.url), 'utf8'));
const given = read('gossip.json');
const unhex = (/** @type {string | null} */ text) => (text === null ? null : fromHex(text));

/** @param {string} name */
function realmOf(name) {
  const vector = given.realms.find((/** @type {any} */ one) => one.name === name);
  return new Realm(realmKey(unhex(vector.network_secret)));
}

test('realms', () => {
  assert.equal(given.realms.length, 2);
  for (const vector of given.realms) {
    const realm = realmOf(vector.name);
    assert.equal(hex(realmKey(unhex(vector.network_secret))), vector.realm_key);
    assert.equal(hex(realm.base), vector.base);
    assert.equal(hex(realm.mac(utf8('data'))), vector.mac);
    for (const hint of vector.hints) assert.equal(hex(realm.hint(hint.expiry_s)), hint.hint);
  }
});

test('the ladder', () => {
  const { nonce, intent, features: named, interests } = given.ladder;
  for (const feature of named) {
    const key = featureKey(realmOf('open').base, feature.name);
    assert.equal(hex(key), feature.key);
    assert.equal(hex(slot(key, fromHex(nonce))), feature.slot);
  }
  const there = new Set(features(intent).map(([name]) => name));
  for (const one of interests) assert.equal(match(features(one.interest), there), one.match);
});

test('envelopes open, and a changed byte is refused', () => {
  assert.deepEqual(BUCKETS, given.buckets);
  assert.equal(given.vectors.length, 4);
  for (const vector of given.vectors) {
    const raw = fromHex(vector.raw);
    const envelope = parse(raw);
    assert.equal(hex(envelope.id), vector.id);
    assert.equal(envelope.expiryS, given.expiry_s);
    const realm = realmOf(vector.realm);
    verify(realm, envelope);
    const keyring = new Keyring(realm);
    if (vector.intent) keyring.listen(vector.intent, { key: unhex(vector.topic_key) });
    const [heard, ...more] = keyring.open(envelope);
    assert.equal(more.length, 0);
    assert.equal(heard.inside.intent, vector.intent);
    assert.equal(heard.inside.kind, vector.kind);
    assert.equal(heard.inside.strength, vector.strength);
    assert.equal(hex(heard.inside.payload), vector.payload);
    const signer = author(envelope, heard.inside, given.wall_ms);
    assert.equal(signer && hex(signer), vector.author);
    for (const at of [3, 12, 200, raw.length - 1]) {
      const changed = raw.slice();
      changed[at] ^= 1;
      assert.throws(() => verify(realm, parse(changed)), ProtocolError);
    }
    const elsewhere = realmOf(vector.realm === 'open' ? 'private' : 'open');
    assert.throws(() => verify(elsewhere, envelope), ProtocolError);
  }
});

test('stamps', () => {
  for (const { id, expiry_s: expiryS, bits, value } of given.stamps) {
    assert.equal(hex(stamp.attempt(fromHex(id), expiryS, bits, 0, 2 ** 24) ?? zeros(0)), value);
    assert.ok(stamp.verify(fromHex(id), expiryS, fromHex(value), bits));
    assert.ok(!stamp.verify(fromHex(id), expiryS + 10, fromHex(value), bits || 8));
  }
});

test('intents have one spelling', () => {
  assert.equal(normalise('Health//Sensor #b #a'), 'health/sensor#a#b');
  assert.equal(normalise('STRASSE/ΣΊΣΥΦΟΣ'), normalise('straße/σίσυφος'));
  assert.equal(normalise('a\u3000b/ꭰ'), 'a b/Ꭰ');
  for (const bad of ['', '#tag', 'a\u0000b', 'x'.repeat(257)]) {
    assert.throws(() => normalise(bad), UsageError);
  }
});

test('a comparison is answered as Python does', () => {
  const query = Uint8Array.of(0x61, 0, 0, 2, 0); // all, up to infinity: no ids
  assert.equal(hex(answer([], query)), '6100000200');
  const id = new Uint8Array(16).fill(7);
  assert.equal(hex(answer([itemKey(100, id)], query)), `6100000201${hex(id)}${'00'.repeat(16)}`);
  assert.equal(hex(answer([], Uint8Array.of(0x60))), '61');
  for (const bad of [[], [0x51], [0x61, 0], [0x61, 0, 0, 3], [0x61, 0, 0, 2, 9], [0x61, 2, 1, 1, 0, 1, 1, 0, 0]]) {
    assert.throws(() => answer([], Uint8Array.from(bad)), ProtocolError);
  }
});

/** Leaves in one process, joined as given; frames arrive at once and in order. */
class Room {
  now = 1000;
  /** @type {[Mesh, number, number, Uint8Array][]} */
  frames = [];
  /** @type {{mesh: Mesh, news: any[]}[]} */
  nodes = [];

  /** @param {object} [how] */
  node(how) {
    const number = this.nodes.length;
    const identity = Ephemeral.generate(entropy, 1_760_000_000_000);
    /** @type {any[]} */
    const news = [];
    const mesh = new Mesh(
      {
        send: (peer, type, body) => void this.frames.push([this.nodes[peer].mesh, number, type, body]),
        tell: (one) => void news.push(one),
        neighbour: () => {},
        now: () => this.now,
        wallMs: () => 1_760_000_000_000 + (this.now - 1000) * 1000,
        entropy,
        identity: () => identity,
        changed: () => {},
      },
      how,
    );
    this.nodes.push({ mesh, news });
    return this.nodes[number];
  }

  /** @param {number} one @param {number} other */
  join(one, other) {
    this.nodes[one].mesh.up(other);
    this.nodes[other].mesh.up(one);
    this.settle();
  }

  settle() {
    for (let one = this.frames.shift(); one; one = this.frames.shift()) one[0].frame(one[1], one[2], one[3]);
  }

  /** @param {number} seconds */
  pass(seconds) {
    for (const until = this.now + seconds; this.now < until; this.now += 0.1) {
      for (const { mesh } of this.nodes) mesh.tick();
      this.settle();
    }
  }
}

test('a message reaches who listens, over one that does not', async () => {
  const room = new Room();
  const [a, , c] = [room.node(), room.node(), room.node()];
  room.join(0, 1);
  room.join(1, 2);
  assert.deepEqual(a.mesh.neighbours, [1]);
  c.mesh.listen('tea/green', { threshold: 0.9 });
  c.mesh.listen('coffee');
  const sent = await a.mesh.resonate('Tea/Green#hot', utf8('kettle on'), { signed: true });
  room.pass(15);
  assert.equal(c.news.length, 1);
  assert.equal(hex(c.news[0].payload), hex(utf8('kettle on')));
  assert.deepEqual([c.news[0].intent, c.news[0].strength, hex(c.news[0].id)], ['tea/green', 1, hex(sent.id)]);
  assert.equal(c.news[0].author.length, 32);
  assert.equal(a.news.length, 0, 'one does not hear oneself');
});

test('a private topic is heard by who has its key; a realm by its own', async () => {
  const room = new Room();
  const secret = new Uint8Array(32).fill(9);
  const [a, b, other] = [room.node(), room.node(), room.node({ networkSecret: secret })];
  room.join(0, 1);
  room.join(0, 2);
  const key = new Uint8Array(32).fill(5);
  b.mesh.listen('plans');
  other.mesh.listen('plans');
  await a.mesh.resonate('plans', utf8('nobody yet'), { key });
  room.pass(120);
  assert.equal(b.news.length, 0);
  b.mesh.listen('plans', { key });
  assert.equal(b.news.length, 1, 'what still lives is heard by who comes later');
  await a.mesh.broadcast(utf8('fire'), { urgent: true });
  room.settle();
  assert.equal(b.news.at(-1).kind, 4);
  assert.equal(other.news.length, 0, 'another realm hears nothing');
});

test('one of many takes a turn', async () => {
  const room = new Room();
  const nodes = [room.node(), room.node(), room.node()];
  room.join(0, 1);
  room.join(0, 2);
  nodes[1].mesh.listen('work');
  nodes[2].mesh.listen('work');
  await nodes[0].mesh.resonate('work', utf8('dig'), { oneOf: true });
  for (let n = 0; n < 30; n += 1) {
    room.pass(0.5);
    await new Promise((resolve) => setTimeout(resolve, 15)); // claims look for their stamps
  }
  const heard = nodes[1].news.length + nodes[2].news.length;
  assert.ok(heard >= 1 && heard <= 2);
});

test('what does not come back from its walk is spread by who sent it', async () => {
  const room = new Room();
  const [a, b] = [room.node(), room.node()];
  room.join(0, 1);
  b.mesh.listen('x');
  const walked = a.mesh.resonate('x', utf8('1'));
  await walked;
  assert.equal(room.frames.length, 1);
  assert.equal(room.frames[0][3][1], 16, 'it goes as STEM');
  room.frames.length = 0; // and is lost
  room.pass(60);
  assert.equal(b.news.length, 1);
});

test('who sends garbage is refused; a flood is bounded', () => {
  const room = new Room();
  const { mesh } = room.node();
  room.node();
  room.join(0, 1);
  for (const bad of [[0], [0, 99, 0], [0, 1, 11, 0], [0, 2, 0, 1], [0, 17, 1, 1], [0, 1, 0, ...new Array(529).fill(1)]]) {
    assert.throws(() => mesh.frame(1, GOSSIP, Uint8Array.from(bad)), ProtocolError);
  }
  assert.throws(() => mesh.frame(1, VIEW, Uint8Array.of(0, 0xc1)), ProtocolError);
  const ids = concat(Uint8Array.of(0, 2, 0), entropy(16 * 256));
  assert.throws(() => {
    for (let n = 0; n < 40; n += 1) mesh.frame(1, GOSSIP, concat(ids.slice(0, 3), entropy(16 * 256)));
  }, ProtocolError);
});

test('random walks: frames that are cut, changed and made up break nothing and pass no bound', () => {
  const runs = Number(process.env.FUZZ_RUNS ?? 150);
  for (let seed = 1; seed <= runs; seed += 1) {
    let state = seed;
    const next = (/** @type {number} */ n) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return Math.floor((state / 2 ** 32) * n);
    };
    const room = new Room();
    const { mesh, news } = room.node();
    const links = new Set();
    for (let peer = 1; peer < 4; peer += 1) room.nodes.push({ mesh: /** @type {any} */ ({ frame() {} }), news: [] });
    mesh.listen('health/sensor/heart');
    for (let step = 0; step < 60; step += 1) {
      const peer = 1 + next(3);
      room.now += next(3) / 2;
      if (!next(8)) links.has(peer) ? (mesh.down(peer), links.delete(peer)) : (mesh.up(peer), links.add(peer));
      const raw = fromHex(given.vectors[next(4)].raw);
      const bodies = [
        [0, 1, next(12), 1, ...entropy(16), ...raw],
        [0, 2, next(2), ...entropy(16 * next(4))],
        [0, 3, ...entropy(16)],
        [0, 4, 0x61, 0, 0, next(3), ...entropy(next(40))],
        [0, 5, ...entropy(next(9))],
        [0, 16, 1, ...entropy(16), ...raw],
        [0, 17, next(256)],
        [next(3), ...entropy(next(50))],
      ];
      const views = [[0, 0x91, 0x93, 3, 0xc3, 0xc0], [0, 0x91, 0x94, 4, 0xc3, 0xc0, 0x90], [0, 0x91, 0x93, 5, 0x90, next(128)], [0, ...entropy(next(20))]];
      const isView = !next(3);
      const body = Uint8Array.from(isView ? views[next(4)] : bodies[next(8)]);
      if (body.length && !next(3)) body[next(body.length)] ^= 1 << next(8);
      try {
        mesh.frame(peer, isView ? VIEW : GOSSIP, body.subarray(0, next(4) ? body.length : next(body.length + 1)));
      } catch (error) {
        assert.ok(error instanceof ProtocolError, `seed ${seed}: ${error}`);
      }
      mesh.tick();
      room.frames.length = 0;
      assert.ok(mesh.neighbours.every((one) => links.has(one)), `seed ${seed}: only who is there is a neighbour`);
      assert.ok(mesh.deadline > room.now - 1e-9, `seed ${seed}: what was due is done`);
    }
    assert.equal(news.length, 0, 'nothing of it has a stamp');
  }
});
