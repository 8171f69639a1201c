// Bundles the library and puts it beside the page, where the gateway serves both from.
//
//   node build.mjs [FOLDER]        FOLDER: by default ../src/whispurrnet/gateway/web
import { cpSync, mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const folder = resolve(process.argv[2] ?? join(here, '../src/whispurrnet/gateway/web'));
mkdirSync(folder, { recursive: true });
for (const name of ['index.html', 'page.css', 'page.js']) {
  cpSync(join(here, 'page', name), join(folder, name));
}
await build({
  entryPoints: [join(here, 'src/index.js')],
  outfile: join(folder, 'whispurrnet.js'),
  bundle: true,
  format: 'esm',
  minify: true,
  keepNames: true, // errors say their names
  target: 'es2022',
  legalComments: 'eof',
  logLevel: 'warning',
});
