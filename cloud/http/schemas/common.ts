import * as z from 'zod';
import { nameSchema } from '#shared/protocol/primitives.js';

export const workspaceParams = z.object({ workspace: nameSchema });

/** Every list: newest first unless it says otherwise, `next` is the cursor of the following page. */
export const pageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(500).default(100),
  cursor: z.string().max(256).optional(),
});

export function pageOf<T extends z.ZodType>(
  item: T,
): z.ZodObject<{ items: z.ZodArray<T>; next: z.ZodOptional<z.ZodString> }> {
  return z.object({ items: z.array(item), next: z.string().optional() });
}

/** In the query language of docs/fleets.md; its own limit, and a column, come from the parser. */
export const queryText = z.string().max(4096);

/** The body of every answer that is not a success. */
export const problemBody = z.object({
  code: z.string(),
  message: z.string(),
  details: z.record(z.string(), z.unknown()).optional(),
  requestId: z.string(),
});
