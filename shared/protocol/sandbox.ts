/** What keeps a module's user code in its bounds, and what of it a device can enforce. */
import * as z from 'zod';

/**
 * `user`: a user of its own, that can gain no privileges. `memory`, `cpu`, `pids`: the kernel bounds them.
 * `files`: how many are open, and how large one may become. `network`: none, unless granted. `mounts`: it
 * sees the system's programs, its own folder read-only and a temporary folder of bounded size, and nothing else.
 */
export const sandboxAspects = ['user', 'memory', 'cpu', 'pids', 'files', 'network', 'mounts'] as const;
export type SandboxAspect = (typeof sandboxAspects)[number];

export const enforcementSchema = z.object({
  enforced: z.boolean(),
  /** By what, where it is enforced; why not, where it is not. */
  by: z.string().max(256),
});
export type Enforcement = z.infer<typeof enforcementSchema>;

export const sandboxCapabilitiesSchema = z.object({
  user: enforcementSchema,
  memory: enforcementSchema,
  cpu: enforcementSchema,
  pids: enforcementSchema,
  files: enforcementSchema,
  network: enforcementSchema,
  mounts: enforcementSchema,
} satisfies Record<SandboxAspect, typeof enforcementSchema>);
export type SandboxCapabilities = z.infer<typeof sandboxCapabilitiesSchema>;

/** In one line, for people. */
export function sandboxText(sandbox: SandboxCapabilities | undefined): string {
  if (sandbox === undefined) return 'none: user code runs unbounded';
  const lacks = sandboxAspects.filter((aspect) => !sandbox[aspect].enforced);
  if (lacks.length === 0) return `enforces ${sandboxAspects.join(', ')}`;
  return `lacks ${lacks.map((aspect) => `${aspect} (${sandbox[aspect].by})`).join(', ')}`;
}

/** One reason for all. */
export function unenforceable(why: string): SandboxCapabilities {
  const not: Enforcement = { enforced: false, by: why };
  return { user: not, memory: not, cpu: not, pids: not, files: not, network: not, mounts: not };
}
