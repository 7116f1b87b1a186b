/** Real scoring hosts for tests: the built entry as a child process, on a free port, ended afterwards. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HostConfig, HostedModule } from '#shared/scoring/host-protocol.js';
import { bindHandle, type ListenHandle } from '#shared/supervisor/listen-handle.js';
import { ScoringHostProcess } from '#shared/supervisor/scoring-host-process.js';
import { ScriptHostProcess } from '#shared/supervisor/script-host-process.js';

export const repository = fileURLToPath(
  new URL(import.meta.url.includes('/dist/') ? '../../../' : '../../', import.meta.url),
);
export const scoringHostEntry = join(repository, 'dist/shared/scoring/host/main.js');
export const scriptHostEntry = join(repository, 'dist/shared/scoring/script-host/main.js');
export const fixtures = join(repository, 'test/fixtures/models');
export const digitsFolder = join(repository, 'modules/digits');

export function hostedModule(folder: string, file: string, more: Partial<HostedModule> = {}): HostedModule {
  const name = more.name ?? 'model';
  return {
    name,
    version: 1,
    digest: `sha256:${'0'.repeat(64)}`,
    folder,
    models: [{ name, file }],
    accelerators: ['cpu'],
    instances: 1,
    ...more,
  };
}

export const digits = hostedModule(digitsFolder, 'model.onnx', {
  name: 'digits',
  golden: { file: 'golden.json', tolerance: { absolute: 1e-4, relative: 1e-3 } },
});

/** Keeps what a test started, and ends it. */
export class Scoring {
  readonly lines: string[] = [];
  private readonly hosts: { kill(): Promise<void> }[] = [];
  private readonly handles: ListenHandle[] = [];
  private readonly folders: string[] = [];

  spawn(level = 'silent'): ScoringHostProcess {
    const host = ScoringHostProcess.spawn({
      entry: scoringHostEntry,
      env: { FLOTILLA_LOG_LEVEL: level },
      onLog: (line) => this.lines.push(line),
    });
    this.hosts.push(host);
    return host;
  }

  spawnScript(level = 'silent'): ScriptHostProcess {
    const env = { FLOTILLA_LOG_LEVEL: level };
    const host = ScriptHostProcess.spawn({ entry: scriptHostEntry, env, onLog: (line) => this.lines.push(line) });
    this.hosts.push(host);
    return host;
  }

  bind(port = 0): ListenHandle {
    const handle = bindHandle('127.0.0.1', port);
    this.handles.push(handle);
    return handle;
  }

  async folder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'flotilla-scoring-'));
    this.folders.push(folder);
    return folder;
  }

  /** A host that listens, with its modules loaded. */
  async serve(
    modules: readonly HostedModule[],
    more: Partial<HostConfig> = {},
    handle: ListenHandle = this.bind(),
  ): Promise<{ host: ScoringHostProcess; port: number; url: string }> {
    const host = this.spawn();
    const loaded = await host.load({ modules, labels: {}, maxBodyBytes: 8 * 1024 * 1024, ...more });
    if (!loaded.ok) throw new Error(`${loaded.error.module}: ${loaded.error.problem.message}`);
    await host.listen(handle.handle);
    return { host, port: handle.port, url: `http://127.0.0.1:${String(handle.port)}` };
  }

  /** The same, with gRPC beside it. */
  async serveGrpc(
    modules: readonly HostedModule[],
    more: Partial<HostConfig> = {},
    handles = { http: this.bind(), grpc: this.bind() },
  ): Promise<{ host: ScoringHostProcess; url: string; address: string }> {
    const { host, url } = await this.serve(modules, more, handles.http);
    await host.listenGrpc(handles.grpc.handle);
    return { host, url, address: `127.0.0.1:${String(handles.grpc.port)}` };
  }

  async end(): Promise<void> {
    for (const host of this.hosts.splice(0)) await host.kill();
    for (const handle of this.handles.splice(0)) handle.close();
    for (const folder of this.folders.splice(0)) await rm(folder, { recursive: true, force: true });
  }
}

export async function post(url: string, body: unknown, headers: Record<string, string> = {}): Promise<Answered> {
  const raw = body instanceof Uint8Array || typeof body === 'string';
  const response = await fetch(url, {
    method: 'POST',
    body: raw ? (body as string | Uint8Array<ArrayBuffer>) : JSON.stringify(body),
    headers: {
      'content-type': raw && typeof body !== 'string' ? 'application/octet-stream' : 'application/json',
      ...headers,
    },
  });
  return answered(response);
}

export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The body as JSON; undefined where it is not. */
  readonly json: unknown;
}

export async function answered(response: Response): Promise<Answered> {
  const bytes = new Uint8Array(await response.arrayBuffer());
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    json = undefined;
  }
  return { status: response.status, headers: response.headers, bytes, json };
}
