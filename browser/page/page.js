// The page of a node: chat and resonance between browsers and nodes. No framework; the library is
// beside it.
import { open, pageNode } from './whispurrnet.js';

const at = (id) => document.getElementById(id);
const short = (id) => id.slice(0, 8);
const LINES_MAX = 500;
const LEVELS = { 1: 'X25519 + ML-KEM-512', 3: 'X25519 + ML-KEM-768', 5: 'X25519 + ML-KEM-1024' };

/** A line in a log; text only, whatever it holds. */
function write(log, who, text, note = '') {
  const line = document.createElement('li');
  const name = document.createElement('b');
  const said = document.createElement('span');
  name.textContent = `${who} `;
  said.className = 'said';
  said.textContent = note && ` ${note}`;
  line.append(name, text, said);
  const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(line);
  while (log.children.length > LINES_MAX) log.firstChild.remove();
  if (isAtEnd) log.scrollTop = log.scrollHeight;
  return said;
}

function tell(text, isBad = false) {
  at('state').textContent = text;
  at('state').className = isBad ? 'bad' : '';
}

/** Do something with the node; what fails is said and changes nothing. */
async function attempt(what) {
  try {
    await what();
  } catch (error) {
    tell(error.message, true);
  }
}

function onSubmit(id, what) {
  at(id).addEventListener('submit', (event) => {
    event.preventDefault();
    attempt(what);
  });
}

function showPeers(node) {
  const chosen = at('to').value;
  const ms = (peer) => (peer.rttS ? `${(peer.rttS * 1000).toFixed(1)} ms` : '');
  at('me').textContent = short(node.id);
  at('me').title = node.id;
  at('nobody').hidden = node.peers.length > 0;
  at('peers').replaceChildren(
    ...node.peers.map((peer) => {
      const row = document.createElement('tr');
      const encryption = LEVELS[/level (\d)/.exec(peer.suite)?.[1]] ?? peer.suite;
      for (const text of [short(peer.name), peer.path, encryption, ms(peer)]) {
        row.insertCell().textContent = text;
      }
      row.cells[0].title = peer.name;
      row.cells[2].title = peer.suite;
      const button = document.createElement('button');
      button.textContent = 'Leave';
      button.addEventListener('click', () => peer.close());
      row.insertCell().append(button);
      return row;
    }),
  );
  at('to').replaceChildren(...node.peers.map((peer) => new Option(short(peer.name), peer.name)));
  if (node.peer(chosen)) at('to').value = chosen;
  at('own').hidden = !node.ticket;
  at('own-ticket').value = node.ticket ?? '';
}

/** Show how the peers are now. */
async function refresh(node) {
  await Promise.allSettled(node.peers.map((peer) => peer.ping()));
  showPeers(node);
}

async function listen(node, intent, key) {
  const topic = node.join(intent, { key });
  write(at('resonances'), '·', `listening to ${topic.intent}`);
  for await (const message of topic) {
    const who = message.from ? short(message.from) : 'somebody';
    write(at('resonances'), who, message.text, `${topic.intent}, ${message.hops} hops`);
  }
}

async function main() {
  at('context').textContent = window.isSecureContext
    ? 'This page is a secure context.'
    : 'This page came over plain http from another machine: whoever is between could have changed ' +
      'it. What it sends is encrypted all the same. Put it behind https where that matters.';
  const own = await pageNode();
  const node = await open({ endpoint: { relays: own?.relay ? [own.ticket] : [] } });
  window.node = node; // for the console, and for those who try things out

  for (const name of ['up', 'down', 'path', 'renamed', 'address', 'identity']) {
    node.on(name, () => showPeers(node));
  }
  node.on('warn', ({ text }) => tell(text, true));
  node.on('whisper', (message) => {
    write(at('whispers'), short(message.from), message.text, message.peer.path);
    message.markRead();
  });
  node.on('broadcast', (message) => write(at('resonances'), 'to all', message.text, message.kind));

  onSubmit('connect', async () => {
    const peer = await node.connect(at('ticket').value.trim());
    at('ticket').value = '';
    tell(`Connected to ${short(peer.name)}.`);
  });
  onSubmit('whisper', async () => {
    const peer = node.peer(at('to').value);
    const sent = node.whisper(peer, at('words').value);
    const note = write(at('whispers'), `to ${short(peer.name)}`, at('words').value, '…');
    at('words').value = '';
    sent.received().then(
      () => (note.textContent = ' ✓ received'),
      (error) => (note.textContent = ` ${error.message}`),
    );
  });
  onSubmit('join', async () => {
    const { value: topic } = at('topic');
    const key = at('key').value || null;
    listen(node, topic, key).catch((error) => tell(error.message, true));
  });
  onSubmit('resonate', async () => {
    const text = at('message').value;
    await node.resonate(at('topic').value, text, { key: at('key').value || null });
    write(at('resonances'), 'you', text, at('topic').value);
    at('message').value = '';
  });
  at('copy').addEventListener('click', () => {
    at('own-ticket').select();
    navigator.clipboard?.writeText(at('own-ticket').value);
  });
  addEventListener('pagehide', () => node.close());
  setInterval(() => refresh(node), 5000);
  showPeers(node);

  if (!own) {
    tell('It is not connected: paste a ticket.');
    return;
  }
  const peer = await node.connect(own.ticket);
  tell(`Connected to ${short(peer.name)}, the node that served this page.`);
  refresh(node);
}

attempt(main);
