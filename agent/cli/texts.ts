/** Status and explanation for people. */
import { sandboxText } from '#shared/protocol/sandbox.js';
import type { ExplanationView, StatusView } from '#agent/local/explanation.js';

export function statusText(status: StatusView): string[] {
  const { reported, link, desired, grpc, access } = status;
  const scoring = reported.scoring === undefined ? '-' : `${reported.scoring.address}:${String(reported.scoring.port)}`;
  return [
    `device      ${status.workspace}/${status.device} (agent ${status.agentVersion}, boot ${String(status.bootId)}, process ${String(status.pid)})`,
    `connection  ${link.connected ? 'connected' : `not connected${link.problem === undefined ? '' : `: ${link.problem}`}`}`,
    `desired     ${desired === undefined ? 'none yet' : `generation ${String(desired.generation)}${desired.expired ? `, expired ${desired.expiresAt}` : ''}`}`,
    `converged   ${reported.converged ? 'yes' : 'no (flotilla-agent explain tells why)'}`,
    `scoring     http://${scoring}${grpc === undefined ? '' : `, gRPC on ${grpc.address}:${String(grpc.port)}`}${accessText(access)}`,
    `spooled     ${Object.entries(status.spool)
      .map(([kind, { batches, bytes }]) => `${kind} ${String(batches)} (${String(bytes)} bytes)`)
      .join(', ')}`,
    `sandbox     ${sandboxText(reported.capabilities?.sandbox)}`,
    ...trustLines(status),
    ...moduleLines(status),
    ...routeLines(status),
  ];
}

function trustLines({ reported: { trust } }: StatusView): string[] {
  if (trust === undefined) return [];
  const { version, problem, unsigned } = trust;
  return [
    `trust       ${version === 0 ? 'as its enrolment token pinned' : `version ${String(version)}`}`,
    ...(problem === undefined ? [] : [`  ${problem.code}: ${problem.message}`]),
    ...(unsigned.length === 0 ? [] : [`  signed by nobody who counts any more: ${unsigned.join(', ')}`]),
  ];
}

function accessText(access: StatusView['access']): string {
  if (access === undefined) return '';
  if (access.mode === 'open') return ', open to whoever reaches it';
  return access.keys === 0
    ? ', closed: there is no key (flotilla-agent keys create)'
    : `, with a key (${String(access.keys)} there are)`;
}

function moduleLines({ reported }: StatusView): string[] {
  const names = Object.keys(reported.modules);
  if (names.length === 0) return ['modules     none'];
  return [
    'modules',
    ...names.flatMap((name) => {
      const module = reported.modules[name];
      const { active, candidate } = module ?? {};
      const reason = active?.reason ?? candidate?.reason;
      return [
        `  ${name}: ${active === undefined ? 'nothing answers' : `version ${String(active.version)} ${active.state}${active.provider === undefined ? '' : ` on ${active.provider}`}`}${
          candidate === undefined ? '' : `; version ${String(candidate.version)} ${candidate.state}`
        }`,
        ...(reason === undefined ? [] : [`    ${reason.code}: ${reason.message}`]),
      ];
    }),
  ];
}

function routeLines({ routes, mqtt }: StatusView): string[] {
  if (routes.length === 0) return [];
  const listener = mqtt === undefined ? '' : ` (local MQTT on ${mqtt.address}:${String(mqtt.port)})`;
  return [
    `routes${listener}`,
    ...routes.flatMap(({ module, route, way, waiting, counts, problem, lastLoss }) => {
      const dropped = Object.entries(counts.dropped).map(([reason, count]) => `${String(count)} ${reason}`);
      const lost = dropped.length === 0 ? '' : `, lost ${dropped.join(', ')}`;
      return [
        `  ${module}.${route}: ${way}; in ${String(counts.in)}, out ${String(counts.out)}, waiting ${String(waiting)}${lost}`,
        ...(problem === undefined ? [] : [`    ${problem}`]),
        ...(lastLoss === undefined ? [] : [`    last lost: ${lastLoss}`]),
      ];
    }),
  ];
}

export function explainText(view: ExplanationView): string[] {
  const waiting = view.waiting.map(({ kind, deadlineAt, ...rest }) => {
    const about = Object.entries(rest).map(
      ([key, value]) => `${key} ${typeof value === 'string' ? value : problemText(value)}`,
    );
    return `  ${kind}${about.length === 0 ? '' : `: ${about.join(', ')}`}${deadlineAt === undefined ? '' : ` (until ${deadlineAt})`}`;
  });
  const plans = view.plans.filter(({ actions, failures }) => actions.length > 0 || failures.length > 0).slice(-10);
  return [
    ...statusText(view.status),
    '',
    waiting.length === 0 ? 'It waits for nothing.' : 'It waits for',
    ...waiting,
    ...(view.refusals.length === 0 ? [] : ['', 'Refused desired documents']),
    ...view.refusals.map(
      ({ at, generation, problem }) =>
        `  ${at} ${generation === undefined ? '' : `generation ${String(generation)} `}${problem.code}: ${problem.message}`,
    ),
    ...(view.refusedCommands.length === 0 ? [] : ['', 'Refused commands']),
    ...view.refusedCommands.map(({ at, id, problem }) => `  ${at} ${id} ${problem.code}: ${problem.message}`),
    ...(plans.length === 0 ? [] : ['', 'Recent plans']),
    ...plans.map(
      ({ at, actions, failures }) =>
        `  ${at} ${actions.map(actionText).join(', ')}${failures.length === 0 ? '' : `; failed: ${failures.join('; ')}`}`,
    ),
  ];
}

function actionText(action: unknown): string {
  if (typeof action !== 'object' || action === null || !('kind' in action)) return String(action);
  const subject = 'module' in action ? action.module : 'track' in action ? action.track : undefined;
  return typeof subject === 'string' ? `${String(action.kind)} ${subject}` : String(action.kind);
}

function problemText(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'code' in value && 'message' in value) {
    return `${String(value.code)}: ${String(value.message)}`;
  }
  return JSON.stringify(value);
}
