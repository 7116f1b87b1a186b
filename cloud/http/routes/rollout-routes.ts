import * as z from 'zod';
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import type { FleetRepository } from '#cloud/fleet/fleet-repository.js';
import { parseQuery } from '#cloud/fleet/query/parse-query.js';
import type { Query } from '#cloud/fleet/query/query-ast.js';
import type { ReleaseRepository } from '#cloud/fleet/release-repository.js';
import type { Order } from '#cloud/rollout/apply.js';
import type { RolloutController } from '#cloud/rollout/controller.js';
import { CostlyAnswers } from '#cloud/rollout/costly-answers.js';
import type { GateVerdict } from '#cloud/rollout/gates/gate-model.js';
import type { GateRepository, StoredVerdict } from '#cloud/rollout/gates/gate-repository.js';
import { isAccepted } from '#cloud/rollout/gates/gate-step.js';
import type { GateWatch } from '#cloud/rollout/gates/gate-watch.js';
import type { RolloutDevices, WaveCount } from '#cloud/rollout/rollout-devices.js';
import type { RolloutDrafts } from '#cloud/rollout/rollout-drafts.js';
import type { RolloutOffice } from '#cloud/rollout/rollout-office.js';
import type { RolloutAddress, RolloutRepository, StoredRollout } from '#cloud/rollout/rollout-repository.js';
import { isShadowing } from '#cloud/rollout/shadow/shadow-step.js';
import type { Routes } from '../app.js';
import { pageOf, pageQuery, workspaceParams } from '../schemas/common.js';
import {
  historyBody,
  type RolloutBody,
  rolloutBody,
  type RolloutGates,
  rolloutGates,
  rolloutOrder,
  rolloutPlan,
  rolloutPlanned,
  rolloutStart,
  type RolloutWaits,
  rolloutWaits,
} from '../schemas/rollouts.js';

export interface RolloutRouteDeps {
  readonly rollouts: RolloutRepository;
  readonly devices: RolloutDevices;
  readonly office: RolloutOffice;
  readonly drafts: RolloutDrafts;
  readonly controller: RolloutController;
  readonly gates: GateRepository;
  readonly watch: Pick<GateWatch, 'shown'>;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly releases: ReleaseRepository;
  readonly fleets: FleetRepository;
  /** Devices that match. */
  readonly found: (workspace: string, query: Query) => Promise<{ readonly name: string }[]>;
}

const all = '/v1/workspaces/:workspace/rollouts';
const path = `${all}/:rollout` as const;
const params = z.object({
  workspace: nameSchema,
  rollout: z.coerce
    .number()
    .int()
    .min(1)
    .max(2 ** 31),
});
const tags = ['rollouts'];
const shownWaits = 1000;
const shownTroubled = 100;

