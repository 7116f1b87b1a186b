/** Who may ask the scoring port of this device: its settings, and the keys that come and go while it runs. */
import type { Clock } from '#shared/kernel/clock.js';
import { accessMode, type AccessSettings, hostAccess } from '#shared/scoring/access/access-settings.js';
import type { HostAccess } from '#shared/scoring/access/host-access.js';
import type { LocalFace } from '#agent/local/local-api.js';
import { ScoringKeys } from '#agent/local/scoring-keys.js';

export interface AccessView {
  readonly mode: HostAccess['mode'];
  readonly keys: number;
}

interface AccessParts {
  readonly keysPath: string;
  readonly settings: AccessSettings;
  readonly machineName: string;
  readonly clock: Clock;
  /** A file that cannot be read: no key counts until new ones are made. */
  readonly onDamage: (path: string) => void;
}

const remedy =
  'make one with "flotilla-agent keys create <name>", or set scoring.access to open (--scoring-access open) to serve whoever reaches it';

export class ScoringAccess {
  private constructor(
    private readonly parts: AccessParts,
    private readonly mode: HostAccess['mode'],
    private readonly keys: ScoringKeys,
  ) {}

  /** @throws AppError `config.invalid` where it would be open to others without anyone having said so */
  static async open(parts: AccessParts): Promise<ScoringAccess> {
    const keys = await ScoringKeys.open(parts.keysPath, parts.clock, parts.onDamage);
    return new ScoringAccess(parts, accessMode(parts.settings, keys.wereMade, remedy), keys);
  }

  get current(): HostAccess {
    const { settings, machineName } = this.parts;
    return hostAccess(settings, this.mode, this.keys.digests, machineName);
  }

  get view(): AccessView {
    return { mode: this.mode, keys: this.keys.digests.length };
  }

  /** @param apply tells the hosts that run */
  keysFace(apply: (access: HostAccess) => Promise<void>): LocalFace['keys'] {
    const { keys } = this;
    return {
      list: () => keys.list(),
      create: async (name) => {
        const made = await keys.create(name);
        await apply(this.current);
        return made;
      },
      revoke: async (name) => {
        await keys.revoke(name);
        await apply(this.current);
      },
    };
  }
}
