/** The last lines of each replica, in memory: those of one that ended stay for a while, since they say why. */
import { toInstant } from '#shared/kernel/clock.js';

const keptLines = 1000;
const keptBytes = 256 * 1024;
/** Of replicas that are gone, per deployment. */
const keptGone = 5;

interface Ring {
  readonly key: string;
  readonly lines: { readonly atMs: number; readonly order: number; readonly text: string }[];
  bytes: number;
  gone: boolean;
}

export class ReplicaLogs {
  private readonly rings = new Map<string, Ring>();
  private written = 0;

  constructor(private readonly now: () => number) {}

  /** @param key of its deployment */
  add(key: string, replica: string, line: string): void {
    const ring = this.rings.get(replica) ?? { key, lines: [], bytes: 0, gone: false };
    this.rings.set(replica, ring);
    const text = line.trimEnd();
    this.written += 1;
    ring.lines.push({ atMs: this.now(), order: this.written, text });
    ring.bytes += text.length;
    while (ring.lines.length > keptLines || (ring.bytes > keptBytes && ring.lines.length > 1)) {
      ring.bytes -= ring.lines.shift()?.text.length ?? 0;
    }
  }

  /** Of all replicas of a deployment, oldest first, each line with its instant and its replica. */
  read(key: string, lines: number): string[] {
    const all = [...this.rings].flatMap(([replica, ring]) =>
      ring.key === key ? ring.lines.map((line) => ({ ...line, replica })) : [],
    );
    return all
      .sort((a, b) => a.order - b.order)
      .slice(-lines)
      .map(({ atMs, replica, text }) => `${toInstant(atMs)} ${replica} ${text}`);
  }

  /** It writes no more. */
  ended(replica: string): void {
    const ring = this.rings.get(replica);
    if (ring === undefined) return;
    ring.gone = true;
    const gone = [...this.rings].filter(([, other]) => other.key === ring.key && other.gone);
    for (const [oldest] of gone.slice(0, -keptGone)) this.rings.delete(oldest);
  }

  forget(isWanted: (key: string) => boolean): void {
    for (const [replica, { key }] of this.rings) if (!isWanted(key)) this.rings.delete(replica);
  }
}
