// WhispurrNet in a browser: a node of the mesh, with an identity, a handshake and a voice of its own.
export {
  AuthError,
  LimitError,
  NetworkError,
  ProtocolError,
  UsageError,
  WhispurrError,
} from './errors.js';
export { Message, Topic } from './message.js';
export { Node, open } from './node.js';
export { create_neural_message, WasmP2PClient, WhispurrNode } from './seeds.js';
export { pageNode } from './origin.js';
