/** What is said over a service host's private socket. Both ends may be of different builds. */
import * as z from 'zod';
import { instantSchema } from '#shared/protocol/primitives.js';

/** Who answers there. */
export const aboutSchema = z.object({
  version: z.string(),
  pid: z.int(),
  startedAt: instantSchema,
  /** SHA-256 of the configuration that it was started with: another one needs another process. */
  configuration: z.string(),
  generation: z.int(),
  /** By workspace: versions above are news. */
  trust: z.record(z.string(), z.int()),
});
export type About = z.infer<typeof aboutSchema>;

export const logLinesSchema = z.object({ lines: z.array(z.string()) });
export const refusedSchema = z.object({ refused: z.array(z.string()) });

/** A finished piece of collected lines. */
export const pieceKeySchema = z.object({
  /** The endpoint's id. */
  endpoint: z.string().max(64),
  deployment: z.string().max(64),
  /** See shared/scoring/collect/piece-name.ts. */
  file: z.string().max(300),
});
export type PieceKey = z.infer<typeof pieceKeySchema>;
export const collectedPieceSchema = pieceKeySchema.extend({ lines: z.string() });
export type CollectedPiece = z.infer<typeof collectedPieceSchema>;
export const collectedSchema = z.object({
  pieces: z.array(collectedPieceSchema),
  /** Let go since the process started, for want of room. */
  lost: z.int(),
});
export const takenSchema = z.object({ taken: z.array(pieceKeySchema).max(100_000) });
/** Families of metrics, as Prometheus has them; see `Family`. */
export const familiesSchema = z.object({
  families: z.array(
    z.object({
      name: z.string().regex(/^[a-zA-Z_:][a-zA-Z0-9_:]*$/),
      help: z.string(),
      type: z.enum(['counter', 'gauge', 'histogram']),
      samples: z.array(
        z.object({
          suffix: z.string().default(''),
          labels: z.record(z.string(), z.string()),
          value: z.number(),
        }),
      ),
    }),
  ),
});

/** A document of all endpoints that the schema allows, with room for settings. */
export const maxDocumentBytes = 32 * 1024 * 1024;
export const maxLogLines = 10_000;
