/**
 * A module's script: `init(settings, context)` once, where there is one, then `run(input, context)` for
 * each request.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { defaultInput, defaultOutput } from '#shared/protocol/route.js';
import type { Logger } from '#shared/platform/logger.js';
import type { Tensor } from '../codec/tensor.js';
import type { ScriptConfig } from '../host-protocol.js';
import type { ModelsClient } from './models-client.js';
import { inputHeader, inputOf, sourceHeader, sourceOf } from './route-headers.js';

export interface ScriptModel {
  /** Inputs by name: `{datatype, shape, data}`, or nested arrays. Outputs by name, data in typed arrays. */
  infer(inputs: Readonly<Record<string, unknown>>): Promise<Record<string, Tensor>>;
}

export interface ScriptContext {
  readonly models: Readonly<Record<string, ScriptModel>>;
  readonly log: Logger;
  /** Where the module's files lie. */
  readonly folder: string;
  readonly module: { readonly name: string; readonly version: number; readonly digest: string };
  /**
   * Asks not to be replaced by another version for so many milliseconds from now, and says why: a door is
   * open, a series of requests not at its end. 0 takes it back. Bounded by the update policy of the module.
   */
  readonly defer: (forMs: number, reason: string) => void;
  /**
   * Gives a value to an output, from where routes take it: what becomes JSON, or a Uint8Array as it is. Does not
   * wait; what is too much or too large is lost, and counted.
   */
  readonly emit: (output: string, value: unknown) => void;
}

export interface ScriptPorts {
  readonly defer: ScriptContext['defer'];
  readonly emit: (output: string, value: unknown, source: string | undefined) => void;
}

export interface RunContext extends ScriptContext {
  /** The input that it came to; `amlInput` unless a route, or the header flotilla-input, says another. */
  readonly input: string;
  /** Where a route took it from, such as a topic or the name of a file. */
  readonly source: string | undefined;
  readonly request: {
    readonly id: string;
    /** GET, where the input is the query's values, or POST. */
    readonly method: string;
    readonly headers: Readonly<Record<string, string | string[] | undefined>>;
    /** Aborted when the client has left, or has its answer. */
    readonly signal: AbortSignal;
  };
}

/** A week. */
const maxDeferMs = 604_800_000;

type UserFunction = (argument: unknown, context: object) => unknown;

export class UserScript {
  private constructor(
    private readonly userRun: UserFunction,
    private readonly context: ScriptContext,
    private readonly ports: ScriptPorts,
    private readonly config: ScriptConfig,
  ) {}

  /** @throws AppError `module.invalid` for a script that does not import, or has no `run`; `score.failed` from `init` */
  static async start(config: ScriptConfig, models: ModelsClient, log: Logger, ports: ScriptPorts): Promise<UserScript> {
    const url = pathToFileURL(join(config.folder, config.entry)).href;
    const exports = await importScript(url, config);
    const context: ScriptContext = {
      models: Object.fromEntries(
        config.models.map((name) => [name, { infer: (inputs: unknown) => models.infer(name, inputs) }]),
      ),
      log,
      folder: config.folder,
      module: { name: config.name, version: config.version, digest: config.digest },
      defer: (forMs, reason) => ports.defer(...checkedDeferral(forMs, reason)),
      emit: emitter(config, ports, undefined),
    };
    const run = exports['run'];
    const init = exports['init'];
    if (typeof run !== 'function') {
      throw new AppError(
        'module.invalid',
        `${config.entry} of module "${config.name}" must export a function run(input, context)`,
      );
    }
    if (init !== undefined && typeof init !== 'function') {
      throw new AppError(
        'module.invalid',
        `${config.entry} of module "${config.name}" exports init, which is not a function`,
      );
    }
    if (init) {
      try {
        await (init as UserFunction)(config.settings, context);
      } catch (error) {
        throw new AppError('score.failed', `init() of module "${config.name}" failed: ${messageOf(error)}`, {
          cause: error,
        });
      }
    }
    return new UserScript(run as UserFunction, context, ports, config);
  }

  /**
   * @throws whatever the script throws; AppError `score.invalid-input` for an input that it does not have
   */
  async run(input: unknown, request: RunContext['request']): Promise<unknown> {
    const { config, ports } = this;
    const source = sourceOf(request.headers[sourceHeader]);
    const context: RunContext = {
      ...this.context,
      emit: emitter(config, ports, source),
      input: inputOf(request.headers[inputHeader], config.inputs ?? [defaultInput]),
      source,
      request,
    };
    return this.userRun(input, context);
  }
}

/** @throws TypeError to the script: it is a mistake in its code */
function emitter(
  { outputs = [defaultOutput] }: ScriptConfig,
  { emit }: ScriptPorts,
  source: string | undefined,
): ScriptContext['emit'] {
  return (output: unknown, value) => {
    if (typeof output !== 'string' || !outputs.includes(output)) {
      const given = typeof output === 'string' ? `"${output.slice(0, 64)}"` : typeof output;
      throw new TypeError(
        `emit(output, value): the module has no output ${given}; it has ${outputs.join(', ')}, and those that module.yaml names in outputs`,
      );
    }
    emit(output, value, source);
  };
}

/** @throws TypeError to the script: it is a mistake in its code */
function checkedDeferral(forMs: unknown, reason: unknown): [number, string] {
  if (typeof forMs !== 'number' || !(forMs >= 0) || forMs > maxDeferMs) {
    throw new TypeError(`defer(forMs, reason): forMs must be a number from 0 to ${String(maxDeferMs)}`);
  }
  if (typeof reason !== 'string' && forMs > 0) throw new TypeError('defer(forMs, reason): reason must be a text');
  return [forMs, String(reason ?? '').slice(0, 256)];
}

async function importScript(url: string, config: ScriptConfig): Promise<Record<string, unknown>> {
  try {
    return (await import(url)) as Record<string, unknown>;
  } catch (error) {
    throw new AppError(
      'module.invalid',
      `${config.entry} of module "${config.name}" does not load: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}
