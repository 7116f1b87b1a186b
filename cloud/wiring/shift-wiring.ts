/** Shifts of traffic: who drives them, who takes orders, and the routes to both. */
import type { Routes } from '#cloud/http/app.js';
import { shiftRoutes } from '#cloud/http/routes/shift-routes.js';
import { EndpointRepository } from '#cloud/services/control/endpoint-repository.js';
import type { ServicesDocument } from '#cloud/services/control/services-document.js';
import type { ServiceHostDoor } from '#cloud/services/control/services-publisher.js';
import { ShiftController } from '#cloud/services/shift/shift-controller.js';
import { ShiftEvidence } from '#cloud/services/shift/shift-evidence.js';
import { ShiftOffice } from '#cloud/services/shift/shift-office.js';
import { ShiftRepository } from '#cloud/services/shift/shift-repository.js';
import type { TelemetryPort } from '#cloud/telemetry/telemetry-port.js';
import type { Ground } from './ground.js';

export interface ShiftParts {
  readonly document: ServicesDocument;
  readonly door: ServiceHostDoor;
  readonly telemetry: Pick<TelemetryPort, 'cohort' | 'shadows'>;
  /** Resolves when what deployments counted until now is in the store. */
  readonly refresh: () => Promise<void>;
  /** Whether this control plane runs web services at all. */
  readonly enabled: boolean;
}

export interface WiredShifts {
  readonly routes: Routes;
  /** Endpoints were changed. */
  changed(): void;
}

export function wireShifts(ground: Ground, { document, door, telemetry, refresh, enabled }: ShiftParts): WiredShifts {
  const { control: db, live, clock, logger, shutdown } = ground;
  const controller = new ShiftController({
    ...{ db, document, refresh, live, clock, logger },
    ...{ evidence: new ShiftEvidence(telemetry), host: () => door.running() },
  });
  const changed = (): void => (enabled ? controller.wake() : undefined);
  const office = new ShiftOffice({ db, document, live, clock, onChanged: changed });
  shutdown.add('shifts of traffic', () => controller.stop());
  changed();
  const parts = { endpoints: new EndpointRepository(db), shifts: new ShiftRepository(db), office, controller, clock };
  return { routes: shiftRoutes(parts), changed };
}
