// Random bytes and mutated frames into everything that reads what a peer sends: nothing but a
// ProtocolError comes out (or a UsageError, of texts that a person pastes), and nothing grows.
import assert from 'node:assert/strict';
import test from 'node:test';
import { hex, utf8, zeros } from '../src/bytes.js';
import { parseAddress } from '../src/address.js';
import { Channel } from '../src/channel.js';
import { Courier } from '../src/courier.js';
import { entropy } from '../src/crypto.js';
import * as direct from '../src/direct.js';
import { ProtocolError, UsageError } from '../src/errors.js';
import * as frames from '../src/frame.js';
import * as greeting from '../src/greeting.js';
import { Gate } from '../src/gate.js';
import { Initiator, Responder } from '../src/handshake.js';
import { Ephemeral, Proof } from '../src/identity.js';
import { decode, encode } from '../src/msgpack.js';
import { TransportKeys } from '../src/noise.js';
import { Credentials, Hello, Offer } from '../src/payload.js';
import { ReceiverLane } from '../src/receiver.js';
import * as relay from '../src/relay.js';
import * as signal from '../src/signal.js';
import { Codec } from '../src/codec.js';
import { parseTicket, Ticket } from '../src/ticket.js';
import { checkDescription } from '../src/webrtc.js';

const RUNS = Number(process.env.FUZZ_RUNS ?? 1000);

/** Chance that can be repeated: mulberry32. */
function chance(seed) {
  let a = seed >>> 0;
  const next = () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n) => Math.floor(next() * n);
  return { next, below, bytes: (n) => Uint8Array.from({ length: n }, () => below(256)) };
}

/** A good input, damaged: bytes changed, cut, doubled, or all of it random. */
function damage(good, rng) {
  const kind = rng.below(5);
  if (kind === 0) return rng.bytes(rng.below(80));
  if (kind === 1) return good.slice(0, rng.below(good.length + 1));
  if (kind === 2) return Uint8Array.of(...good.slice(0, 200), ...rng.bytes(rng.below(9)));
  const bad = good.slice();
  for (let n = rng.below(4); n >= 0 && bad.length; n--) bad[rng.below(bad.length)] = rng.below(256);
  return bad;
}

function only(errors, run, what) {
  try {
    return run();
  } catch (error) {
    if (!errors.some((each) => error instanceof each)) {
      error.message = `${what}: ${error.message}`;
      throw error;
    }
    return undefined;
  }
}

test('decoders', () => {
  const id = Ephemeral.generate(entropy, 1.8e12);
  const hello = { type: 'Hello', version: 1, profile: 'browser', capabilities: 5, heartbeatMs: 1, addresses: ['/a'], persona: null };
  const whispers = direct.codec().encodeAll([
    { type: 'Whisper', kind: 1, seq: 7, ttlMs: 9, lane: 5, body: utf8('hello') },
    { type: 'Ack', lane: 5, stream: zeros(8), received: 3, read: 2 },
    { type: 'Request', id: 1, name: 'x', timeoutMs: 5, priority: 5, body: zeros(3) },
  ]);
  const credentials = new Credentials({ suites: 8, minLevel: 1, features: 0, clockBucket: 9, binding: zeros(33), proof: id.proof });
  const readers = {
    msgpack: [decode, encode([1, 'two', zeros(3), [null, true, 1.5], { a: 2n ** 60n }])],
    greeting: [greeting.decode, greeting.encode(hello, { type: 'Presence', state: 'away', note: 'é' })],
    direct: [(body) => direct.codec().decodeAll(body), whispers],
    relay: [(body) => new Codec(relay.UNION).decodeAll(body), new Codec(relay.UNION).encodeAll([{ type: 'Reserved', expiresInS: 9, bytesPerS: 2 ** 60, bytesMax: 0 }])],
    signal: [(body) => new Codec(signal.UNION).decodeOne(body), new Codec(signal.UNION).encodeOne({ type: 'Candidate', attempt: 1, candidate: 'c', mid: '0' })],
    frames: [frames.parse, frames.frame(4, whispers)],
    proof: [(data) => Proof.decode(data).verify(1.8e12), id.proof.encode()],
    hello: [(data) => Hello.decode(data), new Hello(3, 'XK').encode()],
    offer: [Offer.decode, new Offer(8, 1, 0, zeros(8)).encode(entropy)],
    credentials: [Credentials.decode, credentials.encode()],
    sdp: [(data) => checkDescription(new TextDecoder().decode(data)), utf8(`m=application 9 x\r\na=fingerprint:sha-256 ${'AB:'.repeat(31)}AB\r\n`)],
  };
  for (const [name, [read, good]] of Object.entries(readers)) {
    read(good);
    for (let seed = 0; seed < RUNS; seed++) {
      const bad = damage(good, chance(seed));
      only([ProtocolError], () => read(bad), `${name} seed ${seed} ${hex(bad).slice(0, 200)}`);
    }
  }
});

