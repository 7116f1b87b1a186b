/** Installing a release as a service of this machine, or into an image, and removing it; what both commands do. */
import { existsSync } from 'node:fs';
import { readlink } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { AppError } from '#shared/kernel/errors.js';
import { describeStep, type InstallationStep } from './installation-step.js';
import { type Outcome, performSteps } from './perform-steps.js';
import { planInstallation, planRemoval } from './plan-installation.js';
import { type Product, programFolder } from './product.js';
import { releaseAround } from './release-files.js';

export interface InstallationOptions {
  readonly root: string;
  /** Says what would be done, and does nothing. */
  readonly print: boolean;
}

export interface InstallationReport {
  readonly root: string;
  readonly printed: boolean;
  readonly steps: readonly { readonly step: string; readonly outcome: Outcome | 'planned' }[];
}

/** @param program URL of the program that is running, which is part of the release to install */
export async function installService(
  product: Product,
  program: string,
  options: InstallationOptions,
): Promise<InstallationReport> {
  const release = releaseAround(program);
  if (release?.facts.name !== product.name) {
    throw new AppError(
      'request.invalid',
      `this ${product.name} is not part of an unpacked archive: make one (npm run build:device, build:cloud), unpack it, and run the install in it`,
    );
  }
  const root = refuseUnfit(product, options);
  const before = await readlink(join(root, programFolder(product), 'current')).catch(() => undefined);
  const steps = planInstallation(product, {
    release: release.id,
    from: release.folder,
    before: before === undefined ? undefined : basename(before),
    live: isLive(root),
  });
  return carryOut(steps, root, options.print);
}

export async function removeService(
  product: Product,
  options: InstallationOptions & { readonly purge: boolean },
): Promise<InstallationReport> {
  const root = refuseUnfit(product, options);
  return carryOut(planRemoval(product, { purge: options.purge, live: isLive(root) }), root, options.print);
}

export function reportLines({ printed, steps }: InstallationReport): string[] {
  return steps.map(({ step, outcome }) => (printed ? step : `${outcome.padEnd(9)}  ${step}`));
}

async function carryOut(steps: readonly InstallationStep[], root: string, print: boolean): Promise<InstallationReport> {
  if (print) {
    return { root, printed: true, steps: steps.map((step) => ({ step: describeStep(step), outcome: 'planned' })) };
  }
  const done: { step: string; outcome: Outcome }[] = [];
  const machine = { root, isRoot: process.getuid?.() === 0 };
  await performSteps(steps, machine, (step, outcome) => done.push({ step: describeStep(step), outcome }));
  return { root, printed: false, steps: done };
}

function refuseUnfit(product: Product, { root: given, print }: InstallationOptions): string {
  const root = resolve(given);
  if (!existsSync(root)) throw new AppError('request.invalid', `--root ${given}: there is no such folder`);
  if (process.platform !== 'linux') {
    throw new AppError('request.invalid', `a service is installed on Linux; this is ${process.platform}`);
  }
  if (existsSync(join(root, 'var/lib/dpkg/info', `${product.name}.list`))) {
    throw new AppError(
      'request.invalid',
      `the Debian package ${product.name} is installed, and dpkg looks after it: use apt, or remove the package first`,
    );
  }
  if (!print && root === '/' && process.getuid?.() !== 0) {
    throw new AppError('permission.refused', 'this changes the machine: run it as root (sudo), or see it with --print');
  }
  return root;
}

/** Whether systemd runs the machine whose files these are. */
function isLive(root: string): boolean {
  return root === '/' && existsSync('/run/systemd/system');
}
