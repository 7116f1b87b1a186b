/** Rollouts in words. Pure. */
import type {
  HistoryBody,
  RolloutBody,
  RolloutGates,
  RolloutPlanned,
  RolloutWaits,
} from '#cloud/http/schemas/rollouts.js';
import { gateTable } from './gate-table.js';
import { formatAge, formatBytes, formatFields, formatList, formatTable, printable } from './output.js';

type Standings = RolloutBody['waves'][number]['standings'];

export function describePlanned(planned: RolloutPlanned): string {
  const {
    release,
    fleet,
    devices,
    maxUnavailable,
    bytesPerDevice,
    bytesAtMost,
    expected,
    waves,
    conflicts,
    unsupported,
  } = planned;
  const rows = waves
    .filter(({ count }) => count > 0)
    .map(({ wave, count, already, devices: names, bakeSeconds, approval }) => [
      String(wave),
      String(count),
      String(already),
      bakeSeconds === 0 ? '-' : `${String(bakeSeconds)} s`,
      approval ? 'yes' : '-',
      names.slice(0, 4).join(' ') + (count > 4 ? ` and ${String(count - 4)} more` : ''),
    ]);
  return [
    formatFields([
      ['release', release],
      ['fleet', `${fleet}, ${String(devices)} ${devices === 1 ? 'device' : 'devices'}`],
      ['at once', `at most ${String(maxUnavailable)} changing`],
      [
        'bytes',
        `${formatBytes(bytesPerDevice)} for a device that has none of it, at most ${formatBytes(bytesAtMost)} in all`,
      ],
      ['takes', takesText(expected)],
      ['without', expected.leftOut.join(', ')],
      ...conflicts.map(
        ({ rollout, devices: held }) => ['held', `${String(held)} devices by rollout ${String(rollout)}`] as const,
      ),
      ...unsupported.map((one) => ['too old', unsupportedText(one)] as const),
    ]),
    rows.length === 0
      ? 'the fleet has no devices'
      : formatTable(['WAVE', 'DEVICES', 'ALREADY', 'BAKE', 'APPROVAL', 'FIRST'], rows),
  ].join('\n');
}

function unsupportedText({ feature, count, devices }: RolloutPlanned['unsupported'][number]): string {
  const shown = devices.slice(0, 4).join(', ') + (count > 4 ? ` and ${String(count - 4)} more` : '');
  return `agents of ${shown}, which do not know ${feature} and will fail: upgrade them`;
}

function takesText({ seconds, deviceSeconds, measuredDevices }: RolloutPlanned['expected']): string {
  const how =
    measuredDevices === 0 ? 'assumed: none has succeeded yet' : `the median of ${String(measuredDevices)} before`;
  return `about ${durationText(seconds)}, at ${durationText(deviceSeconds)} for a device (${how})`;
}

