/** A node of the mesh in a browser, or anywhere else where there is a `WebSocket`. */

export type Body = string | Uint8Array;

export interface Options {
  /** Tickets or addresses of nodes to connect to, and to stay connected to. */
  bootstrap?: string[];
  /** As `network_secret` of the nodes of a private network; without it, the open mesh. */
  networkSecret?: string | Uint8Array;
  /** How long to wait for the first of them, in seconds; 15 if not given. */
  timeoutS?: number;
  /** At most so many peers; 64 if not given. */
  maxPeers?: number;
  /** As `gossip.shard_bits` of the nodes; 0 if not given. */
  shardBits?: number;
  endpoint?: EndpointOptions;
}

export interface EndpointOptions {
  /** Tickets or addresses of relays, so that others can reach this node. */
  relays?: string[];
  /** STUN and TURN servers, as for `RTCPeerConnection`; none if not given. */
  iceServers?: RTCIceServer[];
  /** Whether to move to a direct path by WebRTC where that goes; true if not given. */
  webrtc?: boolean;
  heartbeatS?: number;
  WebSocket?: unknown;
  RTCPeerConnection?: unknown;
}

/** Start a node; resolves once it is connected to one of `bootstrap`, if there are any. */
export function open(options?: Options): Promise<Node>;

/** The node that served this page, if one did; `relay`: whether it takes others in. */
export function pageNode(): Promise<{ ticket: string; relay: boolean } | null>;

export class Node implements AsyncDisposable {
  constructor(options?: Options);
  /** `open` does it. */
  start(): Promise<void>;
  /** Say goodbye to all, and stop. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;

  /** 64 hexadecimal digits; another one every hour. */
  readonly id: string;
  /** Where others reach this node, if a relay took it in. */
  readonly ticket: string | null;
  readonly peers: Peer[];
  /** How many peers this node gossips with. */
  readonly neighbours: number;
  /** The connected peer with this id, or the only one whose id begins so (8 digits at least). */
  peer(id: string): Peer | undefined;
  /** Connect, and stay connected until `peer.close()`. */
  connect(ticket: string, options?: { timeoutS?: number; keep?: boolean }): Promise<Peer>;
  /** Be found under a name; it takes a relay, and a connected node that keeps names. */
  register(name: string): void;
  /** The tickets of those who are registered under a name, as the connected nodes know them. */
  find(name: string): Promise<string[]>;

  /** To one peer, encrypted from end to end. */
  whisper(peer: Peer | string, body: Body, options?: WhisperOptions): Whisper;
  ask(peer: Peer | string, name: string, body: Body, options?: { timeoutS?: number }): Promise<Uint8Array>;
  answer(name: string, fn: (body: Uint8Array, peer: Peer) => Body | Promise<Body>): void;

  /** Listen to an intent, such as `sensor/heart#urgent`. */
  join(intent: string, options?: { key?: Uint8Array | string | null; threshold?: number }): Topic;
  /** To whoever listens to an intent; at most 15,360 bytes. Resolves once it is on its way. */
  resonate(intent: string, body: Body, options?: ResonateOptions): Promise<Sent>;
  /** To everyone in the mesh. */
  broadcast(body: Body, options?: { urgent?: boolean; ttlS?: number; signed?: boolean }): Promise<Sent>;

  on(name: 'whisper' | 'resonance' | 'broadcast', fn: (message: Message) => void): () => void;
  on(name: 'up' | 'path', fn: (event: { peer: Peer }) => void): () => void;
  on(name: 'down', fn: (event: { peer: Peer; reason: string }) => void): () => void;
  on(name: string, fn: (event: any) => void): () => void;
  whispers(): Feed<Message>;
  getStats(): Stats;
}

export interface WhisperOptions {
  /** `WHISPER` if not given; or another, such as `Thought` or `FILE_SYNC`. */
  kind?: string | number;
  /** 0 to 10. */
  priority?: number;
  /** How long it is tried, in seconds; 300 if not given. */
  ttlS?: number;
}

export interface ResonateOptions {
  /** 32 bytes of a private topic, or their hexadecimal digits. */
  key?: Uint8Array | string | null;
  /** 0 to 1. */
  strength?: number;
  /** 0 to 10. */
  priority?: number;
  /** At most 300. */
  ttlS?: number;
  /** Whether listeners are told who says it; false if not given. */
  signed?: boolean;
  /** Whether any one of the listeners is enough. */
  oneOf?: boolean;
}

