/** What of an engine's answers is read. Docker Engine and podman differ in what else they say. */
import * as z from 'zod';

const versionNumber = z.string().regex(/^\d{1,3}\.\d{1,3}$/);
const labels = z
  .record(z.string(), z.string())
  .nullish()
  .transform((value) => value ?? {});
const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '');
const id = z.string().regex(/^[0-9a-f]{12,64}$/);
export const imageIdSchema = z
  .string()
  .regex(/^(sha256:)?[0-9a-f]{64}$/)
  .transform((value) => (value.startsWith('sha256:') ? value : `sha256:${value}`));

export const versionSchema = z.object({
  Version: z.string().max(100),
  ApiVersion: versionNumber,
  MinAPIVersion: versionNumber.optional(),
  Components: z
    .array(z.object({ Name: z.string() }))
    .nullish()
    .transform((value) => value ?? []),
});

export const createdSchema = z.object({
  Id: id,
  Warnings: z
    .array(z.string())
    .nullish()
    .transform((value) => value ?? []),
});

export const waitedSchema = z.object({ StatusCode: z.int() });

export const containerSchema = z.object({
  Id: id,
  State: z.object({
    Running: z.boolean(),
    OOMKilled: z.boolean().default(false),
    ExitCode: z.int(),
    Error: text,
  }),
});
export type ContainerState = z.infer<typeof containerSchema>['State'];

export const containersSchema = z.array(z.object({ Id: id, Labels: labels }));

export const imageSchema = z.object({
  Id: imageIdSchema,
  Architecture: z.string(),
  Size: z.number().nonnegative().default(0),
});
export const imagesSchema = z.array(
  z.object({
    Id: imageIdSchema,
    Labels: labels,
    RepoTags: z
      .array(z.string())
      .nullish()
      .transform((value) => value ?? []),
  }),
);

/** Lines of a load; only failures are looked for. */
export const loadLineSchema = z.object({ error: z.string().optional() });

export const statsSchema = z.object({
  memory_stats: z
    .object({
      usage: z.number().nonnegative().optional(),
      stats: z.record(z.string(), z.number()).nullish(),
    })
    .nullish(),
});

export const refusalSchema = z.object({ message: z.string() });
