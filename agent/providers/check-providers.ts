/** Tries each provider in a process of its own, one after another: they would share the machine otherwise. */
import { HostChild } from '#shared/supervisor/host-child.js';
import type { ProviderFinding } from '#shared/scoring/provider-check/check-protocol.js';
import { type CheckRow, notHereRow, rowOf, type Trial } from './check-row.js';
import type { HostEnvironment } from './loader-environment.js';
import { originOf, type ProviderName } from './platform-providers.js';

export interface CheckOptions {
  /** The built `provider-check/main.js`. */
  readonly entry: string;
  readonly environment: HostEnvironment;
  /** For example `linux-x64`. */
  readonly platform: string;
  /** For one provider: shaders of a slow driver are compiled in it. */
  readonly deadlineMs: number;
}

export async function checkProviders(
  providers: readonly ProviderName[],
  options: CheckOptions,
  onRow: (row: CheckRow) => void,
): Promise<CheckRow[]> {
  const rows: CheckRow[] = [];
  for (const provider of providers) {
    const origin = originOf(provider, options.platform);
    const row =
      origin === 'not-here'
        ? notHereRow(provider, options.platform)
        : rowOf(provider, origin, await tryProvider(provider, options));
    rows.push(row);
    onRow(row);
  }
  return rows;
}

async function tryProvider(provider: ProviderName, { entry, environment, deadlineMs }: CheckOptions): Promise<Trial> {
  const child = new HostChild<never, ProviderFinding>(`the trial of ${provider}`, {
    entry,
    arguments: [provider],
    env: environment,
    onLog: () => undefined,
  });
  let timer: NodeJS.Timeout | undefined;
  const found = child
    .next((finding) => finding)
    .then(
      (finding): ProviderFinding | undefined => finding,
      () => undefined,
    );
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), deadlineMs);
  });
  const finding = await Promise.race([found, late]);
  clearTimeout(timer);
  await child.kill();
  if (finding === 'late') return { kind: 'hung', afterMs: deadlineMs };
  const { code, signal, lastLines } = await child.exited;
  if (finding !== undefined) return { kind: 'found', finding, lastLines };
  return { kind: 'crashed', how: signal === null ? `exit code ${String(code)}` : signal, lastLines };
}