test('texts that people paste', () => {
  const ticket = new Ticket({ staticKey: zeros(32), addresses: ['/ip4/192.0.2.7/tcp/9000/ws'] }).text;
  const address = '/ip6/2001:db8::7/tcp/443/wss/http-path/a%2Fb/p2p/' + '0a'.repeat(32);
  const letters = '/WN1-ABCxyz%. 0\n\u00e9';
  for (let seed = 0; seed < RUNS; seed++) {
    const rng = chance(seed);
    for (const [read, good] of [[parseTicket, ticket], [parseAddress, address]]) {
      const chars = [...good];
      for (let n = rng.below(3); n >= 0; n--) chars.splice(rng.below(chars.length), rng.below(3), letters[rng.below(letters.length)]);
      only([UsageError], () => read(chars.join('')), `seed ${seed}`);
    }
  }
  assert.equal(String(parseAddress(address)), address);
});

test('fragments: bounded, and only a ProtocolError', () => {
  for (let seed = 0; seed < RUNS / 4; seed++) {
    const rng = chance(seed);
    const joiner = new frames.Reassembler({ messagesMax: 4, bytesMax: 4000, messageMax: 2000, timeoutS: 5 });
    const pending = [];
    for (let step = 0; step < 60; step++) {
      if (!pending.length || rng.below(4) === 0) pending.push(...frames.split(4, rng.bytes(rng.below(1500)), 13 + 1 + rng.below(300), rng.below(6)));
      const at = rng.below(10) ? 0 : rng.below(pending.length);
      const [part] = pending.splice(at, 1);
      only([ProtocolError], () => joiner.add(rng.below(8) ? part : damage(part, rng), step), `seed ${seed}`);
      assert.ok(joiner.bytes <= 4000 && joiner.partials.size <= 4);
      joiner.expire(step);
    }
  }
});

test('handshakes: whatever comes, no session but with whom was asked for', () => {
  const wallMs = () => 1.8e12;
  const runs = Math.max(20, RUNS / 25);
  for (let seed = 0; seed < runs; seed++) {
    const rng = chance(seed);
    const [ada, bob] = [0, 1].map(() => Ephemeral.generate(entropy, 1.8e12));
    const initiator = new Initiator({}, ada, { entropy, wallMs, remoteKey: bob.proof.staticKey, expectedId: bob.id });
    const responder = new Responder({}, [bob], new Gate(), { entropy, wallMs });
    const at = rng.below(4); // which message is damaged; 3: none
    const established = [];
    let effects = initiator.begin();
    for (let turn = 0; turn < 4 && effects.length; turn++) {
      const other = turn % 2 ? initiator : responder;
      const next = [];
      for (const effect of effects) {
        if ('established' in effect) established.push(effect.established);
        if (!('write' in effect)) continue;
        let data = effect.write;
        if (turn === at) {
          data = data.slice();
          data[rng.below(data.length)] ^= 1 + rng.below(255);
        }
        const cut = rng.below(data.length);
        next.push(...other.arrived(data.subarray(0, cut)), ...other.arrived(data.subarray(cut)));
      }
      effects = next;
    }
    for (const effect of effects) if ('established' in effect) established.push(effect.established);
    assert.equal(established.length, at === 3 ? 2 : at === 2 ? 1 : 0, `seed ${seed} damaged ${at}`);
    if (at === 3) assert.equal(hex(established[0].keys.send), hex(established[1].keys.receive));
  }
});

/** Two ends of one channel. */
function channels(config = {}) {
  const [a, b, hash, exporter] = [1, 2, 3, 4].map((n) => new Uint8Array(32).fill(n));
  const end = (initiator, keys) => new Channel(keys, { initiator, level: 3, entropy, now: 0, config });
  return [end(true, new TransportKeys(a, b, hash, exporter)), end(false, new TransportKeys(b, a, hash, exporter))];
}

test('channels: any bytes; and keys change in any order of events', () => {
  for (let seed = 0; seed < RUNS / 10; seed++) {
    const rng = chance(seed);
    const [, victim] = channels();
    only([ProtocolError], () => victim.arrived(rng.bytes(1 + rng.below(300)), 1), `seed ${seed}`);
    const [one, two] = channels({ rekeyRecords: 6, nextKeyRecords: 3 });
    const wires = [[], []];
    const got = [[], []];
    let sent = [0, 0];
    for (let step = 0; step < 120; step++) {
      const n = rng.below(2);
      const self = [one, two][n];
      const now = step / 10;
      if (rng.below(2)) {
        if (rng.below(8) === 0) self.offer(now);
        const count = self.pending && rng.below(2) ? [] : [frames.frame(4, Uint8Array.of(sent[n]++))];
        wires[n].push(self.seal(count, now));
      } else if (wires[1 - n].length) {
        for (const effect of self.arrived(wires[1 - n].shift(), now)) if (effect.type === 'frame') got[n].push(effect.body[0]);
      }
    }
    for (let n = 0; n < 2; n++) {
      for (const record of wires[1 - n]) for (const effect of [one, two][n].arrived(record, 20)) if (effect.type === 'frame') got[n].push(effect.body[0]);
      assert.deepEqual(got[n], Array.from({ length: sent[1 - n] }, (_, i) => i), `seed ${seed}`);
    }
    assert.ok(one.epoch + two.epoch > 0);
  }
});

