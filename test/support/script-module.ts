/** A module of user code without models, served by a real scoring host and a real script host. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostConfig, HostedModule, ScriptConfig } from '#shared/scoring/host-protocol.js';
import type { ScoringHostProcess } from '#shared/supervisor/scoring-host-process.js';
import type { ScriptHostProcess } from '#shared/supervisor/script-host-process.js';
import { hostedModule, type Scoring } from './scoring-harness.js';

export interface ServedScript {
  readonly url: string;
  readonly port: number;
  readonly host: ScoringHostProcess;
  readonly script: ScriptHostProcess;
}

/** @param others modules that the same host serves beside it */
export async function serveScript(
  scoring: Scoring,
  options: {
    readonly name: string;
    readonly source: string;
    readonly others?: readonly HostedModule[];
    readonly config?: Partial<HostConfig>;
  },
): Promise<ServedScript> {
  const folder = await scoring.folder();
  const maxBodyBytes = options.config?.maxBodyBytes ?? 8 * 1024 * 1024;
  await writeFile(join(folder, 'score.mjs'), options.source);
  const scriptSocket = join(folder, 'script.sock');
  const modelsSocket = join(folder, 'models.sock');
  const module = hostedModule(folder, '', { name: options.name, models: [], scriptSocket, modelsSocket });
  const modules = [module, ...(options.others ?? [])];
  const { host, url, port } = await scoring.serve(modules, { maxBodyBytes, ...options.config });
  const script = scoring.spawnScript();
  const config: ScriptConfig = {
    name: options.name,
    version: 1,
    digest: module.digest,
    folder,
    entry: 'score.mjs',
    models: [],
    settings: {},
    modelsSocket,
    maxBodyBytes,
  };
  const started = await script.start(config, scriptSocket);
  if (!started.ok) throw new Error(started.error.message);
  return { host, script, url, port };
}
