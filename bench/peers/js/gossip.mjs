// The nodes of one process of js-libp2p's GossipSub; bench/gossip.py tells what they are to say.
//
// TCP, Noise and Yamux; D is 6, and of its six neighbours a node has four to six in the mesh of the
// topic. Messages are not signed, as ours are not, and are told apart by the hash of their content.

import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { noise } from "@chainsafe/libp2p-noise";
import { yamux } from "@chainsafe/libp2p-yamux";
import { gossipsub } from "@libp2p/gossipsub";
import { identify } from "@libp2p/identify";
import { tcp } from "@libp2p/tcp";
import { multiaddr } from "@multiformats/multiaddr";
import { createLibp2p } from "libp2p";

const TOPIC = "bench";
const NEIGHBOURS = 6;
const SIZE = 1024;
const D_LOW = 4;
const SETTLE_MS = 2000; // two heartbeats

const [first, nodes, count, window] = process.argv.slice(2).map(Number);
const lines = createInterface({ input: process.stdin });
const heard = [];
let hear = null;
let taken = 0;
let wake = null;

lines.on("line", (line) => {
  const said = JSON.parse(line);
  if ("taken" in said) {
    taken = said.taken;
    wake?.();
  } else {
    heard.push(said);
    hear?.();
  }
});

lines.on("close", () => process.exit());

// Seconds of the clock that all processes of this machine share.
const now = () => Number(process.hrtime.bigint()) / 1e9;
const say = (fact) => process.stdout.write(`${JSON.stringify(fact)}\n`);

async function listen() {
  while (heard.length === 0) {
    await new Promise((resolve) => (hear = resolve));
  }
  return heard.shift();
}

const start = () =>
  createLibp2p({
    addresses: { listen: ["/ip4/127.0.0.1/tcp/0"] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    // All nodes of this benchmark call from one address, at once.
    connectionManager: { inboundConnectionThreshold: 1000, maxIncomingPendingConnections: 100 },
    services: {
      identify: identify(),
      pubsub: gossipsub({
        D: 6,
        Dlo: D_LOW,
        Dhi: 12,
        batchPublish: true,
        globalSignaturePolicy: "StrictNoSign",
      }),
    },
  });

function countMessages(node, number) {
  const seen = new Uint8Array(count);
  const step = Math.max(1, Math.floor((window || 1024) / 4));
  let got = 0;
  node.services.pubsub.addEventListener("message", ({ detail: { data } }) => {
    const message = Number(new DataView(data.buffer, data.byteOffset).getBigUint64(0));
    if (!seen[message]) {
      seen[message] = 1;
      got += 1;
      if (got % step === 0 || got === count) {
        say({ node: number, got, at: now() });
      }
    }
  });
}

// Whether all neighbours listen, and as many as it wants at least are in the mesh.
const joined = ({ services: { pubsub } }) =>
  pubsub.getSubscribers(TOPIC).length >= NEIGHBOURS && pubsub.getMeshPeers(TOPIC).length >= D_LOW;

async function publish(node) {
  say({ started: now() });
  for (let number = 0; number < count; number++) {
    while (window && number >= taken + window) {
      await new Promise((resolve) => (wake = resolve));
    }
    const body = new Uint8Array(SIZE);
    new DataView(body.buffer).setBigUint64(0, BigInt(number));
    await node.services.pubsub.publish(TOPIC, body);
  }
}

const members = [];
for (let place = 0; place < nodes; place++) {
  members.push(await start());
}
say({ addresses: members.map((node) => node.getMultiaddrs()[0].toString()) });
members.forEach((node, place) => {
  countMessages(node, first + place);
  node.services.pubsub.subscribe(TOPIC);
});
const { dial } = await listen();
for (const [place, others] of dial.entries()) {
  for (const address of others) {
    await members[place].dial(multiaddr(address));
  }
}
while (!members.every(joined)) {
  await sleep(50);
}
await sleep(SETTLE_MS);
say({ ready: true });
if (first === 0) {
  await listen();
  await publish(members[0]);
}
