// A link over a WebRTC data channel: ordered, reliable, in messages of at most 16 KiB that are a
// stream of bytes. The session inside is bound to the DTLS certificates of both ends:
//
//   binding = 0x02 | SHA-256("WN1 webrtc" | the offerer's fingerprint | the answerer's)
//
// so whoever sits in between, with certificates of his own, is found out by the handshake.
// Source: W3C WebRTC 1.0; RFC 8122 (fingerprints); RFC 8831 (data channels).
import { concat, fromHex, u8 } from './bytes.js';
import { sha256 } from './crypto.js';
import { NetworkError, ProtocolError } from './errors.js';
import { Link } from './link.js';
import { BINDING_WEBRTC } from './payload.js';

const LABEL = 'wn1';
const MESSAGE_BYTES = 16 * 1024;
const FINGERPRINT = /^a=fingerprint:(\S+) ([0-9A-Fa-f:]+)\s*$/;

/** The SHA-256 fingerprint in a description; throws ProtocolError unless there is exactly one.
 * @param {string} sdp @returns {Uint8Array} 32 bytes */
export function fingerprint(sdp) {
  const found = new Set();
  for (const line of sdp.split(/\r?\n/)) {
    if (!line.startsWith('a=fingerprint:')) continue;
    const match = FINGERPRINT.exec(line);
    if (match?.[1].toLowerCase() !== 'sha-256') throw new ProtocolError('a WebRTC description has a fingerprint that is not SHA-256');
    found.add(match[2].replaceAll(':', '').toLowerCase());
  }
  const [only] = found;
  if (found.size !== 1 || !/^[0-9a-f]{64}$/.test(only)) {
    throw new ProtocolError(`a WebRTC description has ${found.size} SHA-256 fingerprints, not one`);
  }
  return fromHex(only);
}

/** @param {Uint8Array} offerer @param {Uint8Array} answerer */
export const bindingOf = (offerer, answerer) => concat(u8(BINDING_WEBRTC), sha256('WN1 webrtc', offerer, answerer));

/** Refuse a description that is about more than one data channel. @param {string} sdp */
export function checkDescription(sdp) {
  const sections = sdp.split(/\r?\n/).filter((line) => line.startsWith('m='));
  if (sections.length !== 1 || !sections[0].startsWith('m=application ')) {
    throw new ProtocolError('a WebRTC description is about more than a data channel');
  }
  fingerprint(sdp);
}

export class DataLink extends Link {
  /** @param {RTCDataChannel} channel @param {RTCPeerConnection} connection */
  constructor(channel, connection) {
    super('webrtc', '/webrtc');
    this.channel = channel;
    this.connection = connection;
    channel.binaryType = 'arraybuffer';
    channel.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) this.came(new Uint8Array(data));
      else this.close();
    };
    channel.onclose = () => this.gone('the data channel was closed');
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === 'failed') this.gone('the WebRTC connection broke');
    };
  }

  /** @override */
  get buffered() {
    return this.channel.bufferedAmount;
  }

  /** @override @param {Uint8Array} bytes */
  write(bytes) {
    if (!this.isOpen || this.channel.readyState !== 'open') return;
    for (let at = 0; at < bytes.length; at += MESSAGE_BYTES) {
      this.channel.send(/** @type {any} */ (bytes.subarray(at, at + MESSAGE_BYTES)));
    }
  }

  /** @override */
  close() {
    this.channel.close();
    this.gone('closed here');
    setTimeout(() => this.connection.close(), 1000); // what was written leaves first
  }

  /** @param {string} reason */
  gone(reason) {
    if (!this.isOpen) return;
    this.lost(reason);
    if (reason !== 'closed here') this.connection.close();
  }
}

/** One attempt to make a link: the peer connection, and what is to be said to the other side. */
export class Attempt {
  /** @param {number} number @param {boolean} offerer
   * @param {{RTCPeerConnection: typeof globalThis.RTCPeerConnection, iceServers: RTCIceServer[],
   *   relayOnly: boolean,
   *   candidate: (candidate: string, mid: string) => void, opened: (link: DataLink) => void,
   *   failed: (error: Error) => void}} world */
  constructor(number, offerer, { RTCPeerConnection, iceServers, relayOnly, candidate, opened, failed }) {
    this.number = number;
    this.offerer = offerer;
    this.described = false;
    this.met = !offerer;
    this.opened = false;
    this.over = false;
    this.taken = 0;
    this.told = 0;
    /** Found before our description was sent. @type {[string, string][] | null} */
    this.held = [];
    this.tell = candidate;
    this.failed = failed;
    /** @type {Uint8Array | null} */
    this.ours = null;
    /** @type {Uint8Array | null} */
    this.theirs = null;
    const connection = new RTCPeerConnection({ iceServers, ...(relayOnly ? { iceTransportPolicy: 'relay' } : {}) });
    this.connection = connection;
    connection.onicecandidate = ({ candidate: found }) => this.found(found?.candidate ?? '', found?.sdpMid ?? '');
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === 'failed') failed(new NetworkError('no WebRTC path between the two machines'));
    };
    const take = (/** @type {RTCDataChannel} */ channel) => {
      const link = new DataLink(channel, connection);
      const open = () => {
        if (this.over || this.opened) return;
        this.opened = true;
        const [offering, answering] = offerer ? [this.ours, this.theirs] : [this.theirs, this.ours];
        link.binding = bindingOf(/** @type {Uint8Array} */ (offering), /** @type {Uint8Array} */ (answering));
        opened(link);
      };
      if (channel.readyState === 'open') open();
      else channel.onopen = open;
    };
    if (offerer) take(connection.createDataChannel(LABEL, { ordered: true }));
    else connection.ondatachannel = ({ channel }) => take(channel);
  }

  /** Our side of it, as the offerer. @returns {Promise<string>} */
  async offer() {
    await this.connection.setLocalDescription(await this.connection.createOffer());
    return this.describe();
  }

  /** Our side of it, as an answer. @param {string} sdp @returns {Promise<string>} */
  async answer(sdp) {
    checkDescription(sdp);
    this.theirs = fingerprint(sdp);
    await this.connection.setRemoteDescription({ type: 'offer', sdp });
    await this.connection.setLocalDescription(await this.connection.createAnswer());
    return this.describe();
  }

  /** The answer to our offer. @param {string} sdp */
  async accept(sdp) {
    checkDescription(sdp);
    this.theirs = fingerprint(sdp);
    await this.connection.setRemoteDescription({ type: 'answer', sdp });
  }

  describe() {
    const { sdp } = /** @type {RTCSessionDescription} */ (this.connection.localDescription);
    this.ours = fingerprint(sdp);
    return sdp;
  }

  /** Our description was sent: the candidates may follow. */
  release() {
    this.described = true;
    for (const [candidate, mid] of this.held ?? []) this.tell(candidate, mid);
    this.held = null;
  }

  /** @param {string} candidate @param {string} mid */
  found(candidate, mid) {
    if (this.over) return;
    if (this.held) this.held.push([candidate, mid]);
    else this.tell(candidate, mid);
  }

  /** @param {string} candidate @param {string} mid */
  async candidate(candidate, mid) {
    try {
      await this.connection.addIceCandidate(candidate ? { candidate, sdpMid: mid } : undefined);
    } catch {
      // a place that cannot be tried is none
    }
  }

  /** Close the connection, unless its link was handed over. */
  stop() {
    this.over = true;
    if (!this.opened) this.connection.close();
  }
}
