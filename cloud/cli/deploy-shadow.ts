/** `flotilla deploy --shadow`: a version gets copies of what a module is asked, and answers nobody. */
import { AppError, isErrorCode } from '#shared/kernel/errors.js';
import { formatReference } from '#shared/kernel/names.js';
import { routes } from '#cloud/client/routes.js';
import type { DeviceBody } from '#cloud/http/schemas/devices.js';
import { parseComparison } from './comparison-argument.js';
import type { JsonSettings } from './deploy-settings.js';
import { watchDevice } from './device-watch.js';
import { waitInterruptibly } from './interruption.js';
import type { Session } from './session.js';

export interface ShadowFlags {
  readonly shadow: boolean;
  readonly percent?: string;
  readonly compare?: string;
}

export interface ShadowDeployment {
  readonly reference: string;
  readonly device: string;
  /** Absent: the module has the image's name. */
  readonly as: string | undefined;
  readonly settings: JsonSettings;
  readonly rule: ReturnType<typeof readShadowRule>;
  readonly wait: boolean;
  readonly timeoutMs: number;
}

/** @throws AppError `request.invalid`, naming the flag */
export function readShadowRule({ shadow, percent, compare }: ShadowFlags) {
  if (!shadow && (percent !== undefined || compare !== undefined))
    throw new AppError('request.invalid', `--${percent === undefined ? 'compare' : 'percent'} goes with --shadow`);
  return {
    ...(percent === undefined ? {} : { percent: percentOf(percent) }),
    ...(compare === undefined ? {} : { compare: parseComparison(compare) }),
  };
}

const ofModules = ['route', 'routes', 'restart', 'probation', 'watch', 'atomic', 'keep', 'deferAtMost'];

/** @throws AppError `request.invalid` for a flag that says how a version takes over: a shadow never does */
export function refuseBesideShadow(isGiven: (flag: string) => boolean): void {
  const given = ofModules.find(isGiven);
  if (given === undefined) return;
  const flag = given.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new AppError('request.invalid', `--${flag} says how a version answers: a shadow never does; leave it out`);
}

function percentOf(text: string): number {
  const percent = Number(text);
  if (text.trim() !== '' && percent > 0 && percent <= 100) return percent;
  throw new AppError('request.invalid', `--percent: "${text}" is no share: give a number above 0, 100 at most`);
}

export async function deployShadow(session: Session, deployment: ShadowDeployment): Promise<void> {
  const { client, out, progress } = session;
  const { device, settings, rule, wait, timeoutMs } = deployment;
  const image = await client.call(routes.imageGet, { params: { reference: deployment.reference } });
  const module = deployment.as ?? image.name;
  const body = { image: image.digest, settings, ...rule };
  const { generation } = await client.call(routes.shadowPut, { params: { device, module }, body });
  const name = formatReference(image);
  const answer = { device, module, image: name, digest: image.digest, generation, shadow: true };
  if (!wait) {
    out.result({ ...answer, done: false }, () => `${name} is to shadow ${module} on ${device}`);
    return;
  }
  progress.line(`${name} beside ${module} on ${device}, generation ${String(generation)}`);
  await followShadow(session, { device, module, digest: image.digest, generation }, timeoutMs);
  out.result(
    { ...answer, done: true },
    () =>
      `${name} shadows ${module} on ${device}, and answers nobody; flotilla device modules ${device} says how they compare`,
  );
}

interface Target {
  readonly device: string;
  readonly module: string;
  readonly digest: string;
  readonly generation: number;
}

async function followShadow(session: Session, target: Target, timeoutMs: number): Promise<void> {
  const { io, client, progress } = session;
  const goesOn = `the shadow stays desired; flotilla undeploy ${target.module} --device ${target.device} --shadow ends it`;
  const deadline = io.clock.monotonic() + timeoutMs;
  const watch = watchDevice(client, io.clock, target.device);
  try {
    await waitInterruptibly(io, goesOn, async () => {
      for (;;) {
        const changed = watch.nextChange();
        const state = judgeShadow(await client.call(routes.deviceGet, { params: { device: target.device } }), target);
        if (state === 'running') return;
        progress.update(`${target.module} on ${target.device}: the shadow is ${state}`, state);
        const leftMs = deadline - io.clock.monotonic();
        if (leftMs <= 0) throw new AppError('device.timeout', `the shadow does not run in time (${state}); ${goesOn}`);
        await changed(leftMs, io.signal);
        if (io.signal.aborted) return;
      }
    });
  } finally {
    await watch.close();
    progress.clear();
  }
}

/** @returns how far it is @throws AppError why it will not run */
export function judgeShadow({ name, desired, reported }: DeviceBody, target: Target): string {
  const { module, digest, generation } = target;
  if (desired.generation > generation && desired.modules[module]?.shadow?.digest !== digest) {
    throw new AppError('desired.conflict', `someone changed ${module} on ${name} meanwhile`);
  }
  const { refused } = reported;
  if (refused && refused.generation !== undefined && refused.generation >= generation) {
    throw new AppError(
      isErrorCode(refused.problem.code) ? refused.problem.code : 'desired.invalid',
      refused.problem.message,
    );
  }
  if (reported.generation < generation) return 'not heard of yet';
  const shadow = reported.modules[module]?.shadow;
  if (shadow === undefined || shadow.digest !== digest) return 'being prepared';
  if (shadow.state !== 'rejected' && shadow.state !== 'failed') return shadow.state;
  const code = shadow.reason?.code ?? '';
  const again = shadow.state === 'failed' ? '; the device tries again by itself' : '';
  throw new AppError(
    isErrorCode(code) ? code : 'shadow.failed',
    `the shadow of ${module} was ${shadow.state} on ${name}: ${shadow.reason?.message ?? 'it did not say why'}${again}`,
  );
}
