// Meeting under a name, as `discovery/rendezvous.py` has it, for a node that keeps no names of others.
//
// A meeting place learns neither the name nor the contact left under it. Whoever knows the name and
// is of the realm can read what is left there, and leave something: a contact proves itself only in
// the handshake, and a name proves nothing.
import { concat, hex, u16, utf8 } from './bytes.js';
import { bytes, Codec, list, record, str, uint } from './codec.js';
import { hmac, xopen, xseal } from './crypto.js';
import { AuthError, ProtocolError, UsageError } from './errors.js';
import { RENDEZVOUS } from './frame.js';
import { MEETS } from './greeting.js';
import { decode, encode } from './msgpack.js';

const TTL_S = 7200;
const LIMIT = 32;
const WAIT_S = 5;
const SIZES = [256, 1024];
const OVERHEAD = 24 + 16;

const nameKey = bytes(32);
const CODEC = new Codec({
  Register: [1, { nameKey, contact: bytes(1, 1024), ttlS: uint(TTL_S, 60) }],
  Unregister: [2, { nameKey }],
  Discover: [3, { nameKey, limit: uint(LIMIT, 1), cookie: bytes(0, 16) }],
  Registrations: [4, { nameKey, entries: list(bytes(1, 1024), LIMIT), cookie: bytes(0, 16) }],
  Refused: [5, { nameKey, asked: uint(255, 1), reason: uint(255) }],
});
const CONTACT = record({
  key: bytes(32),
  addresses: list(str(200, 1), 4, 1),
  expiresS: uint(2 ** 32 - 1),
});

/** @typedef {{key: Uint8Array, addresses: string[], expiresS: number}} Contact */

/** The names this node is known by, and those it looks for. */
export class Names {
  #endpoint;
  #realmKey;
  /** @type {Set<string>} */
  #ours = new Set();
  /** @type {Map<string, {text: string, found: Map<string, Contact>, waiting: Set<any>, done: () => void}>} */
  #searches = new Map();

  /** @param {any} endpoint @param {Uint8Array} realmKey */
  constructor(endpoint, realmKey) {
    this.#endpoint = endpoint;
    this.#realmKey = realmKey;
    endpoint.use(RENDEZVOUS, {
      up: (/** @type {any} */ peer) => this.#leave([...this.#ours], [peer]),
      down: (/** @type {any} */ peer) => this.#answered(peer),
      frame: (/** @type {any} */ peer, /** @type {Uint8Array} */ body) => this.#arrived(peer, body),
    });
    endpoint.on('address', () => this.#leave([...this.#ours], endpoint.peers));
    endpoint.on('identity', () => this.#leave([...this.#ours], endpoint.peers));
  }

  /**
   * Be found under a name from now on, as long as a relay has a place for us.
   *
   * @param {string} name
   */
  register(name) {
    checked(name);
    this.#ours.add(name);
    this.#leave([name], this.#endpoint.peers);
  }

  /**
   * Who is registered under a name.
   *
   * @param {string} name
   * @returns {Promise<Contact[]>}
   */
  find(name) {
    checked(name);
    const key = this.#key(name);
    const places = this.#endpoint.peers.filter((/** @type {any} */ peer) => peer.capabilities & MEETS);
    if (!places.length) return Promise.resolve([]);
    return new Promise((resolve) => {
      const done = () => {
        if (!this.#searches.delete(hex(key))) return;
        cancel();
        resolve([...search.found.values()]);
      };
      const search = { text: name, found: new Map(), waiting: new Set(places), done };
      const cancel = this.#endpoint.schedule(this.#endpoint.now() + WAIT_S, done);
      this.#searches.get(hex(key))?.done();
      this.#searches.set(hex(key), search);
      const body = CODEC.encodeAll([
        { type: 'Discover', nameKey: key, limit: LIMIT, cookie: new Uint8Array(0) },
      ]);
      for (const peer of places) peer.sendFrame(RENDEZVOUS, body);
    });
  }

  /** @param {string[]} names @param {any[]} peers */
  #leave(names, peers) {
    const { identity } = this.#endpoint;
    const addresses = (this.#endpoint.ticket()?.addresses ?? []).map(String).slice(0, 4);
    if (!addresses.length) return;
    const contact = { key: identity.proof.staticKey, addresses, expiresS: identity.proof.notAfterS };
    for (const name of names) {
      const message = {
        type: 'Register',
        nameKey: this.#key(name),
        contact: this.#seal(name, CONTACT.write(contact)),
        ttlS: TTL_S,
      };
      const body = CODEC.encodeAll([message]);
      for (const peer of peers) if (peer.capabilities & MEETS) peer.sendFrame(RENDEZVOUS, body);
    }
  }

  /** @param {any} peer @param {Uint8Array} body */
  #arrived(peer, body) {
    for (const message of CODEC.decodeAll(body)) {
      const search = message.nameKey && this.#searches.get(hex(message.nameKey));
      if (!search?.waiting.has(peer)) continue;
      if (message.type === 'Registrations') {
        for (const sealed of message.entries) this.#take(search, sealed);
      } else if (message.type !== 'Refused') continue;
      search.waiting.delete(peer);
      if (!search.waiting.size) search.done();
    }
  }

  /** @param {{text: string, found: Map<string, Contact>}} search @param {Uint8Array} sealed */
  #take(search, sealed) {
    try {
      const key = hmac(this.#realmKey, 'WN1 rendezvous seal', search.text);
      const plain = xopen(key, sealed.slice(0, 24), sealed.slice(24), this.#key(search.text));
      const contact = CONTACT.read(decode(plain.subarray(2, 2 + ((plain[0] << 8) | plain[1]))));
      const isOver = contact.expiresS * 1000 <= this.#endpoint.wallMs();
      if (!isOver) search.found.set(hex(contact.key), contact);
    } catch (error) {
      if (!(error instanceof ProtocolError || error instanceof AuthError)) throw error;
    }
  }

  /** @param {any} peer */
  #answered(peer) {
    for (const search of this.#searches.values()) {
      if (search.waiting.delete(peer) && !search.waiting.size) search.done();
    }
  }

  /** @param {string} name @param {any} contact */
  #seal(name, contact) {
    const body = encode(contact);
    const size = SIZES.find((one) => body.length + 2 + OVERHEAD <= one) ?? 0;
    const plain = new Uint8Array(size - OVERHEAD);
    plain.set(concat(u16(body.length), body));
    const nonce = this.#endpoint.entropy(24);
    const key = hmac(this.#realmKey, 'WN1 rendezvous seal', name);
    return concat(nonce, xseal(key, nonce, plain, this.#key(name)));
  }

  /** @param {string} name */
  #key(name) {
    return hmac(this.#realmKey, 'WN1 rendezvous name', utf8(name));
  }
}

/** @param {string} name */
function checked(name) {
  if (!name || [...name].length > 256) throw new UsageError('a name has 1 to 256 characters');
}
