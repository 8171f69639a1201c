// vectors/*.json: what Python made, this package reads and makes alike.
import assert from 'node:assert/strict';
import test from 'node:test';
import { parseAddress } from '../src/address.js';
import { concat, fromHex, hex, readU32, zeros } from '../src/bytes.js';
import { Kem, X25519Key } from '../src/crypto.js';
import { codec } from '../src/direct.js';
import { AuthError, ProtocolError, UsageError } from '../src/errors.js';
import * as frames from '../src/frame.js';
import { addressMacs, isAddressed } from '../src/gate.js';
import { Proof, seedId, verifySuccessor } from '../src/identity.js';
import * as greeting from '../src/greeting.js';
import { HandshakeState, nextKey, TransportKeys } from '../src/noise.js';
import { Persona, safetyNumber, verifyPersona } from '../src/persona.js';
import { Opener, Sealer } from '../src/record.js';
import * as relay from '../src/relay.js';
import * as signal from '../src/signal.js';
import { parseTicket } from '../src/ticket.js';
import { bindingOf, checkDescription, fingerprint } from '../src/webrtc.js';
import { vectors } from './vectors.js';

const bytes = (n) => Uint8Array.from({ length: n }, (_, i) => i % 251);

test('noise: both sides say what was frozen', () => {
  const list = vectors('noise_hfs.json').vectors;
  assert.equal(list.length, 9);
  for (const vector of list) {
    const field = (name) => (vector[name] ? fromHex(vector[name]) : null);
    const key = (name) => (vector[name] ? new X25519Key(field(name)) : null);
    const name = vector.protocol_name;
    const kem = new Kem(name.split('_')[2].split('+')[1]);
    const replay = {
      publicBytes: kem.publicBytes,
      ciphertextBytes: kem.ciphertextBytes,
      generate: () => kem.generate(() => field('init_kem_seed')),
      encapsulate: (theirs) => kem.encapsulate(theirs, field('resp_kem_m')),
    };
    const common = { prologue: field('prologue'), psk: field('psk'), entropy: zeros, kem: replay };
    const initiator = new HandshakeState(name, {
      ...common, initiator: true, s: key('init_static'), e: key('init_ephemeral'), rs: field('init_remote_static'),
    });
    const responder = new HandshakeState(name, {
      ...common, initiator: false, s: key('resp_static'), e: key('resp_ephemeral'),
    });
    vector.messages.forEach(({ payload, ciphertext }, n) => {
      const [writer, reader] = n % 2 ? [responder, initiator] : [initiator, responder];
      const message = writer.write(fromHex(payload));
      assert.equal(hex(message), ciphertext, `${name} message ${n}`);
      assert.equal(hex(reader.read(message)), payload);
    });
    const keys = initiator.finish();
    assert.equal(hex(responder.finish().receive), hex(keys.send));
    assert.equal(hex(keys.hash), vector.handshake_hash);
    assert.equal(hex(keys.send), vector.key_init_to_resp);
    assert.equal(hex(keys.receive), vector.key_resp_to_init);
    assert.equal(hex(nextKey(keys.send)), vector.next_key_init_to_resp);
    assert.equal(hex(keys.exporter), vector.exporter);
    for (const { label, context, value } of vector.exports) {
      assert.equal(hex(keys.export(label, fromHex(context), value.length / 2)), value);
    }
  }
});

test('noise: a changed message is refused, and stays refused', () => {
  const vector = vectors('noise_hfs.json').vectors.find((each) => each.protocol_name.includes('XKhfs+psk3_25519+MLKEM768'));
  const responder = new HandshakeState(vector.protocol_name, {
    initiator: false, prologue: fromHex(vector.prologue), s: new X25519Key(fromHex(vector.resp_static)), entropy: zeros,
  });
  const message = fromHex(vector.messages[0].ciphertext);
  message[100] ^= 1;
  assert.throws(() => responder.read(message), AuthError);
  assert.throws(() => responder.read(fromHex(vector.messages[0].ciphertext)), AuthError);
});

test('identity: proofs, successors, seed ids', () => {
  const frozen = vectors('identity.json');
  for (const vector of frozen.proofs) {
    const proof = Proof.decode(fromHex(vector.encoded));
    assert.equal(hex(proof.id), vector.id);
    assert.equal(hex(proof.encode()), vector.encoded);
    proof.verify(proof.timestampMs);
    assert.throws(() => proof.verify(proof.timestampMs + 9 * 86400_000), AuthError);
    const forged = fromHex(vector.encoded);
    forged[200] ^= 1;
    assert.throws(() => Proof.decode(forged).verify(proof.timestampMs), AuthError);
  }
  const [old, next] = [frozen.successor.old, frozen.successor.new].map((each) => Proof.decode(fromHex(each)));
  verifySuccessor(old, next, fromHex(frozen.successor.signature));
  assert.throws(() => verifySuccessor(next, old, fromHex(frozen.successor.signature)), AuthError);
  assert.equal(seedId(frozen.seed_id.entropy, frozen.seed_id.timestamp_ms), frozen.seed_id.text);
});

