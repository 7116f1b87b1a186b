/** What a module with user code may take and may do, and what it wants enforced. Each part may be left out. */
import * as z from 'zod';
import { sandboxAspects } from '#shared/protocol/sandbox.js';

export const resourcesSchema = z.strictObject({
  memoryMegabytes: z.int().min(64).max(1_048_576).default(512),
  /** In cores. */
  cpus: z.number().min(0.05).max(1024).default(1),
  /** Processes and threads; Node itself has about a dozen. */
  processes: z.int().min(24).max(32_768).default(64),
  openFiles: z.int().min(64).max(1_048_576).default(1024),
  /** Of its temporary folder, which counts as memory. */
  temporaryMegabytes: z.int().min(1).max(65_536).default(64),
});

export const permissionsSchema = z.strictObject({
  /** The machine's network. The device must allow it too. */
  network: z.boolean().default(false),
});

export const requirementsSchema = z.strictObject({
  /** A device that cannot enforce all of these refuses the module. */
  sandbox: z.array(z.enum(sandboxAspects)).min(1).max(sandboxAspects.length),
});

export type ModuleResources = z.infer<typeof resourcesSchema>;
export const defaultResources: ModuleResources = resourcesSchema.parse({});

export interface SandboxNeeds {
  readonly resources?: ModuleResources | undefined;
  readonly permissions?: z.infer<typeof permissionsSchema> | undefined;
  readonly requires?: z.infer<typeof requirementsSchema> | undefined;
}
