/** What a service host that ends had not got rid of of its numbers, for the next. */
import { join } from 'node:path';
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { JsonDocument } from '#shared/platform/atomic-file.js';
import { counterSchema } from '#shared/protocol/primitives.js';
import { keptStreamSchema } from './told-stream.js';

const keptSchema = z.object({
  /** Of the process that wrote it. */
  bootId: counterSchema,
  streams: z.array(keptStreamSchema.extend({ workspace: z.string(), source: z.string() })),
});
export type KeptNumbers = z.infer<typeof keptSchema>;

const nothing: KeptNumbers = { bootId: 0, streams: [] };

export class ToldDocument {
  private readonly document: JsonDocument<KeptNumbers>;

  constructor(
    folder: string,
    private readonly onLost: (error: AppError) => void,
  ) {
    this.document = new JsonDocument(join(folder, 'told.json'), (value) => keptSchema.parse(value), { mode: 0o600 });
  }

  async read(): Promise<KeptNumbers> {
    try {
      return (await this.document.read())?.value ?? nothing;
    } catch (error) {
      if (!(error instanceof AppError && error.code === 'state.corrupt')) throw error;
      this.onLost(error);
      return nothing;
    }
  }

  write(numbers: KeptNumbers): Promise<void> {
    return this.document.write(numbers);
  }
}
