import type { ActivityBody } from '#cloud/http/schemas/activities.js';
import type { StoredActivity } from '#cloud/store/activity-repository.js';

export function toActivityBody(activity: StoredActivity): ActivityBody {
  return {
    id: activity.id,
    workspace: activity.workspace,
    kind: activity.kind,
    state: activity.state,
    subject: activity.subject,
    createdAt: activity.createdAt,
    ...(activity.startedAt === null ? {} : { startedAt: activity.startedAt }),
    ...(activity.endedAt === null ? {} : { endedAt: activity.endedAt }),
    ...(activity.resource === null ? {} : { resource: activity.resource }),
    ...(activity.problemJson === null
      ? {}
      : { problem: JSON.parse(activity.problemJson) as NonNullable<ActivityBody['problem']> }),
  };
}
