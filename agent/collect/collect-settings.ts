/** What the owner of the device says of data that leaves it, as settings. Pure. */
import * as z from 'zod';

const megabytes = z.coerce.number().int().min(1).max(1_000_000);

export const collectSettings = {
  'collect.allow': z
    .stringbool()
    .or(z.boolean())
    .default(true)
    .describe('whether a sample of requests and answers may leave this device, where its operator asks for it'),
  'collect.maxSpoolMegabytes': megabytes.default(32).describe('collected data kept while offline'),
  'collect.maxMegabytesPerDay': megabytes.default(256).describe('collected data sent in a day'),
} as const;

export interface CollectSettings {
  readonly allow: boolean;
  readonly maxSpoolBytes: number;
  readonly maxBytesPerDay: number;
}

const schema = z.object(collectSettings);
const megabyte = 1024 * 1024;

export function collectSettingsOf(values: z.infer<typeof schema>): CollectSettings {
  return {
    allow: values['collect.allow'],
    maxSpoolBytes: values['collect.maxSpoolMegabytes'] * megabyte,
    maxBytesPerDay: values['collect.maxMegabytesPerDay'] * megabyte,
  };
}

/** As a settings file says it. */
export function collectFileForm({ allow, maxSpoolBytes, maxBytesPerDay }: CollectSettings): object {
  return {
    allow,
    maxSpoolMegabytes: maxSpoolBytes / megabyte,
    maxMegabytesPerDay: maxBytesPerDay / megabyte,
  };
}
