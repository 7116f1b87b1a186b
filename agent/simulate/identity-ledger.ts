/**
 * Identities of simulated devices in a folder, one JSON value a line, for its owner's eyes alone: private keys are among
 * them. Each process appends to a file of its own, and reads all.
 */
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { AppendFile } from '#shared/platform/append-file.js';
import { diskError } from '#shared/platform/atomic-file.js';
import { counterSchema } from '#shared/protocol/primitives.js';
import { deviceTrustSchema } from '#agent/identity/device-trust.js';
import type { GivenIdentity } from '#agent/identity/identity-request.js';
import { identitySchema } from '#agent/identity/identity.js';

const entrySchema = z.object({ identity: identitySchema, trust: deviceTrustSchema, bootIdAbove: counterSchema });

const ending = '.identities';

export class IdentityLedger {
  private file: AppendFile | undefined;

  private constructor(
    private readonly path: string,
    private readonly known: Map<string, GivenIdentity>,
  ) {}

  /**
   * @param process its number; @param now tells the files of several runs apart
   * @throws AppError `state.corrupt` that names the file and the line
   */
  static async open(folder: string, process: number, now: number): Promise<IdentityLedger> {
    const known = new Map<string, GivenIdentity>();
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      for (const name of (await readdir(folder)).sort()) {
        if (!name.endsWith(ending)) continue;
        const path = join(folder, name);
        for (const given of readEntries(await readFile(path, 'utf8'), path)) known.set(keyOf(given.identity), given);
      }
    } catch (error) {
      throw error instanceof AppError ? error : diskError(error, `cannot read identities in ${folder}`);
    }
    return new IdentityLedger(join(folder, `${String(now)}-${String(process)}${ending}`), known);
  }

  find(workspace: string, device: string): GivenIdentity | undefined {
    return this.known.get(keyOf({ workspace, device }));
  }

  /** On its way to the disk when it resolves: one that a power cut takes must enrol anew, by another name. */
  async keep(given: GivenIdentity): Promise<void> {
    this.file ??= await AppendFile.create(this.path);
    await this.file.write(Buffer.from(`${JSON.stringify(given)}\n`));
  }

  async close(): Promise<void> {
    await this.file?.close();
  }
}

function readEntries(text: string, path: string): GivenIdentity[] {
  const lines = text.split('\n');
  return lines.flatMap((line, index) => {
    // A kill may have cut the last one short; that device enrols anew.
    if (line === '' || (index === lines.length - 1 && !text.endsWith('\n'))) return [];
    const parsed = entrySchema.safeParse(parseJson(line));
    if (parsed.success) return [parsed.data];
    throw new AppError(
      'state.corrupt',
      `${path}, line ${String(index + 1)} is no identity: remove the line, or the folder, and enrol anew`,
    );
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function keyOf({ workspace, device }: { readonly workspace: string; readonly device: string }): string {
  return `${workspace}/${device}`;
}
