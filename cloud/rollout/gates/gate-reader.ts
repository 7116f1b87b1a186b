/** Reads what the gates of a rollout judge by from the telemetry store, some devices at a time. */
import type { Database } from '#cloud/fleet/device-repository.js';
import { addNumbers, type ModuleNumbers, noNumbers } from '#cloud/telemetry/cohort-numbers.js';
import type { CohortDevice, TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import { parseReference } from '#shared/kernel/names.js';
import type { Previous } from '../rollout-devices.js';
import type { StoredRollout } from '../rollout-repository.js';
import { type Cohorts, cohortsOf, type Member } from './cohorts.js';
import { bindGate } from './gate-kinds.js';
import type { Evidence } from './gate-model.js';
import type { GateReading } from './judge-gates.js';

/** Of one question: batches that come in wait for it. */
const devicesAtOnce = 50;

export class GateReader {
  constructor(
    private readonly db: Database,
    private readonly telemetry: Pick<TelemetryPort, 'cohort'>,
  ) {}

  async read(stored: StoredRollout): Promise<GateReading[]> {
    const { policy, rollout, createdAt, workspace } = stored;
    const input = {
      ...{ rollout, startedAt: Date.parse(createdAt) },
      ...{ members: await this.membersOf(stored), released: await this.releasedBy(stored) },
    };
    const readings: GateReading[] = [];
    // Gates over the same devices, spans and versions read them once.
    const known = new Map<string, Promise<ModuleNumbers>>();
    const numbersOf = (module: string, devices: readonly CohortDevice[], machine: boolean): Promise<ModuleNumbers> => {
      const key = JSON.stringify([module, machine, devices]);
      const asked = known.get(key) ?? this.numbersOf(workspace, module, devices, machine);
      known.set(key, asked);
      return asked;
    };
    for (const [gate, fields] of Object.entries(policy.gates ?? {})) {
      const cohorts = cohortsOf(fields, input);
      if ('what' in cohorts) {
        readings.push({ gate, lack: cohorts });
        continue;
      }
      const { readsMachine } = bindGate(fields);
      const evidence: Evidence[] = [];
      for (const { module, label, candidate, reference } of cohorts satisfies readonly Cohorts[]) {
        evidence.push({
          module: label,
          devices: candidate.length,
          candidate: await numbersOf(module, candidate, readsMachine),
          reference: await numbersOf(module, reference, readsMachine),
        });
      }
      readings.push({ gate, evidence });
    }
    return readings;
  }

  private async numbersOf(
    workspace: string,
    module: string,
    devices: readonly CohortDevice[],
    machine: boolean,
  ): Promise<ModuleNumbers> {
    const sum = noNumbers();
    for (let from = 0; from < devices.length; from += devicesAtOnce) {
      const some = devices.slice(from, from + devicesAtOnce);
      addNumbers(sum, await this.telemetry.cohort({ workspace, module, devices: some, machine }));
    }
    return sum;
  }

  private async membersOf({ workspace, number, rollout }: StoredRollout): Promise<Member[]> {
    const rows = await this.db
      .selectFrom('rolloutDevices')
      .select(['device', 'wave', 'standing', 'generation', 'assignedAt', 'endedAt'])
      .select((query) =>
        // What others had is long and says nothing: they were not asked, or are of waves that were judged.
        query
          .case()
          .when('wave', '=', rollout.wave)
          .then(query.ref('previousJson'))
          .else(null)
          .end()
          .as('previousJson'),
      )
      .where('workspace', '=', workspace)
      .where('rollout', '=', number)
      .execute();
    return rows.map(({ device, wave, standing, generation, assignedAt, endedAt, previousJson }) => ({
      ...{ device, wave, standing },
      ...(generation === null || assignedAt === null ? {} : { assignedAt }),
      ...(endedAt === null ? {} : { endedAt }),
      ...(generation === null ? {} : { previous: digestsIn(previousJson) }),
    }));
  }

  private async releasedBy({ workspace, release }: StoredRollout): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
    const { name = '', version = 0 } = parseReference(release) ?? {};
    const rows = await this.db
      .selectFrom('releaseModules')
      .select(['module', 'imageDigest'])
      .where((where) => where.and({ workspace, name, version }))
      .execute();
    return new Map(rows.map(({ module, imageDigest }) => [module, new Set([imageDigest])]));
  }
}

function digestsIn(previousJson: string | null): ReadonlyMap<string, string> {
  const { modules } = JSON.parse(previousJson ?? '{"modules":[]}') as Pick<Previous, 'modules'>;
  return new Map(modules.map(({ module, image }) => [module, image.digest]));
}
