// The handle of a Python node in a process of its own.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** The Python that runs the nodes. */
export const PYTHON = process.env.WHISPURR_PYTHON ?? (existsSync(`${ROOT}.venv/bin/python`) ? `${ROOT}.venv/bin/python` : 'python3');

export class PythonNode {
  constructor(settings = {}) {
    const all = { listen: ['/ip4/127.0.0.1/tcp/0/ws'], lan: { enabled: false }, ...settings };
    this.child = spawn(PYTHON, [fileURLToPath(new URL('python_node.py', import.meta.url)), JSON.stringify(all)], {
      cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.events = [];
    this.waiting = [];
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      this.events.push(JSON.parse(line));
      for (const look of [...this.waiting]) look();
    });
  }

  /** The next event that passes, taken out. */
  heard(passes, what = 'something', seconds = 20) {
    const matches = typeof passes === 'string' ? (event) => event.event === passes : passes;
    return new Promise((resolve, reject) => {
      const stop = () => {
        clearTimeout(timer);
        this.waiting.splice(this.waiting.indexOf(look), 1);
      };
      const look = () => {
        const at = this.events.findIndex(matches);
        if (at < 0) return;
        stop();
        resolve(this.events.splice(at, 1)[0]);
      };
      const timer = setTimeout(() => {
        stop();
        reject(new Error(`the Python node did not say ${typeof passes === 'string' ? passes : what}`));
      }, seconds * 1000);
      this.waiting.push(look);
      look();
    });
  }

  async order(order) {
    this.child.stdin.write(`${JSON.stringify(order)}\n`);
    const done = await this.heard('done');
    return done;
  }

  async start() {
    const up = await this.heard('up');
    this.ticket = up.ticket;
    this.id = up.id;
    return this;
  }

  async stop() {
    if (this.child.exitCode !== null) return;
    const gone = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.stdin.end();
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 5000);
    await gone;
    clearTimeout(timer);
  }
}
