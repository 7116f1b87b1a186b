/** What the owner of the device grants to modules with user code, as settings. Pure. */
import * as z from 'zod';
import { type SandboxAspect, sandboxAspects } from '#shared/protocol/sandbox.js';

export const moduleSettings = {
  'modules.allowNetwork': z
    .stringbool()
    .or(z.boolean())
    .default(false)
    .describe('whether modules that ask for the network get it'),
  'modules.maxMemoryMegabytes': z.coerce
    .number()
    .int()
    .min(64)
    .max(1_000_000)
    .optional()
    .describe("the most that one module may have; without it half of the machine's memory"),
  'modules.maxCpus': z.coerce
    .number()
    .min(0.05)
    .max(1024)
    .optional()
    .describe('cores that one module may have; without it all'),
  'modules.require': z
    .string()
    .default('')
    .transform((text) => text.split(',').flatMap((part) => (part.trim() === '' ? [] : [part.trim()])))
    .pipe(z.array(z.enum(sandboxAspects)))
    .describe(
      `what must be enforced before any user code runs here, separated by commas: ${sandboxAspects.join(', ')}`,
    ),
} as const;

export interface ModulesConfig {
  readonly allowNetwork: boolean;
  readonly maxMemoryBytes?: number;
  readonly maxCpus?: number;
  readonly require: readonly SandboxAspect[];
}

const schema = z.object(moduleSettings);
type Values = z.infer<typeof schema>;

const megabyte = 1024 * 1024;

export function modulesConfigOf({
  'modules.allowNetwork': allowNetwork,
  'modules.maxMemoryMegabytes': memory,
  'modules.maxCpus': maxCpus,
  'modules.require': require,
}: Values): ModulesConfig {
  return {
    allowNetwork,
    ...(memory === undefined ? {} : { maxMemoryBytes: memory * megabyte }),
    ...(maxCpus === undefined ? {} : { maxCpus }),
    require,
  };
}

/** As a settings file says it. */
export function modulesFileForm({
  maxMemoryBytes,
  require,
  ...same
}: ModulesConfig): Readonly<Record<string, unknown>> {
  const memory = maxMemoryBytes === undefined ? {} : { maxMemoryMegabytes: maxMemoryBytes / megabyte };
  return { ...same, ...memory, require: require.join(',') };
}
