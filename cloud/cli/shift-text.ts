/** Shifts of traffic in words. Pure. */
import type { ShiftBody, ShiftDetail, ShiftHistoryBody } from '#cloud/http/schemas/shifts.js';
import { describeWeights } from '#cloud/services/shift/overtaken.js';
import { gateTable } from './gate-table.js';
import { formatAge, formatFields, formatList, printable } from './output.js';

export function describeShifts(shifts: readonly ShiftBody[], endpoint: string, now: number): string {
  return formatList(
    shifts,
    ['SHIFT', 'TO', 'STATE', 'STAGE', 'TRAFFIC', 'STARTED', 'WHY'],
    (one) => [
      String(one.number),
      one.target.deployment,
      one.state,
      stageText(one),
      describeWeights(one.set),
      formatAge(one.createdAt, now),
      one.reason?.text ?? '',
    ],
    `no shifts; flotilla endpoint shift start ${endpoint} --to <deployment> begins one`,
  );
}

export function describeShift(shift: ShiftBody, more?: ShiftMore): string {
  const { number, endpoint, target, others, reason, before, set, createdAt, createdBy, endedAt } = shift;
  const named = ({ deployment, module, version }: ShiftBody['target']): string =>
    `${deployment} (${module}:${String(version)})`;
  const table = more === undefined ? '' : gatesOf(more.detail);
  const history = more?.history ?? [];
  return [
    formatFields([
      ['shift', `${String(number)} of ${endpoint}`],
      ['to', `${named(target)} from ${others.map(named).join(', ')}`],
      ['state', shift.state],
      ['reason', reason?.text],
      ['stage', stageText(shift)],
      ['traffic', describeWeights(set)],
      ['before', describeWeights(before)],
      ...(more?.detail.waiting ?? []).map(({ text, until }) => ['waits', waitText(text, until)] as const),
      ['started', `${createdAt} by ${createdBy}`],
      ['ended', endedAt],
      ['next', nextStep(shift)],
    ]),
    ...(table === '' ? [] : [table]),
    ...(history.length === 0 ? [] : [history.map(describeShiftEntry).join('')]),
  ].join('\n');
}

export interface ShiftMore {
  readonly detail: ShiftDetail;
  /** Oldest first. */
  readonly history: readonly ShiftHistoryBody[];
}

/** One line that says how it stands; it changes when that does. */
export function shiftLine(shift: ShiftBody): string {
  const why = shift.reason === undefined ? '' : ` (${shift.reason.text})`;
  return printable(`${stageText(shift)}  ${shift.state}${why}  ${describeWeights(shift.set)}`);
}

/** As a line of the endpoint that it is under way in. */
export function openShiftText({ number, target, state, endpoint, ...shift }: ShiftBody): string {
  const text = `${String(number)} to ${target.deployment}, ${stageText({ ...shift, state })}, ${state}`;
  return `${text}: flotilla endpoint shift show ${endpoint}`;
}

export function describeShiftEntry({ at, kind, text }: ShiftHistoryBody): string {
  return `${[at, kind.padEnd(9), text].map(printable).join('  ')}\n`;
}

type Staged = Pick<ShiftBody, 'stage' | 'stages' | 'state'>;

/** The one whose turn it is; of one that is over the last. */
export function stageText({ stage, stages }: Staged): string {
  const current = stages[stage - 1];
  if (current === undefined) return 'before the first';
  const percent = `${String(current.percent)}%`;
  const what = current.kind === 'mirror' ? `copies of ${percent}` : percent;
  return `${String(stage)}/${String(stages.length)}, ${what}`;
}

function gatesOf({ gates }: ShiftDetail): string {
  return gateTable(
    { part: 'STAGE', sources: 'TOLD' },
    gates.map((one) => ({ ...one, at: String(one.stage) })),
  );
}

function waitText(text: string, until: string | undefined): string {
  return until === undefined ? text : `${text}, until ${until} at most`;
}

/** What a person can do about it. */
function nextStep({ state, reason, endpoint }: ShiftBody): string | undefined {
  if (state !== 'paused') return undefined;
  const goOn = reason?.code === 'gate' ? 'goes on in spite of the gate' : 'goes on';
  return `flotilla endpoint shift resume ${endpoint} ${goOn}; flotilla endpoint shift abort ${endpoint} leads back`;
}
