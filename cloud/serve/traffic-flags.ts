/** Pure: `--traffic digits=1:90,2:10` and `--shadow digits=2:0.5` as the rules of a scoring host. */
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';

export interface TrafficRule {
  /** Shares by version. */
  readonly weights: Readonly<Record<string, number>>;
  readonly shadow?: { readonly version: number; readonly rate: number };
}

interface Named {
  readonly name: string;
  readonly version: number;
}

/**
 * @param modules all that will be served
 * @returns undefined when no flag asks for anything
 * @throws AppError `request.invalid`
 */
export function trafficRules(
  modules: readonly Named[],
  traffic: readonly string[],
  shadows: readonly string[],
): Readonly<Record<string, TrafficRule>> | undefined {
  if (traffic.length === 0 && shadows.length === 0) return undefined;
  const weights = new Map(traffic.map((text) => weightsOf(text, modules)));
  const copies = new Map(shadows.map((text) => shadowOf(text, modules)));
  if (weights.size < traffic.length) throw invalid('--traffic is given twice for one module; give it once');
  if (copies.size < shadows.length) throw invalid('--shadow is given twice for one module; give it once');
  const names = [...new Set([...weights.keys(), ...copies.keys()])];
  return Object.fromEntries(names.map((name) => [name, ruleOf(name, weights.get(name), copies.get(name), modules)]));
}

function ruleOf(
  name: string,
  given: TrafficRule['weights'] | undefined,
  shadow: TrafficRule['shadow'],
  modules: readonly Named[],
): TrafficRule {
  if (shadow === undefined) return { weights: given ?? {} };
  const weights = given ?? { [String(newestBeside(name, shadow.version, modules))]: 1 };
  if ((weights[String(shadow.version)] ?? 0) > 0) {
    throw invalid(
      `--shadow ${name}=${String(shadow.version)}: version ${String(shadow.version)} answers requests already; a version is one or the other`,
    );
  }
  return { weights, shadow };
}

function newestBeside(name: string, shadow: number, modules: readonly Named[]): number {
  const others = versionsOf(name, modules).filter((version) => version !== shadow);
  if (others.length > 0) return Math.max(...others);
  throw invalid(`--shadow ${name}: there is one version of ${name} only; give a second folder of the same name`);
}

function weightsOf(text: string, modules: readonly Named[]): [string, Record<string, number>] {
  const example = '--traffic digits=1:90,2:10';
  const [name, list] = splitRule(text, '--traffic', example, modules);
  const pairs = list.split(',').map((pair) => {
    const [version = '', share = ''] = pair.split(':');
    const weight = Number(share);
    if (!/^\d+(\.\d+)?$/.test(share) || weight > 1_000_000) {
      throw invalid(`--traffic ${text}: "${pair}" is no version:share; write for example ${example}`);
    }
    return [String(knownVersion(name, version, '--traffic', text, modules)), weight] as const;
  });
  const weights = Object.fromEntries(pairs);
  if (Object.keys(weights).length < pairs.length) throw invalid(`--traffic ${text}: a version is named twice`);
  if (pairs.every(([, weight]) => weight === 0)) throw invalid(`--traffic ${text}: one share must be above 0`);
  return [name, weights];
}

function shadowOf(text: string, modules: readonly Named[]): [string, { version: number; rate: number }] {
  const example = '--shadow digits=2:0.5';
  const [name, rest] = splitRule(text, '--shadow', example, modules);
  const [version = '', share = '1', more] = rest.split(':');
  const rate = Number(share);
  if (!/^\d+(\.\d+)?$/.test(share) || rate > 1 || more !== undefined) {
    throw invalid(`--shadow ${text}: the share of requests copied is from 0 to 1; write for example ${example}`);
  }
  return [name, { version: knownVersion(name, version, '--shadow', text, modules), rate }];
}

function splitRule(text: string, flag: string, example: string, modules: readonly Named[]): [string, string] {
  const [name, rest, more] = text.split('=');
  if (name === undefined || rest === undefined || rest === '' || more !== undefined) {
    throw invalid(`${flag} ${text}: no name=… of a module; write for example ${example}`);
  }
  const names = [...new Set(modules.map((module) => module.name))];
  if (names.includes(name)) return [name, rest];
  const near = nearest(name, names);
  throw invalid(
    `${flag} ${text}: no module "${name}" here; ${near === undefined ? `there is ${names.join(', ')}` : `did you mean ${near}?`}`,
  );
}

function knownVersion(name: string, text: string, flag: string, whole: string, modules: readonly Named[]): number {
  const versions = versionsOf(name, modules);
  const version = versions.find((one) => String(one) === text);
  if (version !== undefined) return version;
  throw invalid(`${flag} ${whole}: no version "${text}" of ${name}; there is ${versions.join(', ')}`);
}

function versionsOf(name: string, modules: readonly Named[]): number[] {
  return modules.filter((module) => module.name === name).map(({ version }) => version);
}

function invalid(message: string): AppError {
  return new AppError('request.invalid', message);
}
