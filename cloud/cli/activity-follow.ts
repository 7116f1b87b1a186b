/** Waits for an activity, its log lines as they come. */
import { AppError, isErrorCode } from '#shared/kernel/errors.js';
import { unreachable } from '#shared/kernel/result.js';
import type { ActivityBody } from '#cloud/http/schemas/activities.js';
import { routes } from '#cloud/client/routes.js';
import { followActivityLog } from './activity-log.js';
import { waitInterruptibly } from './interruption.js';
import type { Session } from './session.js';

const firstWaitMs = 50;
const longestWaitMs = 1000;

/** @throws AppError with the activity's own code when it failed or was cancelled */
export async function followActivity(session: Session, started: ActivityBody): Promise<ActivityBody> {
  const { io, client, progress } = session;
  const params = { id: started.id };
  const goesOn = `${started.kind} of ${started.subject} goes on; flotilla activity show ${started.id}`;
  return waitInterruptibly(io, goesOn, async () => {
    const freshLines = followActivityLog(client, started.id);
    let waitMs = firstWaitMs;
    for (;;) {
      const activity = await client.call(routes.activityGet, { params });
      // After the state, so that the last lines of an ended activity are in.
      for (const line of await freshLines()) progress.line(`  ${line.text}`);
      const ended = endOf(activity);
      if (ended) return ended;
      await io.clock.sleep(waitMs, io.signal);
      if (io.signal.aborted) return activity;
      waitMs = Math.min(longestWaitMs, waitMs * 2);
    }
  });
}

/** The activity when it succeeded, undefined while it goes on. */
function endOf(activity: ActivityBody): ActivityBody | undefined {
  switch (activity.state) {
    case 'not-started':
    case 'running':
      return undefined;
    case 'succeeded':
      return activity;
    case 'failed':
      throw failureOf(activity);
    case 'cancelled':
      throw new AppError('activity.cancelled', `${activity.kind} of ${activity.subject} was cancelled`);
    default:
      return unreachable(activity.state);
  }
}

function failureOf(activity: ActivityBody): AppError {
  const { code, message, details } = activity.problem ?? { code: 'activity.failed', message: 'no reason was given' };
  return new AppError(isErrorCode(code) ? code : 'activity.failed', message, {
    details: { ...details, activity: activity.id },
  });
}

/** The last part of the URL path of what an activity made: a version. */
export function versionMade(activity: ActivityBody): string | undefined {
  const last = activity.resource?.split('/').at(-1);
  return last === undefined ? undefined : decodeURIComponent(last);
}
