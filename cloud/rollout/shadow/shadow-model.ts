/** What a rollout knows of the shadows on its devices, as data. */
import type { ShadowMetrics } from '#shared/protocol/shadow.js';

/** Of one device, while the shadow phase lasts. */
export interface DeviceShadow {
  /** Whether it can have one, and why not. */
  readonly can: 'yes' | 'agent' | 'nothing';
  /** When it was asked; absent: not yet. */
  readonly askedAt?: number | undefined;
  /** A version was refused there, for good in this generation. */
  readonly rejected?: string | undefined;
}

/** What came of copies of one module's requests, over all devices that were asked. */
export interface ShadowEvidence {
  readonly module: string;
  /** Undefined: nothing was told yet. */
  readonly sum: ShadowMetrics | undefined;
  /** Devices that told something, and those that were asked. */
  readonly told: number;
  readonly devices: number;
}
