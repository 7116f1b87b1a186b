/** Settings of a module from `--set key=json`, checked as the server will. */
import type * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { checkMessage } from '#shared/protocol/decode.js';
import { settingsSchema } from '#shared/protocol/desired.js';
import { parseSettings } from './argument-parsers.js';

export type JsonSettings = z.output<typeof settingsSchema>;

export function readSettings(texts: readonly string[]): JsonSettings {
  const checked = checkMessage(settingsSchema, parseSettings(texts));
  if (checked.ok) return checked.value;
  throw new AppError('request.invalid', `--set: ${checked.error.message}`);
}
