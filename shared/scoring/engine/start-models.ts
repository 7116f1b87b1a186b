/** Starts what runs the models of one module: worker threads, and this thread for the tiny ones. */
import { join } from 'node:path';
import type { Problem } from '#shared/kernel/errors.js';
import type { Clock } from '#shared/kernel/clock.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import { defaultScoringOptions, type ScoringOptions } from '#shared/package/scoring-options.js';
import type { HostedModule } from '../host-protocol.js';
import type { LoadedWorkerModel, WorkerConfig, WorkerModel } from '../worker/worker-protocol.js';
import type { Engine } from './engine.js';
import { InlineRunner } from './inline-runner.js';
import { type Lane, tinyRunMs } from './lane.js';
import { Observed } from './observed.js';
import { ModelStatistics } from './statistics.js';
import { WorkerRunner } from './worker-runner.js';
import type { WorkerThreads } from './worker-threads.js';

export interface ModuleDeps {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly workerThreads: WorkerThreads;
  readonly onCrash: (error: Error) => void;
  readonly onBug: (error: unknown) => void;
  readonly onSpent: (buffer: ArrayBuffer) => void;
}

export interface RunningModels {
  readonly models: readonly LoadedWorkerModel[];
  readonly lanes: ReadonlyMap<string, Lane>;
  readonly statistics: ModelStatistics;
  readonly observed: Observed;
  /** Answers what waits and runs, then lets go of threads and sessions. */
  close(): Promise<void>;
}

export async function startModels(module: HostedModule, deps: ModuleDeps): Promise<Result<RunningModels, Problem>> {
  const options = module.scoring ?? defaultScoringOptions;
  const config: WorkerConfig = {
    models: module.models.map(({ name, file }) => ({ name, path: join(module.folder, file) })),
    accelerators: module.accelerators,
    scoring: options,
  };
  const workers = await startWorkers(config, module.instances, deps);
  if (!workers.ok) return workers;
  const { runners, models } = workers.value;

  const statistics = new ModelStatistics();
  const observed = new Observed();
  const inline: InlineRunner[] = [];
  let closed = false;
  const lanes = new Map<string, Lane>();
  for (const model of models) {
    const path = config.models.find(({ name }) => name === model.name)?.path ?? '';
    const open = async (): Promise<InlineRunner | undefined> => {
      const opened = await openInline({ name: model.name, path, traits: model.traits }, options, deps);
      if (opened && closed) await opened.close();
      else if (opened) inline.push(opened);
      return closed ? undefined : opened;
    };
    const { runMs } = model.traits;
    const runner = model.provider === 'cpu' && runMs !== undefined && runMs <= tinyRunMs ? await open() : undefined;
    const lane = deps.engine.add({
      model: model.name,
      identity: {
        answerName: module.scriptSocket === undefined ? module.name : model.name,
        answerVersion: String(module.version),
      },
      signature: model.signature,
      traits: model.traits,
      options,
      runners,
      inline: runner,
      // It runs in a worker already: what goes wrong here costs speed, and is told.
      ...(model.provider === 'cpu'
        ? {
            openInline: () =>
              open().catch((error: unknown) => {
                deps.onBug(error);
                return undefined;
              }),
          }
        : {}),
      statistics,
      observed,
    });
    lanes.set(model.name, lane);
  }
  return ok({
    models,
    lanes,
    statistics,
    observed,
    close: async () => {
      closed = true;
      await Promise.all([...lanes.values()].map((lane) => deps.engine.remove(lane)));
      await Promise.all([...runners, ...inline].map((runner) => runner.close()));
    },
  });
}

/** The first alone: a model that does not load fails once, and what is found out about it is not found out again. */
async function startWorkers(
  config: WorkerConfig,
  instances: number,
  deps: ModuleDeps,
): Promise<
  Result<{ readonly runners: readonly WorkerRunner[]; readonly models: readonly LoadedWorkerModel[] }, Problem>
> {
  const start = (of: WorkerConfig): ReturnType<typeof WorkerRunner.start> =>
    WorkerRunner.start({
      thread: deps.workerThreads.take(),
      config: of,
      monotonicMs: () => deps.clock.monotonic(),
      onCrash: deps.onCrash,
      onSpent: deps.onSpent,
    });
  const first = await start(config);
  if (!first.ok) return first;
  const { models } = first.value;
  const known = {
    ...config,
    models: config.models.map((model, index): WorkerModel => {
      const traits = models[index]?.traits;
      return traits === undefined ? model : { ...model, traits };
    }),
  };
  const others = await Promise.all(Array.from({ length: instances - 1 }, () => start(known)));
  const runners = [first.value.runner, ...others.flatMap((other) => (other.ok ? [other.value.runner] : []))];
  const failed = others.find((other) => !other.ok);
  if (failed && !failed.ok) {
    await Promise.all(runners.map((runner) => runner.close()));
    return err(failed.error);
  }
  return ok({ runners, models });
}

async function openInline(
  model: WorkerModel,
  options: ScoringOptions,
  deps: ModuleDeps,
): Promise<InlineRunner | undefined> {
  // Loads the library, which a host of large models never needs on this thread.
  const { OnnxSession } = await import('../worker/onnx-session.js');
  const session = await OnnxSession.load(model, ['cpu'], options, model.traits);
  if (session.isSynchronous) return new InlineRunner(session, deps.onBug);
  await session.release();
  return undefined;
}
