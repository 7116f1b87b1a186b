import * as z from 'zod';
import { instantSchema, relativePathSchema, sizeSchema } from '#shared/protocol/primitives.js';
import { pageQuery } from './common.js';

const prefix = z
  .string()
  .max(255)
  .regex(/^[A-Za-z0-9._/-]*$/, 'must be the beginning of a path: letters, digits, ".", "_", "-" and "/"');

export const dataListQuery = pageQuery.extend({
  /** Paths that begin so; all without it. */
  prefix: prefix.default(''),
});

export const dataFileBody = z.object({
  path: relativePathSchema,
  bytes: sizeSchema,
  createdAt: instantSchema,
  /** Something was added last. */
  updatedAt: instantSchema,
});
export type DataFileBody = z.infer<typeof dataFileBody>;

export const dataReadQuery = z.object({ path: relativePathSchema });
export const dataDeleteQuery = z.object({ prefix: prefix.min(1) });
export const dataDeletedBody = z.object({ files: z.int(), bytes: sizeSchema });
