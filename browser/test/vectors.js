// The frozen vectors that Python and the device are held to as well.
import { readFileSync } from 'node:fs';

/** @param {string} name */
export const vectors = (name) => JSON.parse(readFileSync(new URL(`../../vectors/${name}`, import.meta.url), 'utf8'));