test('persona: proofs with and without ML-DSA, and the safety number', () => {
  const frozen = vectors('identity.json');
  for (const vector of [frozen.persona, frozen.persona_post_quantum]) {
    const proof = {
      signingKey: fromHex(vector.signing_key),
      signature: fromHex(vector.signature),
      mldsaKey: fromHex(vector.mldsa_key ?? ''),
      mldsaSignature: fromHex(vector.mldsa_signature ?? ''),
    };
    const binding = fromHex(vector.binding);
    assert.equal(hex(verifyPersona(proof, binding, vector.role)), vector.id);
    assert.throws(() => verifyPersona(proof, binding, 1 - vector.role), AuthError);
  }
  const { seed, binding, role, id, signature } = frozen.persona;
  const persona = new Persona(fromHex(seed));
  assert.equal(hex(persona.id), id);
  assert.equal(hex(persona.prove(fromHex(binding), role).signature), signature);
  const { a, b, text } = frozen.safety_number;
  assert.equal(safetyNumber(fromHex(a), fromHex(b)), text);
});

test('frames and fragments', () => {
  for (const vector of vectors('wire.json').frames) {
    const body = fromHex(vector.body);
    if (!vector.fragments) {
      assert.equal(hex(frames.frame(vector.type, body)), vector.frame);
      assert.deepEqual(frames.parse(fromHex(vector.frame)).map(([type, each]) => [type, hex(each)]), [[vector.type, vector.body]]);
      continue;
    }
    const parts = vector.fragments.map((part) => frames.parse(fromHex(part))[0][1]);
    const joiner = new frames.Reassembler();
    const joined = parts.map((part) => joiner.add(part, 0));
    assert.deepEqual(joined.slice(0, -1).filter(Boolean), []);
    const [type, whole] = joined.at(-1);
    assert.equal(type, vector.type);
    assert.equal(hex(whole), vector.body);
    const longest = Math.max(...parts.map((part) => part.length));
    const ours = frames.split(vector.type, body, longest, readU32(parts[0], 1));
    assert.deepEqual(ours.map(hex), parts.map(hex));
  }
});

test('direct messages', () => {
  const list = vectors('wire.json').direct;
  assert.equal(list.length, 8);
  for (const { name, body } of list) {
    const messages = codec().decodeAll(fromHex(body));
    assert.equal(messages.length, 1, name);
    assert.equal(hex(codec().encodeAll(messages)), body, name);
  }
});

test('records seal and open at their place only', () => {
  const given = vectors('wire.json').records;
  const keys = [fromHex(given.key), fromHex(given.mask_key), given.epoch, { nextKeyRecords: given.next_key_records }];
  const opener = new Opener(...keys);
  const sealer = new Sealer(...keys);
  for (const vector of given.vectors) {
    const length = vector.body_bytes;
    const frame = length === null ? [] : [frames.frame(frames.DIRECT, bytes(length))];
    while (sealer.counter < vector.counter) opener.open(sealer.seal([]).subarray(2));
    const record = sealer.seal(frame);
    assert.equal(record.length, vector.record_bytes);
    assert.ok(hex(record).startsWith(vector.begins) && hex(record).endsWith(vector.ends), `counter ${vector.counter}`);
    assert.equal(opener.size(record.subarray(0, 2)), record.length - 2);
    const late = new Opener(...keys);
    if (vector.counter) assert.throws(() => late.open(record.subarray(2)), AuthError);
    const [found] = frames.parse(opener.open(record.subarray(2)));
    if (length !== null) assert.deepEqual(found[1], bytes(length));
    assert.throws(() => opener.open(record.subarray(2)), AuthError);
  }
});

test('mac1', () => {
  const given = vectors('wire.json').mac1;
  const m1 = fromHex(given.m1);
  for (const [key, secret, name] of [
    [fromHex(given.static_key), null, 'open_mesh'],
    [fromHex(given.static_key), fromHex(given.network_secret), 'private'],
    [null, null, "first_contact"],
  ]) {
    const made = addressMacs(m1, key, secret);
    assert.equal(hex(made.subarray(-32)), given[name], name);
    assert.ok(isAddressed(made, key, secret));
    made[0] ^= 1;
    assert.ok(!isAddressed(made, key, secret));
  }
});

