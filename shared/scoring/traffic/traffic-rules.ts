/** The rules of traffic in force, and the change from one set of them to the next: all or nothing. */
import { isDeepStrictEqual } from 'node:util';
import { AppError } from '#shared/kernel/errors.js';
import type { LoadedHostedModule } from '../host/hosted-module.js';
import { pickByKey, pickByRandom, type WeightedVersion } from './pick-version.js';
import { type RequestHeaders, routeKeyOf } from './request-origin.js';
import { Shadow, type ShadowPorts } from './shadow.js';
import { OutsideShadow } from './shadow-door.js';
import { hostTrafficSchema, type ModuleTraffic, type ShadowRule } from './traffic-schema.js';

export interface TrafficRulesPorts extends Omit<ShadowPorts, 'target'> {
  /** Versions that the host may load, loaded or not; empty for an unknown name. */
  readonly known: (name: string) => readonly number[];
  /** Versions that are ready, the newest first. */
  readonly ready: (name: string) => readonly LoadedHostedModule[];
}

interface Rules {
  readonly weights: readonly WeightedVersion[];
  readonly shadow: Shadow | undefined;
}

export class TrafficRules {
  private rules: ReadonlyMap<string, Rules> = new Map();
  private retired: Shadow[] = [];

  constructor(private readonly ports: TrafficRulesPorts) {}

  /**
   * From the next request on.
   *
   * @throws AppError `config.invalid`: what was in force stays
   */
  set(traffic: unknown): void {
    const parsed = hostTrafficSchema.safeParse(traffic);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      throw new AppError(
        'config.invalid',
        `traffic: ${(issue?.path ?? []).join('.')}: ${issue?.message ?? 'not valid'}`,
      );
    }
    for (const [name, module] of Object.entries(parsed.data)) this.check(name, module);
    const before = this.rules;
    const kept = new Set<Shadow>();
    this.rules = new Map(
      Object.entries(parsed.data).map(([name, { weights, shadow: rule }]) => {
        const old = before.get(name)?.shadow;
        const shadow =
          rule === undefined || isDeepStrictEqual(old?.rule, rule)
            ? rule && old
            : new Shadow(name, rule, { ...this.ports, target: this.targetOf(name, rule) });
        if (shadow) kept.add(shadow);
        return [name, { weights: weighted(weights), shadow }];
      }),
    );
    for (const { shadow } of before.values()) {
      if (!shadow || kept.has(shadow)) continue;
      shadow.close();
      this.retired.push(shadow);
    }
  }

  /**
   * Which of the ready versions answers a request that names none.
   *
   * @param ready the newest first, at least one
   * @throws AppError `score.not-ready` when none that has weight is ready
   */
  pick(name: string, ready: readonly LoadedHostedModule[], headers: RequestHeaders): LoadedHostedModule | undefined {
    const rules = this.rules.get(name);
    if (!rules) return ready[0];
    const key = routeKeyOf(headers);
    const candidates = rules.weights.filter(({ version }) => ready.some(({ module }) => module.version === version));
    const version = key === undefined ? pickByRandom(candidates, this.ports.random()) : pickByKey(candidates, key);
    const picked = ready.find(({ module }) => module.version === version);
    if (picked) return picked;
    const wanted = rules.weights.map((one) => String(one.version)).join(', ');
    throw new AppError('score.not-ready', `model "${name}": no version that gets traffic (${wanted}) is ready`);
  }

  shadowOf(name: string): Shadow | undefined {
    return this.rules.get(name)?.shadow;
  }

  get shadows(): readonly Shadow[] {
    return [...this.rules.values()].flatMap(({ shadow }) => shadow ?? []);
  }

  /** Those in force, and those that ended since this was last asked. */
  takeShadows(): readonly Shadow[] {
    return [...this.retired.splice(0), ...this.shadows];
  }

  close(): void {
    for (const shadow of this.shadows) shadow.close();
  }

  private targetOf(name: string, { version, at }: ShadowRule): ShadowPorts['target'] {
    if (at === undefined) return () => this.readyVersion(name, version);
    const outside = new OutsideShadow(name, at);
    return () => outside;
  }

  private readyVersion(name: string, version: number): LoadedHostedModule | undefined {
    return this.ports.ready(name).find(({ module }) => module.version === version);
  }

  private check(name: string, { weights, shadow }: ModuleTraffic): void {
    const known = this.ports.known(name);
    if (known.length === 0) throw new AppError('config.invalid', `traffic: no module "${name}" is here`);
    for (const version of [...Object.keys(weights).map(Number), ...(shadow && !shadow.at ? [shadow.version] : [])]) {
      if (known.includes(version)) continue;
      throw new AppError(
        'config.invalid',
        `traffic: module "${name}" has no version ${String(version)} here; there is ${known.join(', ')}`,
      );
    }
    if (!shadow) return;
    // Of what answers elsewhere nothing is known, and the rule must fit what answers here.
    const versions = shadow.at ? Object.keys(weights).map(Number) : [shadow.version];
    for (const version of versions) this.checkComparison(name, version, shadow.compare);
  }

  /** Where the version is loaded and names its outputs, the rule must name such that are there. */
  private checkComparison(name: string, version: number, compare: Shadow['rule']['compare']): void {
    const outputs = this.readyVersion(name, version)?.signature.outputs ?? [];
    if (outputs.length === 0) return;
    const there = outputs.map((output) => output.name).join(', ');
    const wanted =
      compare.kind === 'custom' ? Object.keys(compare.outputs) : compare.kind === 'top-1' ? [compare.output ?? ''] : [];
    for (const output of wanted.filter((one) => one !== '')) {
      if (outputs.some((one) => one.name === output)) continue;
      throw new AppError('config.invalid', `traffic: "${name}" has no output "${output}" to compare; it has ${there}`);
    }
    const floats = outputs.filter(({ datatype }) => /^FP(?:16|32|64)$/.test(datatype));
    if (compare.kind === 'top-1' && compare.output === undefined && floats.length !== 1) {
      throw new AppError(
        'config.invalid',
        `traffic: "${name}" has ${String(floats.length)} outputs of floats: name the one whose top-1 is compared (${there})`,
      );
    }
  }
}

function weighted(weights: Readonly<Record<string, number>>): WeightedVersion[] {
  return Object.entries(weights)
    .filter(([, weight]) => weight > 0)
    .map(([version, weight]) => ({ version: Number(version), weight }));
}