test('couriers: once and in order through sessions that break anywhere', () => {
  for (let seed = 0; seed < RUNS / 5; seed++) {
    const rng = chance(seed);
    const ends = [new Courier(entropy, { window: 4, retryS: 1 }), new Courier(entropy, { window: 4, retryS: 1 })];
    const heard = [[], []];
    const states = [new Map(), new Map()];
    const sent = [0, 0];
    let wires = [[], []];
    let up = false;
    let now = 0;
    const take = (n, effects) => {
      for (const effect of [...effects, ...ends[n].drain()]) {
        if (effect.type === 'whispers') heard[n].push(...effect.whispers.map((each) => each.body[0] + 256 * each.body[1]));
        if (effect.type === 'progress') states[n].set(effect.id, effect.state);
      }
    };
    const step = (n, stop) => {
      const end = ends[n];
      const what = rng.below(10);
      if (what < 3 && !stop) {
        const number = sent[n]++;
        end.post({ id: number, kind: 1, body: Uint8Array.of(number & 255, number >> 8), ttlS: 1e9 }, now);
      } else if (what < 6) {
        const body = up ? end.pull(20 + rng.below(200), now) : null;
        if (body) wires[n].push(body);
      } else if (what < 9) {
        const body = wires[1 - n].shift();
        if (body) take(n, end.arrived(body, now));
      } else {
        take(n, end.tick(now));
      }
      take(n, []);
      now += 0.05;
    };
    for (let turn = 0; turn < 400; turn++) {
      if (rng.below(40) === 0 || (!up && rng.below(5) === 0)) {
        up = !up;
        wires = [[], []]; // what was on its way is lost
        for (let n = 0; n < 2; n++) take(n, up ? ends[n].up() : ends[n].down(now));
      }
      step(rng.below(2), turn > 300);
      if (rng.below(60) === 0) only([ProtocolError], () => ends[0].arrived(damage(direct.codec().encodeAll([{ type: 'Ack', lane: 5, stream: zeros(8), received: 3, read: 2 }]), rng), now), `seed ${seed}`);
    }
    if (!up) for (let n = 0; n < 2; n++) take(n, ends[n].up());
    up = true;
    for (let turn = 0; turn < 4000 && (heard[0].length < sent[1] || heard[1].length < sent[0] || ends.some((end) => end.load.count)); turn++) step(rng.below(2), true);
    for (let n = 0; n < 2; n++) {
      assert.deepEqual(heard[n], Array.from({ length: sent[1 - n] }, (_, i) => i), `seed ${seed}`);
      assert.equal(ends[n].load.count, 0);
      assert.equal(ends[n].load.bytes, 0);
      assert.ok([...states[n].values()].every((state) => state === 'received'));
    }
  }
});

test('who shows the proof of another is refused, as initiator and as responder', () => {
  const wallMs = () => 1.8e12;
  const [ada, bob, mallory] = [0, 1, 2].map(() => Ephemeral.generate(entropy, 1.8e12));
  const liar = new Ephemeral(mallory.static, mallory.signing, bob.proof, 3600);
  for (const [from, to, key] of [[liar, ada, ada.proof.staticKey], [ada, liar, mallory.proof.staticKey]]) {
    const initiator = new Initiator({}, from, { entropy, wallMs, remoteKey: key });
    const responder = new Responder({}, [to], new Gate(), { entropy, wallMs });
    // The honest side is asked what it makes of the liar's message.
    const m2 = responder.arrived(initiator.begin()[0].write);
    const last = initiator.arrived(m2[0].write);
    const effects = from === liar ? responder.arrived(last[0].write) : last;
    const refused = effects.find((effect) => 'refused' in effect);
    assert.match(String(refused?.refused), /another key/);
    assert.ok(!effects.some((effect) => 'established' in effect));
  }
});

test('a gap in a lane is not taken, nor anything before its Resume', () => {
  const lane = new ReceiverLane();
  assert.ok(!lane.take(1));
  lane.resume('aa', zeros(8), 5);
  assert.ok(!lane.take(6) && !lane.take(4) && lane.take(5) && !lane.take(5) && lane.take(6));
  lane.skip(9, 12);
  assert.equal(lane.expected, 7);
  lane.skip(7, 12);
  assert.equal(lane.expected, 13);
});

test('bombs of depth and of length cost nothing', () => {
  const started = performance.now();
  assert.throws(() => decode(new Uint8Array(200_000).fill(0x91)), ProtocolError);
  assert.throws(() => decode(Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff)), ProtocolError);
  assert.throws(() => decode(Uint8Array.of(0xdf, 0xff, 0xff, 0xff, 0xff)), ProtocolError);
  assert.throws(() => decode(Uint8Array.of(0xc6, 0xff, 0xff, 0xff, 0xff)), ProtocolError);
  assert.ok(performance.now() - started < 1000);
});
