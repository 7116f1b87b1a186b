/**
 * The processes of shadows: each has a host of its own, which listens on no port, and gets copies of what the host that
 * answers is asked over a Unix socket. Its end costs copies and nothing else. It does what the reconciler's actions
 * ask, and tells what happened; it decides nothing.
 */
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { AppError, type Problem, toProblem } from '#shared/kernel/errors.js';
import { err, ok, type Result } from '#shared/kernel/result.js';
import type { ShadowRule } from '#shared/protocol/shadow.js';
import type { HostTraffic, ShadowDoor } from '#shared/scoring/traffic/traffic-schema.js';
import type { ExitCause } from '#shared/supervisor/exit-cause.js';
import type { HostSet } from '#shared/supervisor/host-set.js';
import { hasScript } from '#shared/supervisor/served-module.js';
import type { VersionKey } from '#agent/reconcile/observed.js';
import { type ModuleVersion, servedModuleOf } from '#agent/serving/module-version.js';
import { ShadowTally } from '#agent/serving/shadow-tally.js';
import type { SetSpawner, SpawnPorts } from '#agent/serving/spawn-set.js';
import type { ModuleStats } from '#agent/telemetry/collector.js';

export interface ShadowPorts {
  readonly spawner: SetSpawner;
  readonly sandbox: SpawnPorts['sandbox'];
  readonly settings: SpawnPorts['settings'];
  /** The set that answers; undefined while none does. */
  readonly current: () => HostSet | undefined;
  /** Provenance of what is committed. */
  readonly labels: () => Readonly<Record<string, string>>;
  readonly onExit: (module: string, key: VersionKey, cause: ExitCause) => void;
  /** The version that answers cannot be compared by its rule. */
  readonly onRefused: (module: string, key: VersionKey, problem: Problem) => void;
  readonly onCounted: (module: string, key: VersionKey, numbers: Readonly<Record<string, number>>) => void;
}

interface Shadow {
  readonly version: ModuleVersion;
  readonly set: HostSet;
  readonly door: ShadowDoor;
  rule?: ShadowRule;
}

interface Started {
  readonly provider: string;
  readonly numbers: Readonly<Record<string, number>>;
}

const noScripts: ReadonlySet<never> = new Set();

export class ShadowHosts {
  private readonly shadows = new Map<string, Shadow>();
  /** By module: what its shadow has done, over restarts of its processes. */
  private readonly tallies = new Map<string, { readonly key: VersionKey; readonly tally: ShadowTally }>();

  constructor(private readonly ports: ShadowPorts) {}

  /**
   * Loads and proves it, in place of what the module had as its shadow.
   *
   * @returns undefined when it was stopped or begun anew meanwhile
   */
  async start(version: ModuleVersion): Promise<Result<Started, Problem> | undefined> {
    await this.stop(version.name);
    const shadow = this.spawn(version);
    const stands = (): boolean => this.shadows.get(version.name) === shadow;
    this.shadows.set(version.name, shadow);
    const { maxBodyBytes, bodyPace } = this.ports.settings;
    const pace = bodyPace === undefined ? {} : { bodyPace };
    const loaded = await shadow.set.load({ maxBodyBytes, ...pace, labels: this.ports.labels() });
    if (!stands()) return undefined;
    const proved = loaded.ok ? await shadow.set.prove(version.name) : err(loaded.error.problem);
    if (!stands()) return undefined;
    if (!proved.ok) {
      await this.stop(version.name);
      return proved;
    }
    void shadow.set.exited.then((cause) => this.ended(shadow, cause));
    return ok({ provider: shadow.set.loaded[0]?.provider ?? '', numbers: proved.value.numbers });
  }

  /** @throws AppError `config.invalid` where the version that answers cannot be compared so; then nothing is copied */
  async mirror(module: string, rule: ShadowRule): Promise<void> {
    const shadow = this.shadows.get(module);
    if (shadow === undefined) return;
    // What was compared by another rule is no part of what is compared by this one.
    if (!isDeepStrictEqual(shadow.rule, rule)) this.tallies.delete(module);
    shadow.rule = rule;
    try {
      await this.tell(this.ports.current());
    } catch (error) {
      delete shadow.rule;
      await this.tell(this.ports.current()).catch(() => undefined);
      throw error;
    }
  }

