/**
 * A page of the documentation as a script: its `sh` blocks are typed into one shell, one after another, and a
 * `text` block below is what that must have printed, line by line, `…` standing for anything. A block
 * `sh background` is typed into a terminal of its own.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';

export interface PageBlock {
  readonly line: number;
  readonly commands: string;
  readonly background: boolean;
  /** What must be printed; undefined where the page does not say. */
  readonly expected: string | undefined;
}

export async function readPage(path: string): Promise<PageBlock[]> {
  const text = await readFile(path, 'utf8');
  const blocks: { line: number; commands: string; background: boolean; expected: string | undefined }[] = [];
  for (const { index, 1: kind = '', 2: content = '' } of text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)) {
    const line = text.slice(0, index).split('\n').length;
    if (kind === 'text') {
      const last = blocks.at(-1);
      if (last === undefined) throw new Error(`${path}:${String(line)}: what is printed stands below no commands`);
      last.expected = content;
    } else if (kind === 'sh' || kind === 'sh background') {
      blocks.push({ line, commands: content, background: kind !== 'sh', expected: undefined });
    }
  }
  return blocks;
}

export interface Terminal {
  /** Runs a block to its end, or leaves it running; resolves with all that it printed. Rejects where it fails. */
  type(block: PageBlock): Promise<string>;
  /** Ends what runs in the background. */
  close(): Promise<void>;
}

/**
 * @param replace what the page says, and what is meant here: ports and folders
 * @param env with which `flotilla` and `flotilla-agent` are found and work
 */
export function openTerminal(
  folder: string,
  env: NodeJS.ProcessEnv,
  replace: Readonly<Record<string, string>>,
): Terminal {
  const running: ChildProcess[] = [];
  return {
    async type({ commands, background, line }) {
      const meant = Object.entries(replace).reduce((text, [from, to]) => text.replaceAll(from, to), commands);
      const shell = spawn('bash', ['-c', `set -euo pipefail\n${meant}`], {
        cwd: folder,
        env,
        detached: background,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      if (background) {
        running.push(shell);
        return '';
      }
      let stdout = '';
      let stderr = '';
      shell.stdout.on('data', (piece: Buffer) => {
        stdout += piece.toString('utf8');
      });
      shell.stderr.on('data', (piece: Buffer) => {
        stderr += piece.toString('utf8');
      });
      const [code] = (await once(shell, 'close')) as [number | null];
      if (code === 0) return Object.entries(replace).reduce((text, [from, to]) => text.replaceAll(to, from), stdout);
      throw new Error(`the block at line ${String(line)} ended with ${String(code)}: ${stdout}${stderr}`);
    },
    async close() {
      for (const child of running) {
        if (child.exitCode !== null || child.pid === undefined) continue;
        const ended = once(child, 'close');
        process.kill(-child.pid, 'SIGTERM');
        await ended;
      }
    },
  };
}

/** A pattern of what a page says is printed: its lines in that order, others between them. */
export function printedPattern(expected: string): RegExp {
  const lines = expected.split('\n').filter((line) => line.trim() !== '');
  const escaped = lines.map((line) =>
    line
      .split('…')
      .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*'),
  );
  return new RegExp(escaped.join('[\\s\\S]*?'));
}
