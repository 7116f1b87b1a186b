/**
 * The execution providers that run models on this machine, as the trial of `flotilla-agent providers check` finds them.
 * What onnxruntime lists is no proof. A provider is tried only where something speaks for its hardware, so that a
 * machine without any starts no process.
 */
import { existsSync, readdirSync } from 'node:fs';
import { checkProviders } from './check-providers.js';
import { type HardwareSigns, providersToTry } from './providers-to-try.js';
import type { HostEnvironment } from './loader-environment.js';

export interface AcceleratorParts {
  /** The built `provider-check/main.js`. */
  readonly entry: string;
  readonly environment: HostEnvironment;
  /** For example `linux-x64`. */
  readonly platform: string;
  /** What was found of one that is there and does not work, for the log. */
  readonly onRefused: (provider: string, reason: string) => void;
  readonly onError: (error: unknown) => void;
}

const deadlineMs = 60_000;

export class KnownAccelerators {
  private found: readonly string[] = ['cpu'];
  private trial: Promise<void> | undefined;

  constructor(private readonly parts: AcceleratorParts) {}

  /** `cpu` alone until the trial is over. */
  get current(): readonly string[] {
    return this.found;
  }

  /** Makes the trial, once, and waits for its end. Never rejects. */
  ready(): Promise<void> {
    this.trial ??= this.take().catch((error: unknown) => this.parts.onError(error));
    return this.trial;
  }

  private async take(): Promise<void> {
    const { parts } = this;
    const providers = providersToTry(parts.platform, signsOfThisMachine(parts.environment));
    if (providers.length === 0) return;
    const rows = await checkProviders(providers, { ...parts, deadlineMs }, ({ provider, outcome, reason }) => {
      if (outcome !== 'works') parts.onRefused(provider, `${outcome}: ${reason ?? 'it says nothing'}`);
    });
    this.found = ['cpu', ...rows.filter(({ outcome }) => outcome === 'works').map(({ provider }) => provider)];
  }
}

function signsOfThisMachine(environment: HostEnvironment): HardwareSigns {
  return {
    nvidia: existsSync('/proc/driver/nvidia/version') || existsSync('/dev/nvidiactl') || existsSync('/dev/dxg'),
    graphics:
      rendersIn('/dev/dri') || ['VK_ICD_FILENAMES', 'VK_DRIVER_FILES'].some((name) => Object.hasOwn(environment, name)),
  };
}

function rendersIn(folder: string): boolean {
  try {
    return readdirSync(folder).some((name) => name.startsWith('renderD'));
  } catch {
    return false;
  }
}