  /** Copies end before the processes do. */
  async stop(module: string): Promise<void> {
    const shadow = this.shadows.get(module);
    if (shadow === undefined) return;
    this.shadows.delete(module);
    if (shadow.rule !== undefined) await this.tell(this.ports.current()).catch(() => undefined);
    await shadow.set.kill(noScripts);
  }

  async stopAll(): Promise<void> {
    await Promise.all([...this.shadows.keys()].map((module) => this.stop(module)));
  }

  /** Another set answers. Never throws: a rule that does not fit it is told, and the others hold. */
  async follow(set: HostSet): Promise<void> {
    if (![...this.shadows.values()].some(({ rule }) => rule !== undefined)) return;
    for (;;) {
      try {
        await this.tell(set);
        return;
      } catch (error) {
        if (!(error instanceof AppError) || error.code !== 'config.invalid') return;
        // One whose rule does not fit: those without it are tried again.
        const unfit = await this.unfitFor(set);
        if (unfit === undefined) return;
        delete unfit.rule;
        this.ports.onRefused(unfit.version.name, unfit.version.key, toProblem(error));
      }
    }
  }

  /** Counts that a host which answers, or did, has given. */
  counted(modules: ModuleStats): void {
    for (const { name, mirrored } of modules) {
      const shadow = this.shadows.get(name);
      if (mirrored === undefined || shadow?.version.desired.image.digest !== mirrored.digest) continue;
      if (shadow.rule?.tag !== mirrored.tag) continue;
      const { key } = shadow.version;
      const before = this.tallies.get(name);
      const tally = before?.key === key ? before.tally : new ShadowTally();
      this.tallies.set(name, { key, tally });
      if (tally.add(mirrored)) this.ports.onCounted(name, key, tally.numbers());
    }
  }

  /** Resident memory of their scoring hosts. */
  async rssBytes(): Promise<number> {
    const sizes = await Promise.all(
      [...this.shadows.values()].map(({ set }) =>
        set.stats().then(
          ({ rssBytes }) => rssBytes,
          () => 0,
        ),
      ),
    );
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  private spawn(version: ModuleVersion): Shadow {
    const { spawner, sandbox } = this.ports;
    const served = servedModuleOf(version);
    const script = hasScript(served);
    const copiesSocket = join(sandbox.tried.runFolder, `c${String(spawner.nextId())}.sock`);
    const set = spawner.spawn([script ? served : { ...served, copiesSocket }], new Map(), {
      onScriptExit: (_runner, cause) => {
        const mine = this.shadows.get(version.name);
        if (mine?.set === set) this.ended(mine, cause);
      },
      // Nobody was answered: what it gives to outputs, and that it is busy, counts for nothing.
      onEmission: () => undefined,
      onDefer: () => undefined,
    });
    const socket = set.scriptOf(version.name)?.socket ?? copiesSocket;
    const digest = version.desired.image.digest;
    return { version, set, door: { socket, by: script ? 'script' : 'model', digest } };
  }

  private ended(shadow: Shadow, cause: ExitCause): void {
    const { name, key } = shadow.version;
    if (this.shadows.get(name) !== shadow) return;
    this.shadows.delete(name);
    void this.tell(this.ports.current()).catch(() => undefined);
    void shadow.set.kill(noScripts);
    this.ports.onExit(name, key, cause);
  }

  /** @throws AppError `config.invalid`. A host that is gone has a successor, which is told. */
  private async tell(set: HostSet | undefined): Promise<void> {
    if (set !== undefined) await set.traffic(this.trafficOf(set, [...this.shadows.values()]));
  }

  private async unfitFor(set: HostSet): Promise<Shadow | undefined> {
    for (const shadow of this.shadows.values()) {
      if (shadow.rule === undefined) continue;
      const refused = await set.traffic(this.trafficOf(set, [shadow])).then(
        () => false,
        () => true,
      );
      if (refused) return shadow;
    }
    return undefined;
  }

  private trafficOf(set: HostSet, shadows: readonly Shadow[]): HostTraffic {
    const traffic: HostTraffic = {};
    for (const { version, door, rule } of shadows) {
      const live = set.modules.find(({ name }) => name === version.name);
      if (rule === undefined || live === undefined) continue;
      const { percent, tag, ...same } = rule;
      const at = tag === undefined ? door : { ...door, tag };
      traffic[version.name] = {
        weights: { [String(live.version)]: 1 },
        shadow: { ...same, version: version.desired.image.version, rate: percent / 100, at },
      };
    }
    return traffic;
  }
}
