/**
 * A run without a promise, for models so small that the hop through the event loop costs as much as the
 * run. onnxruntime-node's public `run` wraps a synchronous call of its binding, which the library keeps
 * in a WeakMap of its own, keyed by the session's handler; it is asked for there. That is nothing the
 * library promises: written for 1.30, and where it looks otherwise there is no synchronous run.
 */
import type * as ort from 'onnxruntime-node';

/**
 * Blocks until the model has run. A session must be released by its `release`; afterwards this throws.
 *
 * @param fetches names of the wanted outputs, each one of the session's
 */
export type SyncRun = (
  feeds: Readonly<Record<string, ort.Tensor>>,
  fetches: readonly string[],
) => Readonly<Record<string, ort.Tensor>>;

interface Binding {
  run(
    feeds: Readonly<Record<string, ort.Tensor>>,
    fetches: Readonly<Record<string, null>>,
  ): Readonly<Record<string, ort.Tensor>>;
}

/** @returns undefined where this version of the library has no such thing: use the session's own `run` */
export function openSync(session: ort.InferenceSession): SyncRun | undefined {
  const binding = bindingOf(session);
  if (!binding) return undefined;
  const { inputNames, outputNames } = session;
  return (feeds, fetches) => {
    // What the public `run` checks before it calls the binding, which would skip an unknown output.
    const wanted: Record<string, null> = {};
    for (const name of fetches) {
      if (!outputNames.includes(name)) throw new RangeError(`the model has no output "${name}"`);
      wanted[name] = null;
    }
    for (const name of inputNames) {
      if (feeds[name] === undefined) throw new Error(`input '${name}' is missing in 'feeds'.`);
    }
    return binding.run(feeds, wanted);
  };
}

/** Watches what the library looks up for a call that does nothing else than to reach its binding. */
function bindingOf(session: ort.InferenceSession): Binding | undefined {
  const handler: unknown = Reflect.get(session, 'handler');
  const original = Object.getOwnPropertyDescriptor(WeakMap.prototype, 'get');
  const get: unknown = original?.value;
  if (typeof get !== 'function' || original?.configurable !== true) return undefined;
  let found: Binding | undefined;
  const watching = function (this: unknown, key: unknown): unknown {
    const value: unknown = Reflect.apply(get, this, [key]);
    if (key !== handler || !isBinding(value)) return value;
    found = value;
    // Not the binding: a profile that is being written goes on.
    return { endProfiling: () => undefined };
  };
  Object.defineProperty(WeakMap.prototype, 'get', { ...original, value: watching });
  try {
    session.endProfiling();
  } catch {
    return undefined;
  } finally {
    Object.defineProperty(WeakMap.prototype, 'get', original);
  }
  return found;
}

function isBinding(value: unknown): value is Binding {
  return (
    typeof value === 'object' &&
    value !== null &&
    ['loadModel', 'run', 'dispose'].every((method) => typeof Reflect.get(value, method) === 'function')
  );
}
