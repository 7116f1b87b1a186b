/** The scoring host over local modules as a foreground process: wired, announced, and stopped when asked. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import type { Random } from '#shared/kernel/ids.js';
import { instancesOf } from '#shared/package/module-manifest.js';
import { diskError } from '#shared/platform/atomic-file.js';
import { usableCores } from '#shared/platform/usable-cores.js';
import { findHostEntries } from '#shared/supervisor/host-entries.js';
import type { HostSettings, ListenHandles } from '#shared/supervisor/host-set.js';
import { bindHandle } from '#shared/supervisor/listen-handle.js';
import { hostedModuleOf } from '#shared/supervisor/served-module.js';
import { exampleRequest } from '#cloud/serve/example-request.js';
import { forgetLocalModules, type LocalModule, openLocalModules } from '#cloud/serve/local-module.js';
import { readableLine } from '#cloud/serve/log-line.js';
import { LocalServing, type ServedVersion } from '#cloud/serve/local-serving.js';
import { fingerprintOf, watchSources } from '#cloud/serve/source-watch.js';
import { trafficRules } from '#cloud/serve/traffic-flags.js';
import type { ServedModuleReport, ServeEvents, ServeReady, ServeRequest } from './serve-request.js';

export interface ServePorts {
  readonly version: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
}

const maxBodyBytes = 64 * 1024 ** 2;
const drainMs = 10_000;
const watchEveryMs = 500;

export async function runServe(request: ServeRequest, events: ServeEvents, ports: ServePorts): Promise<void> {
  const anyPort = request.port === 0 || request.grpcPort === 0;
  for (let left = anyPort ? 3 : 1; ; left--) {
    try {
      await serve(request, events, ports);
      return;
    } catch (error) {
      // A port that the system picked is bound, but ours alone only once a host listens on it.
      if (!(error instanceof AppError && error.code === 'port.taken') || left === 1) throw error;
    }
  }
}

async function serve(request: ServeRequest, events: ServeEvents, ports: ServePorts): Promise<void> {
  const { signal, clock } = ports;
  // What is unpacked, and the sockets of scripts, are for this user alone.
  process.umask(0o077);
  // First, so that a port that is taken is told before anything slow.
  const handles = bindHandles(request);
  const scratch = await makeScratch();
  const nextId = countUp();
  const serving = new LocalServing({
    ...{ clock, random: ports.random, handles, nextId, drainMs, prove: request.golden, cores: usableCores() },
    entries: findHostEntries(new URL('../main.js', import.meta.url).href),
    runFolder: scratch,
    onTrouble: (text) => events.onNote(text),
    onLog: (names, line) => events.onNote(`[${names.join(' ')}] ${readableLine(line)}`),
  });
  const stopped = stopOnAbort(signal, serving, events);
  try {
    const sources = request.sources.map(absolute);
    const known = request.watch ? await fingerprintOf(sources) : '';
    let modules = await openLocalModules(request.sources, { scratch, nextId, instances: request.instances });
    const first = await serving.serve(modules, hostSettings(request, modules));
    const unheard = request.capture === undefined ? modules.filter(({ manifest }) => manifest.capture) : [];
    for (const { name } of unheard) events.onNote(`${name} asks to keep a sample of requests: --capture <folder> does`);
    events.onReady({
      version: ports.version,
      ...addressOf(request, handles),
      mode: request.access.mode,
      modules: await reports(first, scratch),
    });
    const reload = async (): Promise<void> => {
      try {
        const next = await openLocalModules(request.sources, { scratch, nextId, instances: request.instances });
        if (sameModules(next, modules)) return await forgetLocalModules(next);
        const served = await serving.serve(next, hostSettings(request, next)).catch(async (error: unknown) => {
          await forgetLocalModules(next);
          throw error;
        });
        await forgetLocalModules(modules);
        modules = next;
        events.onReloaded(await reports(served, scratch));
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        if (!signal.aborted) events.onNote(`not taken, what was served goes on: ${error.message}`);
      }
    };
    if (request.watch) await watchSources(sources, known, { everyMs: watchEveryMs, clock, signal }, reload);
    await stopped;
  } catch (error) {
    // Asked to stop in the middle of a start, it has done what it was asked for.
    if (!(signal.aborted && error instanceof AppError)) throw error;
  } finally {
    await serving.stop();
    handles.http.close();
    handles.grpc?.close();
    await rm(scratch, { recursive: true, force: true });
  }
}

export async function describeServe(request: ServeRequest): Promise<object> {
  const scratch = await makeScratch();
  try {
    const modules = await openLocalModules(request.sources, {
      ...{ scratch, nextId: countUp(), instances: request.instances },
    });
    const { controlToken, access, ...settings } = hostSettings(request, modules);
    const { host, port, grpcPort, golden, watch } = request;
    return {
      ...{ host, port, grpcPort, golden, watch, ...settings, control: controlToken !== undefined },
      access: { ...access, keyDigests: access?.keyDigests.length },
      modules: modules.map((module) => {
        const { folder: _unpacked, ...hosted } = hostedModuleOf(module, usableCores(), undefined);
        return { ...hosted, flavor: module.manifest.flavor, source: module.source };
      }),
    };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

function hostSettings(request: ServeRequest, modules: readonly LocalModule[]): HostSettings {
  const traffic = trafficRules(modules, request.traffic, request.shadow);
  const { controlToken, capture, access } = request;
  return {
    labels: {},
    access,
    maxBodyBytes,
    ...(controlToken === undefined ? {} : { controlToken }),
    ...(traffic === undefined ? {} : { traffic }),
    ...(capture === undefined ? {} : { captureFolder: resolve(capture) }),
  };
}

function stopOnAbort(signal: AbortSignal, serving: LocalServing, events: ServeEvents): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      events.onNote('stopping: what is under way is answered; Ctrl-C again ends at once');
      serving.stop().then(resolve, reject);
    };
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}

async function reports(served: readonly ServedVersion[], scratch: string): Promise<ServedModuleReport[]> {
  return Promise.all(
    served.map(async ({ module, loaded, proved }) => {
      const { name, version, digest, source, manifest } = module;
      const example = await exampleRequest(module);
      const path = join(scratch, `${name}-${String(version)}.json`);
      if (example !== undefined) await writeFile(path, JSON.stringify(example));
      return {
        ...{ name, version, flavor: manifest.flavor, digest, source, loaded, proved },
        instances: instancesOf(manifest, usableCores()),
        example: example === undefined ? undefined : path,
      };
    }),
  );
}

function bindHandles({ host, port, grpcPort }: ServeRequest): ListenHandles {
  const http = bindHandle(host, port);
  try {
    return { http, grpc: grpcPort === undefined ? undefined : bindHandle(host, grpcPort) };
  } catch (error) {
    http.close();
    throw error;
  }
}

function addressOf(
  { host }: ServeRequest,
  { http, grpc }: ListenHandles,
): Omit<ServeReady, 'version' | 'mode' | 'modules'> {
  const name = isIPv6(host) ? `[${host}]` : host;
  return {
    ...{ address: host, port: http.port, url: `http://${name}:${String(http.port)}` },
    grpc: grpc === undefined ? undefined : `${name}:${String(grpc.port)}`,
  };
}

function sameModules(a: readonly LocalModule[], b: readonly LocalModule[]): boolean {
  return a.length === b.length && a.every(({ id }, index) => id === b[index]?.id);
}

async function makeScratch(): Promise<string> {
  try {
    return await mkdtemp(join(tmpdir(), 'flotilla-serve-'));
  } catch (error) {
    throw diskError(error, `cannot make a folder in ${tmpdir()}`);
  }
}

function absolute(path: string): string {
  return resolve(path);
}

function countUp(): () => number {
  let last = 0;
  return () => {
    last += 1;
    return last;
  };
}
