/** One endpoint as requests meet it: who may call, which deployment answers, which gets a copy. */
import { AppError } from '#shared/kernel/errors.js';
import type { Random } from '#shared/kernel/ids.js';
import { pickByRandom } from '#shared/scoring/traffic/pick-version.js';
import type { CallerAccess } from './caller-access.js';
import type { FrontEndpoint } from './front-table.js';
import type { Lane } from './lane.js';

export interface Choice {
  readonly lane: Lane;
  /** The caller named it: it is not mirrored. */
  readonly pinned: boolean;
}

export class EndpointRoutes {
  private readonly weights: readonly { readonly version: number; readonly weight: number }[];
  private readonly names: readonly string[];

  constructor(
    private readonly listed: FrontEndpoint,
    readonly access: CallerAccess,
    readonly lanes: ReadonlyMap<string, Lane>,
  ) {
    this.names = [...lanes.keys()];
    this.weights = this.names.map((name, version) => ({ version, weight: listed.traffic[name] ?? 0 }));
  }

  get id(): string {
    return this.listed.id;
  }

  get workspace(): string {
    return this.listed.workspace;
  }

  get name(): string {
    return this.listed.name;
  }

  /**
   * @param pin the deployment that the request names
   * @throws AppError `deployment.not-found`, `endpoint.no-traffic`
   */
  choose(pin: string | undefined, random: Random): Choice {
    if (pin !== undefined) {
      const lane = this.lanes.get(pin);
      if (lane) return { lane, pinned: true };
      const there = this.names.join(', ') || 'none';
      const named = pin.slice(0, 100);
      throw new AppError(
        'deployment.not-found',
        `endpoint "${this.name}" has no deployment "${named}"; it has ${there}`,
      );
    }
    const lane = this.lanes.get(this.names[pickByRandom(this.weights, random()) ?? -1] ?? '');
    if (lane) return { lane, pinned: false };
    throw new AppError(
      'endpoint.no-traffic',
      `no deployment of endpoint "${this.name}" has traffic: name one in azureml-model-deployment, or give one a share`,
    );
  }

  /** The deployment that gets a copy of a request. */
  mirrorOf({ lane, pinned }: Choice, random: Random): Lane | undefined {
    const { mirror } = this.listed;
    if (!mirror || pinned || random() * 100 >= mirror.percent) return undefined;
    const target = this.lanes.get(mirror.deployment);
    return target === lane ? undefined : target;
  }
}
