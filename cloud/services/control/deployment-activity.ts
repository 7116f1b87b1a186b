/**
 * The activities `deployment.create`, `.update`, `.scale` and `.delete`. The change itself was written with the activity;
 * this follows it until the service host has done it, or says why it cannot. Begun anew, it comes to the same end.
 */
import * as z from 'zod';
import type { Clock } from '#shared/kernel/clock.js';
import { AppError, isErrorCode, messageOf } from '#shared/kernel/errors.js';
import { redactSecrets } from '#shared/kernel/redact-secrets.js';
import { counterSchema } from '#shared/protocol/primitives.js';
import type { ActivityContext, ActivityKind } from '#cloud/activities/activity-runner.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { ServiceHostPort } from '../services-status.js';
import { judgeProgress, type Progress } from './deployment-progress.js';

export const deploymentKinds = {
  create: 'deployment.create',
  update: 'deployment.update',
  scale: 'deployment.scale',
  delete: 'deployment.delete',
} as const;

const followedSchema = z.object({
  /** The endpoint's id. */
  endpoint: z.string(),
  endpointName: z.string(),
  deployment: z.string(),
  revision: counterSchema,
  /** Of the document that carries the change. */
  generation: counterSchema,
  goal: z.enum(['healthy', 'gone']),
});
export type Followed = z.infer<typeof followedSchema>;

export interface DeploymentActivityDeps {
  readonly db: Database;
  /** The service host that runs, if one does. */
  readonly host: () => Promise<Pick<ServiceHostPort, 'status' | 'logs'> | undefined>;
  readonly clock: Clock;
}

const lookEveryMs = 500;
/** A service host that starts replicas says long before that it cannot. */
const longestMs = 3_600_000;
const lastLines = 20;

export function deploymentActivities(deps: DeploymentActivityDeps): ActivityKind[] {
  return Object.values(deploymentKinds).map((kind) => ({
    kind,
    idempotent: true,
    waits: true,
    run: (input, context) => follow(deps, followedSchema.parse(input), context),
  }));
}

async function follow(deps: DeploymentActivityDeps, wanted: Followed, context: ActivityContext): Promise<string> {
  const { clock } = deps;
  const until = clock.monotonic() + longestMs;
  let told = '';
  for (;;) {
    context.signal.throwIfAborted();
    await requireNewest(deps.db, wanted);
    const progress = await look(deps, wanted);
    if (progress.kind === 'failed') throw await failureOf(deps, wanted, progress, context);
    if (progress.text !== told) await context.log(progress.text);
    told = progress.text;
    if (progress.kind === 'done') return resourceOf(context.workspace, wanted);
    if (clock.monotonic() > until) {
      throw new AppError('deployment.failed', `nothing came of it in an hour; last: ${progress.text}`);
    }
    await clock.sleep(lookEveryMs, context.signal);
  }
}

async function look({ host }: DeploymentActivityDeps, wanted: Followed): Promise<Progress> {
  try {
    const running = await host();
    if (running !== undefined) return judgeProgress(wanted, await running.status());
    if (wanted.goal === 'gone') return { kind: 'done', text: 'it is gone: no service host runs' };
    return { kind: 'waiting', text: 'no service host runs yet' };
  } catch (error) {
    if (error instanceof AppError && error.traits.retry === 'later') {
      return { kind: 'waiting', text: `the service host does not answer: ${messageOf(error)}` };
    }
    throw error;
  }
}

/** A later change has taken the place of this one: what becomes of it is the later activity's to say. */
async function requireNewest(db: Database, { endpoint, deployment, revision, goal }: Followed): Promise<void> {
  const row = await db
    .selectFrom('deployments')
    .select(['revision', 'removedGeneration'])
    .where('endpoint', '=', endpoint)
    .where('name', '=', deployment)
    .orderBy('revision', 'desc')
    .executeTakeFirst();
  if (row?.revision === revision && (row.removedGeneration === null) === (goal === 'healthy')) return;
  throw new AppError('deployment.overtaken', `a later change of ${deployment} took the place of this one`);
}

async function failureOf(
  { host }: DeploymentActivityDeps,
  wanted: Followed,
  { code, message }: { readonly code: string; readonly message: string },
  context: ActivityContext,
): Promise<AppError> {
  const running = await host();
  const lines = (await running?.logs(wanted.endpoint, wanted.deployment, lastLines).catch(() => [])) ?? [];
  if (lines.length > 0) await context.log('its last lines:');
  for (const line of lines) await context.log(`  ${redactSecrets(line)}`);
  return new AppError(
    isErrorCode(code) ? code : 'deployment.failed',
    `${wanted.deployment} does not start: ${message}`,
    {
      details: { revision: wanted.revision, code },
    },
  );
}

function resourceOf(workspace: string, { endpointName, deployment, goal }: Followed): string {
  const endpoint = `/v1/workspaces/${workspace}/endpoints/${endpointName}`;
  return goal === 'gone' ? endpoint : `${endpoint}/deployments/${deployment}`;
}
