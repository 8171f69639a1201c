// The node that served this page, if one did: the first that a page can connect to.
import { parseTicket, Ticket } from './ticket.js';

const NODE = '/web/node.json';

/**
 * The node that served this page, by the very way the page came; null where something else did.
 *
 * @returns {Promise<{ticket: string, relay: boolean} | null>} relay: whether it takes us in, so that
 *   others can reach us.
 */
export async function pageNode() {
  if (typeof location === 'undefined' || !location.protocol.startsWith('http')) return null;
  try {
    const answer = await fetch(new URL(NODE, location.origin));
    if (!answer.ok) return null;
    const { ticket, relay } = await answer.json();
    const told = parseTicket(ticket);
    const others = told.addresses.filter((one) => one !== pageAddress()).slice(0, 7);
    const { text } = new Ticket({ ...told, addresses: [pageAddress(), ...others] });
    return { ticket: text, relay: relay === true };
  } catch {
    return null;
  }
}

/** Where this page came from, as an address of the mesh. */
function pageAddress() {
  const { hostname, port, protocol } = location;
  const isSecure = protocol === 'https:';
  const [host, kind] = hostname.startsWith('[')
    ? [hostname.slice(1, -1), 'ip6']
    : [hostname, /^[\d.]+$/.test(hostname) ? 'ip4' : 'dns'];
  return `/${kind}/${host}/tcp/${port || (isSecure ? 443 : 80)}/${isSecure ? 'wss' : 'ws'}`;
}

