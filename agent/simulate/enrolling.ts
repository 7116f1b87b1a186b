/** Identities for simulated devices: those that are kept, and by the token for all others, a few at a time. */
import type { Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { type EnrolmentToken, parseEnrolmentToken } from '#shared/protocol/enrolment.js';
import { type SimulationOrder, simulatedName } from '#shared/protocol/simulation.js';
import { makeDeviceKeys } from '#agent/identity/device-keys.js';
import { gatewayAt } from '#agent/identity/gateway-request.js';
import { askForIdentity, type GivenIdentity } from '#agent/identity/identity-request.js';
import { fetchPinnedAuthority } from '#agent/identity/pinned-authority.js';
import type { IdentityLedger } from './identity-ledger.js';
import { simulatedCapabilities } from './simulated-work.js';

export interface EnrollingPorts {
  readonly clock: Clock;
  readonly ledger: IdentityLedger | undefined;
  /** Of each device the group it is in, for its tags. */
  readonly groupOf: (number: number) => string;
  readonly signal: AbortSignal;
  readonly onIdentity: (number: number, given: GivenIdentity) => void;
  readonly note: (text: string) => void;
}

const noProxy = { proxy: undefined, noProxy: '' };
/** A control plane that does not answer is asked again. */
const attempts = 5;

/** @throws AppError what the control plane said of a device that it did not take */
export async function enrolAll(order: SimulationOrder, ports: EnrollingPorts): Promise<void> {
  const { ledger, signal, onIdentity } = ports;
  const missing: number[] = [];
  for (let number = order.first; number < order.end; number += order.step) {
    const kept = ledger?.find(order.workspace, simulatedName(order.prefix, number));
    if (kept === undefined) missing.push(number);
    else onIdentity(number, kept);
  }
  if (missing.length === 0) return;
  const enrol = await enroller(order, ports);
  let failure: unknown;
  const work = async (): Promise<void> => {
    for (let next = missing.shift(); next !== undefined && !signal.aborted; next = missing.shift()) {
      const given = await enrol(next);
      if (given === undefined) continue;
      await ledger?.keep(given);
      onIdentity(next, given);
    }
  };
  const workers = Array.from({ length: order.enrolAtOnce }, () =>
    work().catch((error: unknown) => {
      failure ??= error;
      missing.length = 0;
    }),
  );
  await Promise.all(workers);
  if (failure !== undefined) throw failure instanceof Error ? failure : new Error('a device was not enrolled');
}

async function enroller(
  order: SimulationOrder,
  { clock, groupOf, note }: EnrollingPorts,
): Promise<(number: number) => Promise<GivenIdentity | undefined>> {
  const token = requireToken(order);
  const server = gatewayAt(new URL(token.url), noProxy);
  // One of them asks for all: whoever is pinned is the same for every device.
  const authority = await fetchPinnedAuthority(server, token.authority);
  return async (number) => {
    const input = {
      ...{ token, server, gateway: token.url, authority, keys: makeDeviceKeys() },
      device: simulatedName(order.prefix, number),
      tags: { ...order.tags, ...(order.behaviourTag === undefined ? {} : { [order.behaviourTag]: groupOf(number) }) },
      capabilities: simulatedCapabilities,
      onWaiting: (what: string) => note(what),
    };
    for (let attempt = 1; ; attempt++) {
      try {
        // The same keys, so that an answer which was lost is given again.
        return await askForIdentity(input, clock);
      } catch (error) {
        if (!(error instanceof AppError)) throw error;
        if (error.code === 'device.exists') {
          // Cut off before its identity was kept, or somebody else's: the others do without it.
          note(`${input.device} is there already, and its identity is not here: it is left out`);
          return undefined;
        }
        if (error.code !== 'server.unreachable' || attempt === attempts) throw error;
        await clock.sleep(1_000 * attempt);
      }
    }
  };
}

function requireToken({ token: text, state }: SimulationOrder): EnrolmentToken {
  if (text === undefined) {
    throw new AppError(
      'enrolment.token-invalid',
      `${state ?? 'the state folder'} lacks devices, and there is no token`,
    );
  }
  const token = parseEnrolmentToken(text);
  if (token.ok) return token.value;
  throw new AppError('enrolment.token-invalid', `this is no enrolment token: ${token.error}`);
}