function durationText(seconds: number): string {
  if (seconds < 120) return `${String(seconds)} s`;
  if (seconds < 7200) return `${String(Math.round(seconds / 60))} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}

export function describeRollouts(rollouts: readonly RolloutBody[], now: number): string {
  return formatList(
    rollouts,
    ['ROLLOUT', 'RELEASE', 'FLEET', 'STATE', 'WAVE', 'DEVICES', 'STARTED'],
    (one) => [
      String(one.number),
      one.release,
      one.fleet,
      stateText(one),
      waveText(one),
      standingsText(totals(one)),
      formatAge(one.createdAt, now),
    ],
    'no rollouts; flotilla rollout start --release <release> --fleet <fleet> starts one',
  );
}

export function describeRollout(rollout: RolloutBody, history: readonly HistoryBody[] = [], gates = ''): string {
  const { number, release, fleet, reason, createdAt, createdBy, endedAt } = rollout;
  const help = nextStep(rollout);
  return [
    formatFields([
      ['rollout', String(number)],
      ['release', `${release} over ${fleet}`],
      ['state', stateText(rollout)],
      ['reason', reason?.text],
      ['wave', waveText(rollout)],
      ['started', `${createdAt} by ${createdBy}`],
      ['ended', endedAt],
      ['next', help],
    ]),
    formatTable(
      ['WAVE', 'DEVICES'],
      rollout.waves
        .filter(({ standings }) => Object.keys(standings).length > 0)
        .map(({ wave, standings }) => [String(wave), standingsText(standings)]),
    ),
    ...(gates === '' ? [] : [gates]),
    ...(history.length === 0 ? [] : [history.map(describeEntry).join('')]),
  ].join('\n');
}

/** What a person can do about it. */
function nextStep({ state, reason, number }: RolloutBody): string | undefined {
  if (state !== 'paused') return undefined;
  const accepts = reason?.code === 'gate' ? 'goes on in spite of the gate' : 'accepts what failed and goes on';
  const goOn = reason?.code === 'requested' ? 'goes on' : accepts;
  return `flotilla rollout resume ${String(number)} ${goOn}; flotilla rollout rollback ${String(number)} leads back`;
}

export function describeEntry({ at, kind, device, text }: HistoryBody): string {
  return `${[at, kind.padEnd(13), device, text]
    .filter((part) => part !== undefined && part !== '')
    .map((part) => printable(part ?? ''))
    .join('  ')}\n`;
}

/** One line that says how it stands; it changes when that does. */
export function progressLine(rollout: RolloutBody): string {
  const reason = rollout.reason === undefined ? '' : ` (${rollout.reason.text})`;
  return printable(`wave ${waveText(rollout)}  ${stateText(rollout)}${reason}  ${standingsText(totals(rollout))}`);
}

export function describeWaits({ counts, items, troubled }: RolloutWaits, device?: string): string {
  const shown = device === undefined ? items : items.filter((one) => one.device === device);
  const lost = device === undefined ? troubled : troubled.filter((one) => one.device === device);
  const waits = formatList(
    shown,
    ['DEVICE', 'WAITS FOR', 'UNTIL AT MOST', 'DETAIL'],
    ({ device: name, kind, until = '-', detail }) => [
      name,
      waitText(kind, detail),
      until,
      kind === 'wave' ? '' : (detail ?? ''),
    ],
    device === undefined ? 'no device waits' : `${device} does not wait in this rollout`,
  );
  const more = Object.values(counts).reduce((sum, count) => sum + count, 0) - items.length;
  return [
    ...(device === undefined && items.length > 0 ? [`${standingsText(counts)} waiting\n`] : []),
    waits,
    ...(more > 0 && device === undefined ? [`and ${String(more)} more\n`] : []),
    ...(lost.length === 0
      ? []
      : [
          formatTable(
            ['DEVICE', 'STANDS', 'CODE', 'WHY'],
            lost.map(({ device: name, standing, code, message }) => [name, standing, code, message]),
          ),
        ]),
  ].join('\n');
}

/** Empty where the rollout has no gates. */
export function describeGates({ items }: RolloutGates): string {
  return gateTable(
    { part: 'WAVE', sources: 'DEVICES' },
    items.map((one) => ({ ...one, at: String(one.wave) })),
  );
}

const waitTexts: Readonly<Record<RolloutWaits['items'][number]['kind'], string>> = {
  device: 'the device itself',
  offline: 'it is not connected',
  retry: 'another attempt',
  budget: 'others that are changing (maxUnavailable)',
  rate: 'the rate',
  window: 'its maintenance window',
  freeze: 'the end of a freeze',
  wave: 'its wave',
  bake: 'the bake time of the wave before',
  gate: 'a quality gate',
  shadow: 'shadows, before any device switches',
  approval: 'approval: flotilla rollout approve',
  paused: 'the rollout is paused',
  claimed: 'another rollout holds it',
};

function waitText(kind: RolloutWaits['items'][number]['kind'], detail: string | undefined): string {
  return kind === 'wave' && detail !== undefined ? `wave ${detail}` : waitTexts[kind];
}

function stateText({ state, endsAs }: RolloutBody): string {
  return endsAs === undefined ? state : `${state} (${endsAs})`;
}

function waveText({ wave, waves }: RolloutBody): string {
  return `${String(wave)}/${String(waves.length)}`;
}

function totals({ waves }: RolloutBody): Standings {
  const sums: Standings = {};
  for (const { standings } of waves) {
    for (const [standing, count] of Object.entries(standings) as [keyof Standings, number][]) {
      sums[standing] = (sums[standing] ?? 0) + count;
    }
  }
  return sums;
}

function standingsText(standings: Readonly<Record<string, number | undefined>>): string {
  const parts = Object.entries(standings).map(([standing, count]) => `${String(count)} ${standing}`);
  return parts.length === 0 ? '-' : parts.sort().join(', ');
}
