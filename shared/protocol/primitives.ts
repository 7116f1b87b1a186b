/** The small types that every message is made of. Bounds stand in the schema, not beside it. */
import * as z from 'zod';
import { namePattern } from '#shared/kernel/names.js';

export const nameSchema = z
  .string()
  .regex(namePattern, 'must be 1 to 63 of a-z, 0-9 and "-", starting with a letter or digit');

/** `sha256:` and 64 lower-case hex digits: the only digest we make or accept. */
export const digestSchema = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'must be sha256: and 64 hex digits');
export type Digest = z.infer<typeof digestSchema>;

export const instantSchema = z.iso.datetime({ precision: 3 }).describe('ISO 8601, UTC, milliseconds');

/** A counter that only rises: generations, boot ids, sequences. */
export const counterSchema = z.int().min(0).max(Number.MAX_SAFE_INTEGER);

export const sizeSchema = z.int().min(0).max(Number.MAX_SAFE_INTEGER).describe('bytes');

/** A file below some folder: forward slashes, no way out. */
export const relativePathSchema = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/, 'must be a relative path of letters, digits, ".", "_", "-" and "/"')
  .regex(/^(?!(?:.*\/)?\.{1,2}(?:\/|$))/, 'must not contain "." or ".." parts');

/** Tags: what users say about a device, model or image. */
export const tagsSchema = z
  .record(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/, 'not a tag name'), z.string().max(256))
  .refine((tags) => Object.keys(tags).length <= 64, 'at most 64 tags')
  .meta({ maxProperties: 64 });
export type Tags = z.infer<typeof tagsSchema>;

/** A failure as data. Readers tolerate codes of newer peers, hence a plain string. */
export const problemSchema = z.object({
  code: z.string().max(64),
  message: z.string().max(4096),
  details: z.record(z.string(), z.unknown()).optional(),
});

/** The one version of every message of protocol v1. A reader refuses another major version. */
export const schemaVersion = z.literal(1);
