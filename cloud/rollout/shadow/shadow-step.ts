/**
 * The shadow phase of a rollout: before any device switches, those of the first wave that has any run the release
 * beside what answers. It ends when the shadows have agreed, or when a person goes on although they have not. Pure.
 */
import { isAccepted } from '../gates/gate-step.js';
import { gateCause } from '../holds.js';
import type { GateVerdict } from '../gates/gate-model.js';
import { describeVerdict } from '../gates/gate-words.js';
import type { RolloutPolicy } from '../policy.js';
import type { Hold, Rollout, RolloutDevice, Transition } from '../rollout-model.js';
import { stopped } from '../thresholds.js';
import { shadowGate } from './shadow-verdicts.js';

export interface ShadowContext {
  readonly rollout: Rollout;
  readonly policy: Pick<RolloutPolicy, 'shadow' | 'onFailure' | 'failure'>;
  /** What shadows say so far; absent: nobody looked. */
  readonly shadows?: readonly GateVerdict[] | undefined;
  readonly now: number;
}

/** No device switches meanwhile. */
export function isShadowing({ rollout, policy }: Pick<ShadowContext, 'rollout' | 'policy'>): boolean {
  return policy.shadow !== undefined && rollout.shadowedAt === undefined;
}

/** A shadow says that the release is worse, or was refused on too many devices. */
export function failedShadow(devices: readonly RolloutDevice[], context: ShadowContext): Transition | undefined {
  const { rollout, policy, shadows = [] } = context;
  if (!isShadowing(context) || isAccepted(shadowGate, rollout)) return undefined;
  const failed = shadows.find(({ verdict }) => verdict === 'fail');
  const text = failed === undefined ? refusedText(devices, policy) : describeVerdict(failed);
  if (text === undefined) return undefined;
  return stopped(policy, { code: 'gate', text: `${text}; no device has switched`, gates: [shadowGate] });
}

/** Devices that are to begin, in the order of the rollout. */
export function toShadow(devices: readonly RolloutDevice[], context: ShadowContext): string[] {
  if (!isShadowing(context) || isAccepted(shadowGate, context.rollout)) return [];
  return taking(devices, context.rollout)
    .filter(({ shadow, online, frozen }) => online && !frozen && shadow?.can === 'yes' && shadow.askedAt === undefined)
    .map(({ device }) => device);
}

/** On to the first switch; undefined while {@link openShadow} says what that waits for. */
export function afterShadow(devices: readonly RolloutDevice[], context: ShadowContext): Transition | undefined {
  if (isAccepted(shadowGate, context.rollout)) {
    return { kind: 'shadowed', text: 'a person goes on although the shadow did not agree' };
  }
  if (openShadow(devices, context) !== undefined) return undefined;
  return { kind: 'shadowed', text: (context.shadows ?? []).map((one) => describeVerdict(one)).join('; ') };
}

export interface OpenShadow {
  readonly text: string;
  /** When its time is over, where that is what it waits for. */
  readonly until?: number | undefined;
}

/** What the phase lacks; undefined when it is over. */
export function openShadow(devices: readonly RolloutDevice[], context: ShadowContext): OpenShadow | undefined {
  const { rollout, policy, shadows = [], now } = context;
  const asked = devices.flatMap(({ shadow }) => shadow?.askedAt ?? []);
  if (asked.length === 0) return { text: lackOf(taking(devices, rollout)) };
  const open = shadows.find(({ verdict }) => verdict !== 'pass');
  if (open !== undefined) return { text: describeVerdict(open) };
  if (shadows.length === 0) return { text: 'nothing was told by a shadow yet' };
  const until = Math.min(...asked) + (policy.shadow?.seconds ?? 0) * 1000;
  return now < until ? { text: 'the shadow is watched for a while', until } : undefined;
}

/** What it lacks although its time is over, or because none of its devices can; else there is nothing to tell yet. */
export function shadowHolds(devices: readonly RolloutDevice[], context: ShadowContext): Hold[] {
  const { rollout, policy, now } = context;
  const open = openShadow(devices, context);
  if (open === undefined || open.until !== undefined) return [];
  const asked = devices.flatMap(({ shadow }) => shadow?.askedAt ?? []);
  const own = taking(devices, rollout);
  const none = own.every(({ shadow, frozen }) => shadow !== undefined && shadow.can !== 'yes' && !frozen);
  const isOver = asked.length === 0 ? none : now >= Math.min(...asked) + (policy.shadow?.seconds ?? 0) * 1000;
  return isOver ? [{ cause: gateCause(shadowGate), text: `before the first switch: ${open.text}` }] : [];
}

/** Those whose turn it is. */
function taking(devices: readonly RolloutDevice[], rollout: Rollout): RolloutDevice[] {
  return devices.filter(({ standing, wave, touched }) => standing === 'queued' && wave <= rollout.wave && !touched);
}

function lackOf(devices: readonly RolloutDevice[]): string {
  const old = devices.filter(({ shadow }) => shadow?.can === 'agent').map(({ device }) => device);
  const others = devices.filter(({ shadow }) => shadow?.can === 'nothing').map(({ device }) => device);
  if (devices.some(({ frozen }) => frozen !== undefined)) return 'a freeze holds the devices';
  if (devices.some(({ shadow }) => shadow?.can === 'yes')) return 'no device that could shadow is online';
  const parts = [
    ...(old.length === 0 ? [] : [`the agents of ${shown(old)} do not know shadows: upgrade them`]),
    ...(others.length === 0 ? [] : [`${shown(others)} had no other version to compare with`]),
  ];
  return parts.length === 0 ? 'no device of the wave could shadow' : parts.join('; ');
}

/** As many refusals as the policy lets fail. */
function refusedText(
  devices: readonly RolloutDevice[],
  { failure }: Pick<RolloutPolicy, 'failure'>,
): string | undefined {
  const asked = devices.filter(({ shadow }) => shadow?.askedAt !== undefined);
  const refused = asked.filter(({ shadow }) => shadow?.rejected !== undefined);
  const [first] = refused;
  if (first === undefined || refused.length * 100 <= failure.maxPercent * asked.length) return undefined;
  const many = `${String(refused.length)} of ${String(asked.length)} devices refused the shadow`;
  return `${many}; ${first.device}: ${first.shadow?.rejected ?? ''}`;
}

function shown(names: readonly string[]): string {
  return names.slice(0, 5).join(', ') + (names.length > 5 ? ` and ${String(names.length - 5)} more` : '');
}