test('tickets', () => {
  for (const vector of vectors('wire.json').tickets) {
    const ticket = parseTicket(vector.text);
    assert.equal(hex(ticket.staticKey), vector.static_key);
    assert.deepEqual(ticket.addresses, vector.addresses);
    assert.equal(ticket.expiresS, vector.expires_s);
    assert.equal(ticket.psk && hex(ticket.psk), vector.psk);
    assert.equal(ticket.persona && hex(ticket.persona), vector.persona);
    assert.equal(ticket.text, vector.text);
    assert.equal(parseTicket(`whispurr:${vector.text.toLowerCase()}\n`).text, vector.text);
    const changed = vector.text.slice(0, 20) + (vector.text[20] === 'A' ? 'B' : 'A') + vector.text.slice(21);
    assert.throws(() => parseTicket(changed), UsageError);
  }
  assert.throws(() => parseTicket('hello'), UsageError);
  assert.equal(concat().length, 0);
});

const refused = (list, read) => {
  assert.ok(list.length);
  for (const { why, body } of list) assert.throws(() => read(fromHex(body)), ProtocolError, why);
};

test('relays: messages, addresses, and what is refused', () => {
  const frozen = vectors('relay.json');
  assert.equal(frozen.type, frames.RELAY);
  const read = frozen.messages.map(({ name, body }) => {
    const messages = relay.decode(fromHex(body));
    assert.deepEqual(messages.map(({ type }) => type), [name]);
    assert.equal(hex(relay.encode(...messages)), body, name);
    return messages[0];
  });
  assert.equal(hex(relay.encode(...read)), frozen.together);
  assert.deepEqual(relay.decode(fromHex(frozen.together)), read);
  for (const { body, as } of frozen.later) assert.equal(hex(relay.encode(...relay.decode(fromHex(body)))), as);
  refused(frozen.malformed, relay.decode);
  const { good, written, bad } = frozen.addresses;
  for (const { text, base, peer_id: peerId, ...fields } of good) {
    const { kind, host, zone, port, transport, path, relay: key, ...address } = parseAddress(text);
    assert.equal(String(parseAddress(text)), text);
    assert.equal(parseAddress(text).placeText(), base);
    assert.equal(address.peerId, peerId);
    assert.deepEqual({ kind, host: host + (zone && `%${zone}`), port, transport, path, relay: key }, fields);
  }
  for (const { as, text } of written) assert.equal(String(parseAddress(as)), text);
  for (const text of bad) assert.throws(() => parseAddress(text), UsageError, text);
});

test('signalling: descriptions, candidates, and the binding that comes of them', () => {
  const frozen = vectors('signal.json');
  assert.equal(frozen.type, frames.SIGNAL);
  for (const { name, fields, body } of frozen.messages) {
    const message = signal.decode(fromHex(body));
    assert.deepEqual(message, { type: name, ...fields });
    assert.equal(hex(signal.encode(message)), body);
  }
  for (const body of frozen.later) assert.equal(signal.decode(fromHex(body)), null);
  refused(frozen.malformed, signal.decode);
  const [offer, answer] = frozen.messages.slice(0, 2).map(({ fields }) => fields.sdp);
  for (const sdp of [offer, answer]) checkDescription(sdp);
  assert.deepEqual([offer, answer].map(fingerprint).map(hex), [frozen.bound.offerer, frozen.bound.answerer]);
  assert.equal(hex(bindingOf(fingerprint(offer), fingerprint(answer))), frozen.bound.binding);
  assert.equal(hex(bindingOf(fingerprint(answer), fingerprint(offer))), frozen.bound['the other way round']);
});

test('moves: the name of a session, and what is said of it', () => {
  const frozen = vectors('moves.json');
  const { exporter, hash, label, name } = frozen.session;
  assert.equal(label, 'moving-session');
  assert.equal(hex(new TransportKeys(zeros(32), zeros(32), fromHex(hash), fromHex(exporter)).export(label)), name);
  assert.deepEqual(frozen.capabilities, { relays: greeting.RELAYS, webrtc: greeting.WEBRTC });
  assert.deepEqual(frozen.goodbyes, { 'taken over': greeting.DUPLICATE, later: greeting.LATER });
  assert.equal(frozen.type, frames.PEER);
  const said = frozen.bodies.map(({ body }) => {
    const messages = greeting.decode(fromHex(body));
    assert.equal(hex(greeting.encode(...messages)), body);
    return messages.map(({ type }) => type).join();
  });
  assert.deepEqual(said, ['Hello,Moves', 'Moves', 'Moves', 'Moved']);
  assert.ok(greeting.decode(fromHex(frozen.bodies[0].body))[0].addresses.some((text) => text.length > 200));
  for (const { body, as } of frozen.later) assert.equal(hex(greeting.encode(...greeting.decode(fromHex(body)))), as);
  refused(frozen.malformed, greeting.decode);
});
