// RTCPeerConnection as far as a link needs it, inside one process: descriptions with fingerprints,
// candidates, and an ordered data channel between two that have each other's description.
import { randomBytes } from 'node:crypto';

const all = new Map();

class Channel {
  readyState = 'connecting';
  bufferedAmount = 0;
  open(other) {
    this.other = other;
    this.readyState = 'open';
    this.onopen?.();
  }
  send(bytes) {
    if (bytes.length > 16384) throw new Error('a message of more than 16 KiB');
    const copy = bytes.slice().buffer;
    setTimeout(() => this.other.onmessage?.({ data: copy }), 1);
  }
  close() {
    if (this.readyState === 'closed') return;
    this.readyState = 'closed';
    setTimeout(() => {
      this.other?.close();
      this.onclose?.();
    }, 2);
  }
}

export class FakeRTC {
  static made = 0;
  constructor() {
    FakeRTC.made += 1;
    this.id = randomBytes(8).toString('hex');
    this.print = [...randomBytes(32)].map((byte) => byte.toString(16).padStart(2, '0').toUpperCase()).join(':');
    this.connectionState = 'new';
    all.set(this.id, this);
  }
  createDataChannel() {
    this.channel = new Channel();
    return this.channel;
  }
  describe(type) {
    return { type, sdp: `v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=fingerprint:sha-256 ${this.print}\r\na=x-id:${this.id}\r\n` };
  }
  async createOffer() {
    return this.describe('offer');
  }
  async createAnswer() {
    return this.describe('answer');
  }
  async setLocalDescription(description) {
    this.localDescription = description;
    setTimeout(() => this.onicecandidate?.({ candidate: { candidate: 'candidate:1 1 udp 1 192.0.2.7 9 typ host', sdpMid: '0' } }), 1);
    setTimeout(() => this.onicecandidate?.({ candidate: null }), 2);
    this.join();
  }
  async setRemoteDescription({ sdp }) {
    this.remote = all.get(/x-id:(\w+)/.exec(sdp)[1]);
    this.join();
  }
  async addIceCandidate() {}
  join() {
    const { remote } = this;
    if (!remote || remote.remote !== this || !remote.localDescription || !this.localDescription || this.joined || remote.joined) return;
    this.joined = remote.joined = true;
    const [offerer, answerer] = this.channel ? [this, remote] : [remote, this];
    const theirs = new Channel();
    setTimeout(() => {
      answerer.ondatachannel?.({ channel: theirs });
      theirs.open(offerer.channel);
      offerer.channel.open(theirs);
    }, 3);
  }
  close() {
    this.connectionState = 'closed';
  }
}