export interface Whisper {
  readonly state: string;
  /** Once the other side has it; throws if it did not get it in time. */
  received(): Promise<unknown>;
  /** Once the application there marked it as read. */
  read(): Promise<unknown>;
}

export interface Sent {
  id: string;
  /** To how many neighbours; at 0 it waits for the first one. */
  neighbours: number;
}

export interface Peer {
  readonly id: Uint8Array;
  /** The id, 64 hexadecimal digits. */
  readonly name: string;
  readonly connected: boolean;
  readonly path: string;
  /** How the session is encrypted. */
  readonly suite: string;
  readonly rttS: number | null;
  readonly presence: { state: string; note: string };
  ping(): Promise<number>;
  close(): void;
  /** Try WebRTC now; resolves to the path it has then. */
  upgrade(): Promise<string>;
}

export class Message {
  readonly body: Uint8Array;
  readonly text: string;
  /** Such as `WHISPER`, `RESONANCE`, `Thought`. */
  readonly kind: string;
  /** The id of who sent it; null: nobody says. */
  readonly from: string | null;
  /** For a whisper. */
  readonly peer: Peer | null;
  /** By which intent of ours it came; empty for a broadcast, null for a whisper. */
  readonly intent: string | null;
  readonly strength: number;
  readonly priority: number;
  readonly hops: number;
  markRead(): void;
}

/** At most 1024 wait; beyond, the oldest is dropped. */
export interface Feed<T> extends AsyncIterableIterator<T> {
  readonly dropped: number;
  close(): void;
}

export class Topic implements Feed<Message> {
  readonly intent: string;
  readonly dropped: number;
  send(body: Body, options?: ResonateOptions): Promise<Sent>;
  next(): Promise<IteratorResult<Message>>;
  return(): Promise<IteratorResult<Message>>;
  close(): void;
  [Symbol.asyncIterator](): Topic;
}

export interface Stats {
  connectedPeers: number;
  messagesSent: number;
  messagesReceived: number;
  /** In milliseconds. */
  averageLatency: number | null;
  /** In milliseconds. */
  uptime: number;
  activeExtensions: string[];
  gossipEfficiency: number | null;
}

/** A message of `WasmP2PClient`. */
export interface NeuralMessage {
  type: string;
  source: string;
  destination: string;
  priority: number;
  ttl: number;
}

export function create_neural_message(
  type: string,
  source: string,
  destination: string,
  priority?: number,
  ttl?: number,
): NeuralMessage;

/** The interface of the synaptic mesh, word for word. It is no WebAssembly. */
export class WasmP2PClient {
  constructor(name: string);
  readonly node: Node;
  initialize(config?: {
    /** Tickets, addresses, or names that nodes registered under. */
    bootstrap_peers?: string[];
    max_peers?: number;
    /** It cannot be switched off: false is refused. */
    quantum_resistant?: boolean;
    network_secret?: string | Uint8Array;
    endpoint?: EndpointOptions;
  }): Promise<void>;
  set_message_handler(
    handler: (
      message: Omit<NeuralMessage, 'ttl'> & { ttl: null; peer: string },
      payload: Uint8Array,
    ) => void,
  ): void;
  create_neural_message: typeof create_neural_message;
  /** Resolves to how many peers have it. */
  send_message(message: NeuralMessage, payload: Uint8Array): Promise<number>;
  close(): Promise<void>;
}

/** The interface of the first WhispurrNet: topics, and messages that are objects. */
export class WhispurrNode {
  constructor(options?: Options);
  readonly node: Node;
  start(): Promise<void>;
  stop(): Promise<void>;
  on(name: 'message', fn: (message: any) => void): void;
  /** Hear what is said on a topic. */
  listen(topic: string): void;
  /** Say something to all who listen to a topic. */
  whisper(topic: string, message: unknown): Promise<Sent>;
  getStats(): Stats;
}

export class WhispurrError extends Error {}
export class UsageError extends WhispurrError {}
export class NetworkError extends WhispurrError {}
export class LimitError extends WhispurrError {}
export class ProtocolError extends WhispurrError {}
export class AuthError extends ProtocolError {}
