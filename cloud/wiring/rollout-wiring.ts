/** Releases over fleets: who drives them, who takes orders, and the routes to both. */
import { matchingDevices } from '#cloud/fleet/device-search.js';
import type { FleetRepository } from '#cloud/fleet/fleet-repository.js';
import type { ReleaseRepository } from '#cloud/fleet/release-repository.js';
import type { Twin } from '#cloud/fleet/twin.js';
import type { Routes } from '#cloud/http/app.js';
import { rolloutRoutes } from '#cloud/http/routes/rollout-routes.js';
import { GateReader } from '#cloud/rollout/gates/gate-reader.js';
import { GateRepository } from '#cloud/rollout/gates/gate-repository.js';
import { GateWatch } from '#cloud/rollout/gates/gate-watch.js';
import { ShadowPhase } from '#cloud/rollout/shadow/shadow-phase.js';
import type { ShadowTwin } from '#cloud/fleet/shadow-twin.js';
import { RolloutController } from '#cloud/rollout/controller.js';
import { RolloutDevices } from '#cloud/rollout/rollout-devices.js';
import { RolloutDrafts } from '#cloud/rollout/rollout-drafts.js';
import { RolloutOffice } from '#cloud/rollout/rollout-office.js';
import { RolloutRepository } from '#cloud/rollout/rollout-repository.js';
import { freezeRoutes } from '#cloud/http/routes/freeze-routes.js';
import { FreezeRepository } from '#cloud/rollout/freeze-repository.js';
import { scheduledRollout } from '#cloud/rollout/scheduled-rollout.js';
import type { ScheduleKind } from '#cloud/schedule/schedule.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import type { Ground } from './ground.js';

export interface RolloutParts {
  readonly twin: Twin;
  readonly releases: ReleaseRepository;
  readonly fleets: FleetRepository;
  readonly shadows: ShadowTwin;
  readonly telemetry: Pick<TelemetryPort, 'cohort' | 'shadows'>;
  /** Told after each commit: something waits in the outbox. */
  readonly onCommitted: () => void;
}

export interface WiredRollouts {
  readonly routes: readonly Routes[];
  readonly scheduled: ScheduleKind;
}

export function wireRollouts(ground: Ground, parts: RolloutParts): WiredRollouts {
  const { twin, shadows: shadowing, releases, fleets, telemetry, onCommitted } = parts;
  const { control: db, live, clock, logger, shutdown } = ground;
  const gates = new GateWatch(new GateReader(db, telemetry), clock, logger);
  const shadows = new ShadowPhase({ db, twin: shadowing, releases, telemetry, clock, logger });
  const controller = new RolloutController({ db, releases, twin, gates, shadows, live, clock, logger, onCommitted });
  const office = new RolloutOffice({ db, live, clock, onChanged: () => controller.wake() });
  controller.start();
  shutdown.add('rollouts', () => controller.stop());
  const rollouts = rolloutRoutes({
    ...{ controller, office, releases, fleets, drafts: new RolloutDrafts(db, office) },
    ...{ rollouts: new RolloutRepository(db), devices: new RolloutDevices(db) },
    found: (workspace, query) => matchingDevices(db, workspace, query).select('devices.name').execute(),
    gates: new GateRepository(db),
    ...{ watch: gates, clock },
  });
  const freezes = freezeRoutes({ freezes: new FreezeRepository(db), clock, onChanged: () => controller.wake() });
  return { routes: [rollouts, freezes], scheduled: scheduledRollout({ db, office, live }) };
}
