// Addresses: where a node may be reached, as multiaddr text; the same as `whispurrnet/wire/address.py`.
//
//   /ip4/127.0.0.1/tcp/9000/ws           WebSocket; `/ws` is also the HTTP path asked for
//   /dns4/node.example/tcp/443/wss       WebSocket inside TLS
//   …/http-path/mesh                     another path, percent-encoded without its first slash
//   …/p2p/<64 hex>                       names who is there
//   <address of R>/relay/<R's static key, 64 hex>/p2p/<64 hex>    through the relay R
//
// A browser opens ws and wss only; the others are read, so that they can be told apart and told on.
// Source: multiformats/multiaddr, README and protocols.csv (a subset).
import { fromHex } from './bytes.js';
import { UsageError } from './errors.js';

export const WEBSOCKET_PATH = '/ws';
const TEXT_CHARS_MAX = 512;
const PATH_CHARS_MAX = 128;
const EXAMPLE = '/ip4/192.0.2.7/tcp/9000/ws';
const ENDINGS = /** @type {Record<string, string>} */ ({ '': 'tcp', tls: 'tls', ws: 'ws', wss: 'wss', 'tls/ws': 'wss' });
const LABEL = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/;
const HEX64 = /^[0-9a-f]{64}$/;
const HTTP_PATH = /^\/[A-Za-z0-9._~!$&'()*+,;=:@/-]*$/;
const IP4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;

export class Address {
  /** @param {{kind: string, host: string, port: number, transport: string, peerId?: string, path?: string,
   *   zone?: string, relay?: string}} fields
   *   peerId: 64 hex or ''; relay: the relay's static key as 64 hex, or '' for a direct address. */
  constructor({ kind, host, port, transport, peerId = '', path = WEBSOCKET_PATH, zone = '', relay = '' }) {
    this.kind = kind;
    this.host = host;
    this.port = port;
    this.transport = transport;
    this.peerId = peerId;
    this.path = path;
    this.zone = zone;
    this.relay = relay;
  }

  /** The canonical text; `parseAddress` of it is equal to this address. */
  toString() {
    return this.placeText() + (this.relay && `/relay/${this.relay}`) + (this.peerId && `/p2p/${this.peerId}`);
  }

  /** The text without who is there and without the relay: where the link goes. */
  placeText() {
    if (this.kind === 'memory') return `/memory/${this.host}`;
    let text = (this.zone && `/ip6zone/${this.zone}`) + `/${this.kind}/${this.host}/tcp/${this.port}`;
    if (this.transport !== 'tcp') text += `/${this.transport}`;
    if (this.path !== WEBSOCKET_PATH && this.isWebSocket) text += `/http-path/${encodeURIComponent(this.path.slice(1))}`;
    return text;
  }

  get isWebSocket() {
    return this.transport === 'ws' || this.transport === 'wss';
  }

  /** Whether this client can open it at all. */
  get isUsable() {
    return this.isWebSocket && !this.zone && this.port > 0;
  }

  /** The URL that a WebSocket is opened with. */
  get url() {
    const host = this.kind === 'ip6' ? `[${this.host}]` : this.host;
    return `${this.transport}://${host}:${this.port}${this.path}`;
  }

  /** The relay's static key. @returns {Uint8Array | null} */
  get relayKey() {
    return this.relay ? fromHex(this.relay) : null;
  }

  /** The id of who is there. @returns {Uint8Array | null} */
  get id() {
    return this.peerId ? fromHex(this.peerId) : null;
  }

  /** This address reached through a relay that is at this address. @param {string} relayKey @param {string} peerId */
  through(relayKey, peerId) {
    return new Address({ ...this, relay: relayKey, peerId });
  }
}

/** Read an address; throws UsageError. @param {string} text */
export function parseAddress(text) {
  if (text.length > TEXT_CHARS_MAX) refuse(`an address of ${text.length} characters; at most ${TEXT_CHARS_MAX} are read`);
  if (!text.startsWith('/')) refuse(`${text.slice(0, 70)} is not an address`);
  const parts = text.slice(1).split('/');
  const peerId = ending(parts, 'p2p', text);
  const relay = ending(parts, 'relay', text);
  if (relay && !peerId) refuse('an address through a relay names who is behind it, /p2p/...');
  const of = { peerId, relay };
  if (parts[0] === 'memory') {
    if (parts.length !== 2 || !/^[A-Za-z0-9_.-]{1,64}$/.test(parts[1])) refuse('a memory address is one name');
    return new Address({ kind: 'memory', host: parts[1], port: 0, transport: 'memory', ...of });
  }
  const zone = parts[0] === 'ip6zone' ? parts.splice(0, 2)[1] ?? '' : '';
  if (zone && (parts[0] !== 'ip6' || !/^[A-Za-z0-9_.@-]{1,32}$/.test(zone))) refuse('a zone goes before an ip6');
  const [kind, hostText, protocol, portText, ...rest] = parts;
  if (portText === undefined) refuse(`${text.slice(0, 70)} is too short`);
  const host = hostOf(kind, hostText);
  if (protocol !== 'tcp') refuse(`/${protocol.slice(0, 20)} after the host; only /tcp is spoken`);
  if (!/^(?:0|[1-9]\d{0,4})$/.test(portText) || Number(portText) > 65535) {
    refuse(`port ${portText.slice(0, 20)} is not a number from 0 to 65535`);
  }
  const path = httpPath(rest);
  const transport = Object.hasOwn(ENDINGS, rest.join('/')) ? ENDINGS[rest.join('/')] : '';
  if (!transport || (path && !transport.startsWith('ws'))) refuse(`unknown ending /${rest.join('/').slice(0, 40)}`);
  return new Address({ kind, host, port: Number(portText), transport, path: path || WEBSOCKET_PATH, zone, ...of });
}

/** The same, or null where it is none: addresses that others tell us. @param {string} text */
export function readAddress(text) {
  try {
    return parseAddress(text);
  } catch (error) {
    if (error instanceof UsageError) return null;
    throw error;
  }
}

/** Take `/<name>/<64 hex>` off the end; '' without one. @param {string[]} parts @param {string} name @param {string} text */
function ending(parts, name, text) {
  if (parts.length < 2 || parts[parts.length - 2] !== name) return '';
  const value = /** @type {string} */ (parts.pop()).toLowerCase();
  parts.pop();
  if (!HEX64.test(value)) refuse(`/${name}/ in ${text.slice(0, 70)} needs 64 hexadecimal characters`);
  return value;
}

/** @param {string} kind @param {string} text */
function hostOf(kind, text) {
  if (kind === 'ip4') return IP4.test(text) ? text : refuse(`${text.slice(0, 70)} is not an IPv4 address`);
  if (kind === 'ip6') return ip6(text);
  if (kind !== 'dns' && kind !== 'dns4' && kind !== 'dns6') refuse(`unknown kind of address /${kind.slice(0, 20)}`);
  const name = text.toLowerCase().replace(/\.$/, '');
  if (name.length > 253 || !name.split('.').every((label) => LABEL.test(label))) refuse(`${text.slice(0, 70)} is not a DNS name`);
  return name;
}

/** @param {string} text */
function ip6(text) {
  if (/^[0-9a-fA-F:.]{2,45}$/.test(text) && text.includes(':')) {
    try {
      return new URL(`http://[${text}]/`).hostname.slice(1, -1);
    } catch {
      // said below
    }
  }
  return refuse(`${text.slice(0, 70)} is not an IPv6 address`);
}

/** Take `/http-path/...` off the end of `rest`; '' without one. @param {string[]} rest */
function httpPath(rest) {
  if (rest.length < 2 || rest[rest.length - 2] !== 'http-path') return '';
  let path = '';
  try {
    path = `/${decodeURIComponent(/** @type {string} */ (rest.pop()))}`;
  } catch {
    // no path: refused below
  }
  rest.pop();
  if (!HTTP_PATH.test(path) || path.length > PATH_CHARS_MAX) refuse(`${path.slice(0, 70)} is not an HTTP path`);
  return path;
}

/** @param {string} what @returns {never} */
function refuse(what) {
  throw new UsageError(`${what}; write it like ${EXAMPLE}`);
}
