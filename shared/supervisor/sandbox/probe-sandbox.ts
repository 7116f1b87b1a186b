/**
 * What of a sandbox this machine can enforce, found by trying it: the very command lines that modules will
 * be started with, around a Node that only looks whether its program can be read.
 */
import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '#shared/kernel/errors.js';
import type { Enforcement, SandboxAspect, SandboxCapabilities } from '#shared/protocol/sandbox.js';
import { unenforceable } from '#shared/protocol/sandbox.js';
import { Cgroups } from './cgroups.js';
import type { Controller } from './cgroup-files.js';
import { findTools, type SandboxParts } from './own-bounds.js';
import { planSandbox, type SandboxRecipe } from './plan-sandbox.js';
import { type CommandInput, confinedPath, sandboxCommand, type SandboxTool, sandboxTools } from './sandbox-command.js';
import { nodePath, programPaths, viewOf } from './sandbox-view.js';

export interface SandboxMachine extends SandboxParts {
  readonly capabilities: SandboxCapabilities;
  readonly namespaces: 'root' | 'user' | 'none';
}

export interface ProbeInput {
  /** An empty folder of our own. */
  readonly scratch: string;
  /** The program that is to run. */
  readonly entry: string;
  /** Never to be seen. */
  readonly secrets: readonly string[];
  readonly isRoot: boolean;
}

const trialTimeoutMs = 10_000;
/** Any number of the range will do: nothing is left behind. */
const trialUser = 60_706;

/** @param owner tells this owner's control groups from another's */
export async function findSandboxParts(owner: string): Promise<SandboxParts> {
  if (process.platform !== 'linux') return { tools: {}, cgroups: undefined };
  return { tools: findTools(), cgroups: await Cgroups.open(owner) };
}

export async function probeSandbox(parts: SandboxParts, input: ProbeInput): Promise<SandboxMachine> {
  const { tools, cgroups } = parts;
  if (cgroups === undefined) {
    const capabilities = unenforceable(`the sandbox needs Linux; this is ${process.platform}`);
    return { ...parts, capabilities, namespaces: 'none' };
  }
  const namespaces = input.isRoot ? 'root' : 'user';
  const attempt = (aspects: readonly SandboxAspect[], needed: readonly SandboxTool[]): Promise<string | undefined> =>
    attemptWith(input, tools, namespaces, aspects, needed);
  const [user, files, network, mounts] = await Promise.all([
    input.isRoot ? attempt(['user'], ['setpriv']) : 'the agent is not root',
    attempt(['files'], ['prlimit']),
    attempt(['network'], ['unshare']),
    attempt(input.isRoot ? ['user', 'mounts', 'network'] : ['mounts', 'network'], [...sandboxTools]),
  ]);
  const privilege = namespaces === 'root' ? 'namespace' : 'user namespace';
  return {
    ...parts,
    capabilities: {
      user: judged(user, 'a user of its own, without privileges to gain'),
      memory: ofController(cgroups, 'memory'),
      cpu: ofController(cgroups, 'cpu'),
      pids: pidsOf(cgroups, user === undefined && files === undefined),
      files: judged(files, 'resource limits'),
      network: judged(network, `network ${privilege}`),
      mounts: judged(mounts, `mount ${privilege}`),
    },
    namespaces: network === undefined || mounts === undefined ? namespaces : 'none',
  };
}

/** @returns why it does not work here; undefined: it does */
async function attemptWith(
  { scratch, entry, secrets }: ProbeInput,
  tools: SandboxMachine['tools'],
  namespaces: 'root' | 'user',
  aspects: readonly SandboxAspect[],
  needed: readonly SandboxTool[],
): Promise<string | undefined> {
  const absent = needed.filter((tool) => tools[tool] === undefined);
  if (absent.length > 0) return `this machine has no ${absent.join(', ')} (util-linux, coreutils)`;
  const viewRoot = join(scratch, `trial-${aspects.join('-')}`);
  mkdirSync(viewRoot, { recursive: true });
  const recipe = recipeWith(aspects);
  const node = nodePath();
  const command: CommandInput = {
    recipe,
    namespaces,
    tools,
    user: trialUser,
    viewRoot,
    view: viewOf({
      programs: [node, ...programPaths(entry)],
      folders: [],
      secrets,
      network: false,
      temporaryBytes: recipe.limits.temporaryBytes,
    }),
    entrances: [],
    program: trialProgram(aspects, tools, node, entry),
  };
  const { file, args } = sandboxCommand(command);
  return new Promise((resolve) => {
    const options = { cwd: '/', env: { PATH: confinedPath }, timeout: trialTimeoutMs };
    execFile(file, args, options, (error, _stdout, stderr) => {
      resolve(error === null ? undefined : lastLine(stderr) || messageOf(error));
    });
  });
}

/**
 * Looks whether the program can be read, and ends. Node itself where its limits or what it sees are on trial;
 * elsewhere a shell, which is there sooner, looks whether Node could be started.
 */
function trialProgram(
  aspects: readonly SandboxAspect[],
  { sh }: SandboxMachine['tools'],
  node: string,
  entry: string,
): string[] {
  if (sh === undefined || aspects.includes('files') || aspects.includes('mounts'))
    return [node, '-e', 'require("node:fs").accessSync(process.argv[1])', entry];
  const look = '[ -x "$1" ] && [ -r "$2" ] || { echo "it cannot read $1 and $2" >&2; exit 1; }';
  return [sh, '-c', look, 'sh', node, entry];
}

/** A recipe that needs just these. */
function recipeWith(aspects: readonly SandboxAspect[]): SandboxRecipe {
  const not: Enforcement = { enforced: false, by: '' };
  const yes: Enforcement = { enforced: true, by: '' };
  const capabilities = {
    ...unenforceable(''),
    ...Object.fromEntries(aspects.map((aspect) => [aspect, yes])),
    cpu: not,
  };
  const policy = { allowNetwork: false, maxMemoryBytes: 2 ** 40, maxCpus: 1, require: aspects };
  const planned = planSandbox(policy, capabilities, {});
  if (!planned.ok) throw new Error(planned.error.message);
  return planned.value;
}

function judged(problem: string | undefined, by: string): Enforcement {
  return problem === undefined ? { enforced: true, by } : { enforced: false, by: problem.slice(0, 256) };
}

function ofController(cgroups: Cgroups, controller: Controller): Enforcement {
  const version = cgroups.version(controller);
  if (version !== undefined) return { enforced: true, by: `control group (version ${String(version)})` };
  const why = cgroups.problems[controller] ?? 'no control groups';
  const watched = controller === 'memory' ? '; it is watched, and restarted when it is over' : '';
  return { enforced: false, by: `${why}${watched}`.slice(0, 256) };
}

/** A user of its own may be limited as well. */
function pidsOf(cgroups: Cgroups, perUser: boolean): Enforcement {
  const group = ofController(cgroups, 'pids');
  return group.enforced || !perUser ? group : { enforced: true, by: 'resource limit of its user' };
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.trim() ?? '';
}
