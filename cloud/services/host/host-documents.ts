/** What a service host remembers: what it is to run, and of each deployment what ran last. Both survive a cut at any instant. */
import { join } from 'node:path';
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { JsonDocument } from '#shared/platform/atomic-file.js';
import {
  type DesiredDeployment,
  desiredDeploymentSchema,
  type DesiredServices,
  desiredServicesSchema,
} from '../desired-services.js';

export type KeptDeployments = Readonly<Record<string, DesiredDeployment>>;

export class HostDocuments {
  private readonly desired: JsonDocument<DesiredServices>;
  private readonly kept: JsonDocument<KeptDeployments>;

  constructor(
    folder: string,
    /** A document that is lost costs what it held; the control plane has it still. */
    private readonly onLost: (error: AppError) => void,
  ) {
    // Digests of keys stand in it.
    const options = { mode: 0o600 };
    this.desired = new JsonDocument(
      join(folder, 'desired.json'),
      (value) => desiredServicesSchema.parse(value),
      options,
    );
    const keptSchema = z.record(z.string(), desiredDeploymentSchema);
    this.kept = new JsonDocument(join(folder, 'kept.json'), (value) => keptSchema.parse(value), options);
  }

  async read(): Promise<{ readonly desired: DesiredServices | undefined; readonly kept: KeptDeployments }> {
    return { desired: await this.readOne(this.desired), kept: (await this.readOne(this.kept)) ?? {} };
  }

  writeDesired(desired: DesiredServices): Promise<void> {
    return this.desired.write(desired);
  }

  writeKept(kept: KeptDeployments): Promise<void> {
    return this.kept.write(kept);
  }

  private async readOne<T>(document: JsonDocument<T>): Promise<T | undefined> {
    try {
      return (await document.read())?.value;
    } catch (error) {
      if (!(error instanceof AppError && error.code === 'state.corrupt')) throw error;
      this.onLost(error);
      return undefined;
    }
  }
}
