/** What is typed of endpoints and deployments, as values. Pure; every complaint names the argument and a right one. */
import type * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { describeIssues } from '#shared/protocol/decode.js';
import { requestSettingsSchema, type Scale, scaleSchema } from '#cloud/services/desired-services.js';
import {
  parseDurationMs,
  parseDurationSeconds,
  parseImageReference,
  parseName,
  parseReleaseReference,
} from './argument-parsers.js';

/** `blue=90 green=10`. */
export function parseTraffic(texts: readonly string[]): Record<string, number> {
  const weights = new Map<string, number>();
  for (const text of texts) {
    const [name, percent] = parseShare(text);
    if (weights.has(name)) throw invalid(`${name} is given twice; give it once`);
    weights.set(name, percent);
  }
  return Object.fromEntries(weights);
}

/** `green=20`, or `none`. */
export function parseMirror(text: string): { deployment: string; percent: number } | null {
  if (text === 'none') return null;
  const [deployment, percent] = parseShare(text);
  if (percent < 1 || percent > 50) throw invalid(`--mirror ${text}: a mirror gets 1 to 50 percent; none ends it`);
  return { deployment, percent };
}

function parseShare(text: string): [name: string, percent: number] {
  const match = /^([^=]+)=(\d{1,3})%?$/.exec(text);
  const percent = Number(match?.[2]);
  if (match?.[1] === undefined || percent > 100) {
    throw invalid(`"${text.slice(0, 80)}" is no share; write a deployment and whole percent, as in blue=90`);
  }
  return [parseName(match[1], 'deployment'), percent];
}

export interface RunsFlags {
  readonly image?: string;
  readonly release?: string;
  readonly module?: string;
}

/** An image, or the module of a release. @throws AppError `request.invalid` */
export function readWhatRuns({ image, release, module }: RunsFlags): RunsFlags {
  if (image !== undefined && release !== undefined) throw invalid('give --image or --release, not both');
  if (release === undefined && module !== undefined)
    throw invalid('--module goes with --release: it is one of its modules');
  if (image !== undefined) return { image: parseImageReference(image) };
  if (release === undefined) throw invalid('give --image <name:version>, or --release <name:version> with --module');
  return {
    release: parseReleaseReference(release),
    ...(module === undefined ? {} : { module: parseName(module, 'module') }),
  };
}

export interface ScaleFlags {
  readonly replicas?: string;
  readonly min?: string;
  readonly max?: string;
  readonly targetOutstanding?: string;
  readonly maxP99?: string;
  readonly coolDown?: string;
  readonly firstRequestWait?: string;
}

/** @returns undefined where nothing is said of it. @throws AppError `request.invalid` */
export function readScale(flags: ScaleFlags): z.input<typeof scaleSchema> | undefined {
  const { replicas, min, max, targetOutstanding, maxP99, coolDown, firstRequestWait } = flags;
  const auto = [min, max, targetOutstanding, maxP99, coolDown, firstRequestWait].some((flag) => flag !== undefined);
  if (replicas !== undefined && auto) {
    throw invalid('--replicas is a number that stays: give it, or --min and --max for one that follows the load');
  }
  if (replicas !== undefined) return checked({ kind: 'fixed', replicas: numberOf(replicas, '--replicas') });
  if (!auto) return undefined;
  if (min === undefined || max === undefined) throw invalid('give both --min and --max, as in --min 1 --max 5');
  const scale = {
    ...{ kind: 'auto' as const, min: numberOf(min, '--min'), max: numberOf(max, '--max') },
    ...(targetOutstanding === undefined
      ? {}
      : { targetOutstanding: numberOf(targetOutstanding, '--target-outstanding') }),
    ...(maxP99 === undefined ? {} : { maxP99Ms: parseDurationMs(maxP99) }),
    ...(coolDown === undefined ? {} : { coolDownSeconds: parseDurationSeconds(coolDown) }),
    ...(firstRequestWait === undefined ? {} : { firstRequestWaitMs: parseDurationMs(firstRequestWait) }),
  };
  if (scale.max < scale.min) throw invalid(`--max ${max} is less than --min ${min}`);
  return checked(scale);
}

export interface RequestFlags {
  readonly requestTimeout?: string;
  readonly concurrency?: string;
}

type RequestInput = z.input<typeof requestSettingsSchema>;

/** @returns undefined where nothing is said of it */
export function readRequestSettings({ requestTimeout, concurrency }: RequestFlags): RequestInput | undefined {
  if (requestTimeout === undefined && concurrency === undefined) return undefined;
  const request = {
    ...(requestTimeout === undefined ? {} : { timeoutMs: parseDurationMs(requestTimeout) }),
    ...(concurrency === undefined ? {} : { maxConcurrentPerReplica: numberOf(concurrency, '--concurrency') }),
  };
  const parsed = requestSettingsSchema.safeParse(request);
  if (parsed.success) return request;
  throw invalid(`--request-timeout, --concurrency: ${describeIssues(parsed.error)}`);
}

function checked(scale: z.input<typeof scaleSchema>): Scale {
  const parsed = scaleSchema.safeParse(scale);
  if (parsed.success) return parsed.data;
  throw invalid(`--replicas, --min, --max: ${describeIssues(parsed.error)}`);
}

function numberOf(text: string, flag: string): number {
  if (/^\d{1,6}(\.\d{1,6})?$/.test(text)) return Number(text);
  throw invalid(`${flag}: "${text.slice(0, 80)}" is no number`);
}

function invalid(message: string): AppError {
  return new AppError('request.invalid', message);
}
