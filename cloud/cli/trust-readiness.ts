/** Pure: where devices and images stand with the newest trust document, and who would be left behind. */
import { keyIdOf } from '#shared/package/signing-key.js';
import type { TrustDocument } from '#shared/protocol/trust.js';
import type { DeviceBody } from '#cloud/http/schemas/devices.js';
import type { ImageBody } from '#cloud/http/schemas/images.js';

export interface DeviceReadiness {
  readonly device: string;
  readonly online: boolean;
  readonly version: number;
  /** Behind: it takes the newest when it next connects. Ahead: this control plane lost versions that it had. */
  readonly state: 'ready' | 'behind' | 'ahead' | 'refuses';
  readonly problem?: string;
  /** Modules that answer although nobody who counts has signed them. */
  readonly unsigned: readonly string[];
}

export interface TrustReadiness {
  readonly newest: number;
  readonly devices: readonly DeviceReadiness[];
  /** Deployed images by the publishers on whom each depends alone. */
  readonly images: readonly {
    readonly image: string;
    readonly digest: string;
    readonly devices: readonly string[];
    /** Of the publishers that count now, those who signed it, as key ids. */
    readonly signedBy: readonly string[];
  }[];
}

export function trustReadiness(
  newest: TrustDocument | undefined,
  devices: readonly DeviceBody[],
  images: readonly ImageBody[],
): TrustReadiness {
  const version = newest?.version ?? 0;
  const present = devices.filter(({ retiredAt }) => retiredAt === undefined);
  const counting = (newest?.publishers ?? []).map(keyIdOf);
  const deployed = images.flatMap((image) => {
    const on = present
      .filter(({ desired }) => Object.values(desired.modules).some(({ digest }) => digest === image.digest))
      .map(({ name }) => name);
    if (on.length === 0) return [];
    const { keyIds } = image.signature;
    const signedBy = newest === undefined ? keyIds : keyIds.filter((id) => counting.includes(id));
    return [{ image: `${image.name}:${String(image.version)}`, digest: image.digest, devices: on, signedBy }];
  });
  return { newest: version, devices: present.map((device) => deviceReadiness(device, version)), images: deployed };
}

function deviceReadiness({ name, online, reported }: DeviceBody, newest: number): DeviceReadiness {
  const { version = 0, problem, unsigned = [] } = reported.trust ?? {};
  const state =
    version > newest ? 'ahead' : version === newest ? 'ready' : problem === undefined ? 'behind' : 'refuses';
  return {
    device: name,
    online,
    version,
    state,
    unsigned,
    ...(problem === undefined ? {} : { problem: `${problem.code}: ${problem.message}` }),
  };
}

/** What is lost when these publishers no longer count: why a person should wait, in lines for them. */
export function lossesOf(readiness: TrustReadiness, withdrawn: readonly string[]): string[] {
  const ids = withdrawn.map(keyIdOf);
  const images = readiness.images
    .filter(({ signedBy }) => signedBy.every((id) => ids.includes(id)))
    .map(
      ({ image, devices }) =>
        `${image} is signed by nobody else, and deployed to ${devices.join(', ')}: flotilla image sign ${image} --from <folder>`,
    );
  const devices = readiness.devices
    .filter(({ state }) => state !== 'ready')
    .map(({ device, version, online }) => {
      const where = `${device} goes by version ${String(version)}, not ${String(readiness.newest)}`;
      return online ? where : `${where}, and is offline: it walks through every version when it comes back`;
    });
  return [...images, ...devices];
}
