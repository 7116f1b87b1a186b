/** What `flotilla deploy` says of a module beside its image, checked as the server will. */
import type * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { nearest } from '#shared/kernel/names.js';
import { checkMessage } from '#shared/protocol/decode.js';
import { type MaintenanceWindow, maintenanceWindowSchema } from '#shared/protocol/maintenance-window.js';
import { probationSchema, settingsSchema } from '#shared/protocol/desired.js';
import type { moduleDeploy } from '#cloud/http/schemas/devices.js';
import { parseDurationMs, parseSettings } from './argument-parsers.js';

export type JsonSettings = z.output<typeof settingsSchema>;
export type UpdateInput = NonNullable<z.input<typeof moduleDeploy>['update']>;

export function readSettings(texts: readonly string[]): JsonSettings {
  const checked = checkMessage(settingsSchema, parseSettings(texts));
  if (checked.ok) return checked.value;
  throw new AppError('request.invalid', `--set: ${checked.error.message}`);
}

export interface UpdateFlags {
  readonly probation?: string;
  readonly watch: readonly string[];
  readonly keep?: string;
  readonly deferAtMost?: string;
  readonly window: readonly string[];
}

/** Bounds of a probation that `--watch` sets; its window has a flag of its own. */
const watchNames = Object.keys(probationSchema.shape).filter((name) => name !== 'windowSeconds');

/** @throws AppError `request.invalid`, naming the flag */
export function readUpdate({ probation, watch, keep, deferAtMost, window: windows }: UpdateFlags): UpdateInput {
  const bounds = parseSettings(watch);
  for (const name of Object.keys(bounds)) {
    if (watchNames.includes(name)) continue;
    const suggestion = nearest(name, watchNames);
    const known = suggestion === undefined ? `known are ${watchNames.join(', ')}` : `did you mean ${suggestion}?`;
    throw new AppError('request.invalid', `--watch: unknown bound "${name}"; ${known}`);
  }
  const watched = probation === undefined ? {} : { windowSeconds: secondsOf(probation) };
  const checked = checkMessage(probationSchema.partial(), { ...bounds, ...watched });
  if (!checked.ok) throw new AppError('request.invalid', `--probation, --watch: ${checked.error.message}`);
  return {
    probation: { ...bounds, ...watched },
    ...(keep === undefined ? {} : { keepVersions: countOf(keep) }),
    ...(deferAtMost === undefined ? {} : { maxDeferSeconds: secondsOf(deferAtMost) }),
    ...(windows.length === 0 ? {} : { windows: windows.map(readWindow) }),
  };
}

/** @throws AppError `request.invalid` for `0 2 * * 1-5 for 2h in Europe/Berlin` written otherwise */
function readWindow(text: string): MaintenanceWindow {
  const [, cron, duration = '', timeZone] = /^(.+?)\s+for\s+(\S+)(?:\s+in\s+(\S+))?$/.exec(text.trim()) ?? [];
  if (cron === undefined) {
    throw new AppError(
      'request.invalid',
      `--window "${text}": write for example "0 2 * * 1-5 for 2h in Europe/Berlin"`,
    );
  }
  const window = { cron, durationSeconds: secondsOf(duration), ...(timeZone === undefined ? {} : { timeZone }) };
  const checked = checkMessage(maintenanceWindowSchema, window);
  if (checked.ok) return checked.value;
  throw new AppError('request.invalid', `--window "${text}": ${checked.error.message}`);
}

/** `0` is a duration as well. */
function secondsOf(text: string): number {
  return text === '0' ? 0 : Math.ceil(parseDurationMs(text) / 1000);
}

function countOf(text: string): number {
  if (/^\d$|^10$/.test(text)) return Number(text);
  throw new AppError('request.invalid', `--keep: "${text}" is no number of versions from 0 to 10`);
}