export function rolloutRoutes(deps: RolloutRouteDeps): Routes {
  const { rollouts, devices, office, drafts, controller, gates, watch, releases, fleets } = deps;
  const waits = new CostlyAnswers<RolloutWaits>(deps.clock);
  const addressOf = ({ workspace, rollout }: z.output<typeof params>): RolloutAddress => ({
    workspace,
    number: rollout,
  });
  const bodyOf = async (stored: StoredRollout): Promise<RolloutBody> => toBody(stored, await devices.counts([stored]));
  const orderOf = async (address: RolloutAddress, body: z.output<typeof rolloutOrder>): Promise<Order> => {
    if (body.order === 'abort') return { kind: 'abort', running: body.running };
    if (body.order === 'resume') return { kind: 'resume', ignoreFreeze: body.ignoreFreeze };
    if (body.order !== 'rollback') return { kind: body.order };
    const { devices: named = [], where } = body;
    if (where === undefined) return { kind: 'rollback', devices: named.length === 0 ? undefined : named };
    const query = parseQuery(where);
    const touched = new Set(await devices.touched(await rollouts.require(address)));
    const matching = (await deps.found(address.workspace, query)).map(({ name }) => name);
    const led = [...named, ...matching.filter((name) => touched.has(name))];
    if (led.length > 0) return { kind: 'rollback', devices: led };
    throw new AppError('request.invalid', `the query finds no device that rollout ${String(address.number)} has asked`);
  };
  const saidNow = async (stored: StoredRollout): Promise<readonly GateVerdict[]> => {
    if (stored.rollout.state !== 'running') return [];
    // What shadows say is of devices that have to be looked at; gates say it without.
    const said = isShadowing(stored) ? (await controller.look(stored)).gates : await watch.shown(stored);
    return said ?? [];
  };
  return (app) => {
    // A body, hence a POST, hence nothing for readers: none of theirs changes anything.
    app.post(
      `/v1/workspaces/:workspace/rollout-plan`,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'What a rollout would do if it started now; nothing is changed',
          params: workspaceParams,
          body: rolloutPlan,
          response: { 200: rolloutPlanned },
        },
      },
      async (request) => {
        const { release, fleet, policy } = request.body;
        const { workspace } = request.params;
        await releases.require(workspace, release);
        return drafts.describe(workspace, release, await fleets.require(workspace, fleet), policy);
      },
    );

    app.post(
      all,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Start a rollout of a release over a fleet',
          params: workspaceParams,
          body: rolloutStart,
          response: { 201: rolloutBody },
        },
      },
      async (request, reply) => {
        const { workspace } = request.params;
        const { release, fleet: name, policy, supersede, ignoreFreeze } = request.body;
        await releases.require(workspace, release);
        const fleet = await fleets.require(workspace, name);
        const by = request.principal?.name ?? '';
        const stored = await office.start(workspace, { release, fleet, policy, supersede, ignoreFreeze, by });
        request.audited = { rollout: stored.number, release, fleet: name, supersede, ignoreFreeze };
        return reply.code(201).send(await bodyOf(stored));
      },
    );

    app.get(
      all,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'Rollouts, newest first',
          params: workspaceParams,
          querystring: pageQuery,
          response: { 200: pageOf(rolloutBody) },
        },
      },
      async (request) => {
        const page = await rollouts.list(request.params.workspace, request.query);
        const counts = await devices.counts(page.items);
        const items = page.items.map((stored) =>
          toBody(
            stored,
            counts.filter(({ number }) => number === stored.number),
          ),
        );
        return { ...page, items };
      },
    );

    app.get(
      path,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'One rollout, with how many devices stand how',
          params,
          response: { 200: rolloutBody },
        },
      },
      async (request) => bodyOf(await rollouts.require(addressOf(request.params))),
    );

    app.get(
      `${path}/waits`,
      {
        config: { role: 'reader' },
        schema: { tags, summary: 'What each waiting device waits for', params, response: { 200: rolloutWaits } },
      },
      async (request) => {
        const stored = await rollouts.require(addressOf(request.params));
        // An order, or another wave, is another question.
        const key = JSON.stringify([stored.workspace, stored.number, stored.rollout]);
        return waits.of(key, async () => toWaits(await controller.look(stored)));
      },
    );

    app.get(
      `${path}/gates`,
      {
        config: { role: 'reader' },
        schema: { tags, summary: 'What quality gates say, with the numbers', params, response: { 200: rolloutGates } },
      },
      async (request) => {
        const stored = await rollouts.require(addressOf(request.params));
        return toGates(stored, await gates.list(stored), await saidNow(stored));
      },
    );

    app.get(
      `${path}/history`,
      {
        config: { role: 'reader' },
        schema: {
          tags,
          summary: 'What has happened, newest first',
          params,
          querystring: pageQuery,
          response: { 200: pageOf(historyBody) },
        },
      },
      async (request) => rollouts.history(await rollouts.require(addressOf(request.params)), request.query),
    );

    app.post(
      `${path}/orders`,
      {
        config: { role: 'contributor' },
        schema: {
          tags,
          summary: 'Pause, resume, approve, abort or roll back',
          params,
          body: rolloutOrder,
          response: { 200: rolloutBody },
        },
      },
      async (request) => {
        const { body } = request;
        const order = await orderOf(addressOf(request.params), body);
        request.audited = { rollout: request.params.rollout, ...auditOf(order) };
        return bodyOf(await office.order(addressOf(request.params), order, request.principal?.name ?? ''));
      },
    );
  };
}

/** Devices as far as a line of the audit log has room. */
function auditOf(order: Order): Record<string, string | boolean> {
  if (order.kind !== 'rollback') return { ...order };
  return {
    kind: order.kind,
    ...(order.devices === undefined ? {} : { devices: order.devices.join(' ').slice(0, 1024) }),
  };
}

function toBody(stored: StoredRollout, counts: readonly WaveCount[]): RolloutBody {
  const { number, release, fleet, policy, createdAt, createdBy, updatedAt, endedAt, rollout } = stored;
  const { state, ending, reason, wave, waves } = rollout;
  return {
    ...{ number, release, fleet, state, wave: wave + 1, policy, createdAt, createdBy, updatedAt },
    ...(state === 'ending' && ending ? { endsAs: ending.as } : {}),
    ...(reason ? { reason } : {}),
    waves: Array.from({ length: waves }, (_, index) => ({
      wave: index + 1,
      standings: Object.fromEntries(
        counts.filter((one) => one.wave === index).map(({ standing, count }) => [standing, count]),
      ),
    })),
    ...(endedAt === undefined ? {} : { endedAt }),
  };
}

function toGates(
  { rollout }: StoredRollout,
  stored: readonly StoredVerdict[],
  now: readonly GateVerdict[],
): RolloutGates {
  const decided = now.length === 0 ? stored : stored.filter(({ wave }) => wave !== rollout.wave);
  const said = [...decided, ...now.map((verdict) => ({ ...verdict, wave: rollout.wave, at: undefined }))];
  return {
    items: said.map(({ wave, ...verdict }) => ({
      ...verdict,
      ...{ wave: wave + 1, accepted: wave === rollout.wave && isAccepted(verdict.gate, rollout) },
    })),
  };
}

function toWaits({ plan, devices }: Awaited<ReturnType<RolloutController['look']>>): RolloutWaits {
  const counts: Partial<Record<RolloutWaits['items'][number]['kind'], number>> = {};
  for (const { kind } of plan.waiting) counts[kind] = (counts[kind] ?? 0) + 1;
  const byName = (a: { device: string }, b: { device: string }): number => (a.device < b.device ? -1 : 1);
  return {
    counts,
    items: [...plan.waiting]
      .sort(byName)
      .slice(0, shownWaits)
      .map(({ until, detail, ...wait }) => ({
        ...wait,
        ...(until === undefined || !Number.isFinite(until) ? {} : { until: toInstant(until) }),
        ...(detail === undefined ? {} : { detail }),
      })),
    troubled: devices
      .flatMap(({ device, standing, reason }) => (reason === undefined ? [] : [{ device, standing, ...reason }]))
      .sort(byName)
      .slice(0, shownTroubled),
  };
}
