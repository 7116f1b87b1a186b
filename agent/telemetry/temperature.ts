/** The temperature of the processor, where the machine has a sensor that can be read; where none is, it is seldom asked. */
import type { Clock } from '#shared/kernel/clock.js';

const patienceMs = 10 * 60_000;

export interface TemperatureReading {
  /** Degrees Celsius; null or absent where there is no sensor. */
  readonly main: number | null;
  readonly max?: number | null;
}

export class TemperatureReader {
  private notBefore = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly clock: Clock,
    private readonly sensors: () => Promise<TemperatureReading>,
  ) {}

  /** Never fails: what cannot be read is absent. */
  async read(): Promise<number | undefined> {
    if (this.clock.monotonic() < this.notBefore) return undefined;
    const { main, max } = await this.sensors().catch((): TemperatureReading => ({ main: null }));
    const hottest = typeof max === 'number' && Number.isFinite(max) ? max : main;
    // Drivers that know nothing say 0 or -1.
    if (hottest !== null && Number.isFinite(hottest) && hottest > 0 && hottest < 300) return hottest;
    this.notBefore = this.clock.monotonic() + patienceMs;
    return undefined;
  }
}
