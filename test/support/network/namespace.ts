/**
 * A network namespace with one cable to this machine, for real packet loss and real firewalls (nftables
 * within it). Needs root, `ip` and `nft`; {@link NetworkNamespace.open} gives undefined without them.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);
const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };

export class NetworkNamespace {
  private constructor(
    readonly name: string,
    /** This machine's end of the cable, where the control plane is reached. */
    readonly outside: string,
    /** The end within. */
    readonly inside: string,
  ) {}

  /** @param subnet 0 to 63, one a namespace: they must not share addresses */
  static async open(subnet: number): Promise<NetworkNamespace | undefined> {
    const name = `flotilla-${String(process.pid)}-${String(subnet)}`;
    const [host, guest] = [`flo${String(subnet)}h`, `flo${String(subnet)}g`];
    const [outside, inside] = [`198.18.${String(subnet)}.1`, `198.18.${String(subnet)}.2`];
    const ip = (...args: string[]) => run('ip', args, { env });
    try {
      await ip('link', 'delete', host).catch(() => undefined);
      await ip('netns', 'add', name);
    } catch {
      return undefined;
    }
    const namespace = new NetworkNamespace(name, outside, inside);
    try {
      await run('nft', ['--version'], { env });
      await ip('link', 'add', host, 'type', 'veth', 'peer', 'name', guest);
      await ip('link', 'set', guest, 'netns', name);
      await ip('addr', 'add', `${outside}/30`, 'dev', host);
      await ip('link', 'set', host, 'up');
      await namespace.exec('ip', 'addr', 'add', `${inside}/30`, 'dev', guest);
      await namespace.exec('ip', 'link', 'set', guest, 'up');
      await namespace.exec('ip', 'link', 'set', 'lo', 'up');
      return namespace;
    } catch {
      await namespace.close();
      return undefined;
    }
  }

  /** What a program is started behind, so that it runs within. */
  get prefix(): readonly string[] {
    return ['ip', 'netns', 'exec', this.name];
  }

  async exec(...command: readonly string[]): Promise<string> {
    const [program = 'ip', ...args] = [...this.prefix, ...command];
    return (await run(program, args, { env })).stdout;
  }

  /** Replaces the rules within: so many of a hundred packets are lost, each way; all of them at 100. */
  async lose(percent: number): Promise<void> {
    const rule = (hook: string, device: string): string =>
      `add chain inet faults ${hook} { type filter hook ${hook} priority 0; }; ` +
      `add rule inet faults ${hook} ${device} lo accept; ` +
      `add rule inet faults ${hook} numgen random mod 100 < ${String(percent)} drop; `;
    await this.exec('nft', 'add table inet faults; delete table inet faults');
    if (percent <= 0) return;
    await this.exec('nft', `add table inet faults; ${rule('input', 'iifname')}${rule('output', 'oifname')}`);
  }

  async close(): Promise<void> {
    await run('ip', ['netns', 'delete', this.name], { env }).catch(() => undefined);
  }
}
