/** A device as the API shows it. */
import { tagsSchema } from '#shared/protocol/primitives.js';
import { reportedStateSchema } from '#shared/protocol/reported.js';
import type { DesiredBody, DeviceBody } from '#cloud/http/schemas/devices.js';
import type { DeployedModule } from './desired-document.js';
import type { DeviceRow } from './device-repository.js';

export function deviceBodyOf(device: DeviceRow, modules: readonly DeployedModule[]): DeviceBody {
  return {
    name: device.name,
    workspace: device.workspace,
    tags: tagsSchema.parse(JSON.parse(device.tagsJson)),
    enrolledAt: device.enrolledAt,
    ...(device.retiredAt === null ? {} : { retiredAt: device.retiredAt }),
    online: device.online === 1,
    ...lastSeen(device),
    desired: {
      generation: device.desiredGeneration,
      ...(device.desiredRelease === '' ? {} : { release: device.desiredRelease }),
      modules: Object.fromEntries(
        modules.map(({ module, image, settings, shadow, collect }) => [
          module,
          {
            ...{ ...imageIn(image), settings, ...(collect && { collect }) },
            ...(shadow && { shadow: { ...imageIn(shadow.image), ...shadow.rule } }),
          },
        ]),
      ),
    },
    reported: reportedStateSchema.parse(JSON.parse(device.reportedJson)),
    ...(device.reportedAt === null ? {} : { reportedAt: device.reportedAt }),
  };
}

function imageIn({ name, version, digest }: DeployedModule['image']): Pick<DesiredBody, 'name' | 'version' | 'digest'> {
  return { name, version, digest };
}

/** The later of its last presence and its last report. */
function lastSeen({ presenceAt, reportedAt }: DeviceRow): { lastSeenAt?: string } {
  const seen = [presenceAt, reportedAt].filter((at) => at !== null).sort();
  const last = seen.at(-1);
  return last === undefined ? {} : { lastSeenAt: last };
}
