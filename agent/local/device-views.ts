/** What the device says of itself: to the control plane, to a person at its socket. */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import type { Problem } from '#shared/kernel/errors.js';
import type { Capabilities, ReportedState } from '#shared/protocol/reported.js';
import type { KnownVersions } from '#agent/actions/versions.js';
import type { Identity } from '#agent/identity/identity.js';
import type { Refusal } from '#agent/link/desired-inbox.js';
import type { TrustedTime } from '#agent/link/trusted-clock.js';
import { type ExplanationView, plansView, type StatusView, waitingView } from '#agent/local/explanation.js';
import type { Calendar } from '#agent/reconcile/calendar.js';
import type { DeviceState } from '#agent/reconcile/device-state.js';
import { entry } from '#agent/reconcile/observed.js';
import { planDevice } from '#agent/reconcile/plan.js';
import { defaultPolicy } from '#agent/reconcile/policy.js';
import type { Reconciler } from '#agent/reconcile/reconciler.js';
import { askedDigest, reportedStateOf, type TrustReport } from '#agent/reconcile/report-state.js';
import type { DeviceRoutes } from '#agent/routes/device-routes.js';
import type { Serving } from '#agent/serving/serving.js';
import type { CommittedState } from '#agent/store/committed-state.js';
import type { LocalHolds } from '#agent/store/local-holds.js';
import type { Committed } from '#agent/store/state-documents.js';
import type { Telemetry } from '#agent/telemetry/telemetry.js';
import { agentVersion } from '#agent/version.js';

export interface ViewParts {
  readonly identity: Identity;
  readonly trust: () => TrustReport;
  readonly bootId: number;
  readonly clock: Clock;
  readonly state: DeviceState;
  readonly versions: KnownVersions;
  readonly committed: CommittedState;
  readonly holds: LocalHolds;
  readonly serving: Serving;
  readonly reconciler: Reconciler;
  readonly telemetry: Telemetry;
  readonly time: TrustedTime;
  readonly calendar: () => Calendar;
  readonly capabilities: () => Capabilities;
  readonly scoring: { readonly address: string; readonly port: number };
  readonly grpc: { readonly address: string; readonly port: number } | undefined;
  readonly link: () => { readonly connected: boolean; readonly problem: string | undefined };
  readonly routing: DeviceRoutes;
}

const keptRefusals = 20;

export class DeviceViews {
  private refusals: Refusal[] = [];
  private commandRefusals: { id: string; at: string; problem: Problem }[] = [];
  private refusalStands = false;

  constructor(private readonly parts: ViewParts) {}

  /** @returns whether this says anything that the last refusal did not */
  refused(refusal: Refusal): boolean {
    const last = this.refusals.at(-1);
    const news = !this.refusalStands || last?.problem.message !== refusal.problem.message;
    if (!news) this.refusals.pop();
    this.refusals = [...this.refusals, refusal].slice(-keptRefusals);
    this.refusalStands = true;
    return news;
  }

  /** What was refused before no longer stands in the report. */
  accepted(): void {
    this.refusalStands = false;
  }

  refusedCommand(id: string, problem: Problem): void {
    const at = toInstant(this.parts.clock.now());
    this.commandRefusals = [...this.commandRefusals, { id, at, problem }].slice(-keptRefusals);
  }

  reported(): ReportedState {
    const { state, versions, committed, holds, serving, capabilities, scoring, clock } = this.parts;
    const { providers } = serving;
    const before = (name: string) => entry(committed.value.modules, name);
    const served = mapRecord(versions.servedNow, ({ image }, name) => {
      const provider = providers.get(name);
      const numbers = before(name)?.desired.image.digest === image.digest ? (before(name)?.numbers ?? {}) : {};
      return {
        digest: askedDigest(image),
        version: image.version,
        ...(provider === undefined ? {} : { provider }),
        numbers,
      };
    });
    return reportedStateOf({
      desired: state.desired,
      observed: state.observed,
      plan: this.plan(),
      offset: clock.now() - clock.monotonic(),
      served,
      committed: mapRecord(committed.value.modules, ({ desired: { image }, numbers }) => ({
        digest: askedDigest(image),
        version: image.version,
        numbers,
      })),
      held: holds.held,
      previous: latestKept(committed.value.kept),
      capabilities: capabilities(),
      refused: this.refusalStands ? this.refusals.at(-1) : undefined,
      scoring,
      trust: this.parts.trust(),
    });
  }

  status(): StatusView {
    const { identity, bootId, state, telemetry, time, grpc, routing } = this.parts;
    const { listening } = routing.brokers;
    const { connected, problem } = this.parts.link();
    const { desired } = state;
    return {
      workspace: identity.workspace,
      device: identity.device,
      agentVersion,
      bootId,
      pid: process.pid,
      link: { connected, ...(problem === undefined ? {} : { problem }) },
      ...(grpc === undefined ? {} : { grpc }),
      ...(desired === undefined
        ? {}
        : {
            desired: {
              generation: desired.generation,
              expiresAt: desired.expiresAt,
              // Expired or not, the device goes on with what it has.
              expired: Date.parse(desired.expiresAt) <= time.now(),
            },
          }),
      ...(listening === undefined ? {} : { mqtt: listening }),
      routes: routing.routes.view(),
      spool: telemetry.sizes(),
      reported: this.reported(),
    };
  }

  explain(): ExplanationView {
    const { state, reconciler, clock } = this.parts;
    return {
      status: this.status(),
      desired: state.desired ?? null,
      observed: state.observed,
      waiting: waitingView(this.plan().waiting, clock.now() - clock.monotonic()),
      refusals: this.refusals,
      refusedCommands: this.commandRefusals,
      plans: plansView(reconciler.recent),
    };
  }

  private plan() {
    const { state, clock } = this.parts;
    return planDevice({
      desired: state.desired,
      observed: state.observed,
      policy: defaultPolicy,
      now: clock.monotonic(),
      calendar: this.parts.calendar(),
    });
  }
}

function mapRecord<A, B>(record: Readonly<Record<string, A>>, map: (value: A, name: string) => B): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, map(value, name)]));
}

function latestKept(kept: Committed['kept']): Record<string, { readonly digest: string; readonly version: number }> {
  return Object.fromEntries(
    Object.entries(kept).flatMap(([name, [latest]]) =>
      latest === undefined
        ? []
        : [[name, { digest: askedDigest(latest.image), version: latest.image.version }] as const],
    ),
  );
}
