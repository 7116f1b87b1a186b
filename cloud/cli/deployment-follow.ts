/** Waits for a change of a deployment, and says how it ended. */
import { routes } from '#cloud/client/routes.js';
import type { ActivityBody } from '#cloud/http/schemas/activities.js';
import { followActivity } from './activity-follow.js';
import type { Session } from './session.js';

export interface DeploymentEnd {
  readonly endpoint: string;
  readonly deployment: string;
  /** When it is ready, it answers everything. */
  readonly allTraffic: boolean;
  readonly wait: boolean;
}

/** @throws AppError with what it failed with */
export async function endsDeployment(session: Session, started: ActivityBody, end: DeploymentEnd): Promise<void> {
  const { client, out, progress } = session;
  const { endpoint, deployment, allTraffic, wait } = end;
  const subject = `${endpoint}/${deployment}`;
  if (!wait) {
    out.result(started, () => `${started.kind} of ${subject} is under way: flotilla activity show ${started.id}`);
    if (allTraffic) out.note(`when it is ready: flotilla endpoint traffic ${endpoint} ${deployment}=100`);
    return;
  }
  progress.line(`${started.kind} of ${subject}`);
  const ended = await followActivity(session, started);
  if (allTraffic && ended.state === 'succeeded') {
    const body = { traffic: { [deployment]: 100 } };
    await client.call(routes.endpointTraffic, { params: { endpoint }, body });
  }
  out.result(ended, () => textOf(ended, subject, allTraffic));
}

function textOf({ kind, state }: ActivityBody, subject: string, allTraffic: boolean): string {
  if (state !== 'succeeded') return `${kind} of ${subject} goes on`;
  if (kind === 'deployment.delete') return `${subject} is gone`;
  return allTraffic ? `${subject} is ready, and answers every request` : `${subject} is ready`;
}
