// A link over one WebSocket, which a page can open and not accept. The stream of bytes travels in
// binary messages; where one ends means nothing. Source: RFC 6455; the WebSocket standard (WHATWG).
import { within } from './clock.js';
import { NetworkError } from './errors.js';
import { Link } from './link.js';

const SLICE_BYTES = 1 << 18;
const OPEN_S = 10;

export class WebSocketLink extends Link {
  /** @param {WebSocket} socket An open one. @param {import('./address.js').Address} address */
  constructor(socket, address) {
    super(address.transport, address.placeText());
    this.socket = socket;
    socket.onmessage = ({ data }) => {
      if (data instanceof ArrayBuffer) this.came(new Uint8Array(data));
      else this.close(); // text is no word of a node
    };
    socket.onclose = ({ code }) => this.lost(code === 1000 ? 'closed by the peer' : `the connection broke (${code})`);
    socket.onerror = () => {}; // `onclose` follows
  }

  /** @override */
  get buffered() {
    return this.socket.bufferedAmount;
  }

  /** @override @param {Uint8Array} bytes */
  write(bytes) {
    if (!this.isOpen || this.socket.readyState !== 1) return;
    for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
      this.socket.send(/** @type {any} */ (bytes.subarray(at, at + SLICE_BYTES)));
    }
  }

  /** @override */
  close() {
    this.socket.close(1000);
    this.lost('closed here');
  }
}

/** Open a WebSocket to a node; throws NetworkError. @param {import('./address.js').Address} address
 * @param {{WebSocket: typeof globalThis.WebSocket, clock: import('./clock.js').Clock}} world @returns {Promise<WebSocketLink>} */
export async function dialWebSocket(address, { WebSocket, clock }) {
  const place = address.placeText();
  /** @type {WebSocket} */
  let socket;
  try {
    socket = new WebSocket(address.url);
  } catch (error) {
    throw new NetworkError(`${place} cannot be opened from here: ${/** @type {Error} */ (error).message}`);
  }
  socket.binaryType = 'arraybuffer';
  const opened = new Promise((resolve, reject) => {
    socket.onopen = () => resolve(new WebSocketLink(socket, address));
    socket.onclose = socket.onerror = () =>
      reject(new NetworkError(`${place} does not answer as a WebSocket; is the node running, and is the port right?`));
  });
  try {
    return await within(opened, clock, OPEN_S, () => new NetworkError(`${place} did not answer within ${OPEN_S} s`));
  } catch (error) {
    socket.onopen = socket.onclose = socket.onerror = () => {};
    socket.close();
    throw error;
  }
}
