/** What processes of modules do wrong, as events for the cloud and lines in the module's log. */
import type { Clock } from '#shared/kernel/clock.js';
import type { DeviceEvent } from '#shared/protocol/stream.js';
import type { ExitCause } from '#shared/supervisor/exit-cause.js';
import type { Dropped } from '#shared/supervisor/log-budget.js';
import { crashEvent, crashReason } from '#agent/telemetry/crash-event.js';

/** A flood is one event, not a flood of events. */
const quietMs = 60_000;

export class ModuleTroubles {
  private readonly floods = new Map<string, { lines: number; bytes: number; saidAt: number }>();

  constructor(
    private readonly clock: Clock,
    private readonly raise: (event: Omit<DeviceEvent, 'at'>) => void,
    private readonly log: (module: string, line: string) => void,
  ) {}

  /** @param module undefined: the scoring host, which is all modules' */
  ended(module: string | undefined, cause: ExitCause): { readonly clean: boolean; readonly reason: string } {
    const reason = crashReason(module, cause);
    this.raise(crashEvent(module, cause));
    if (module !== undefined) this.log(module, reason);
    return { clean: cause.kind === 'exit' && cause.code === 0, reason };
  }

  dropped(module: string, { lines, bytes }: Dropped): void {
    this.log(module, `${String(lines)} lines were dropped here: it wrote more than is kept`);
    const now = this.clock.monotonic();
    const sum = this.floods.get(module) ?? { lines: 0, bytes: 0, saidAt: -Infinity };
    sum.lines += lines;
    sum.bytes += bytes;
    this.floods.set(module, sum);
    if (now - sum.saidAt < quietMs) return;
    const details = { droppedLines: sum.lines, droppedBytes: sum.bytes };
    const message = `it wrote more to its log than is kept: ${String(sum.lines)} lines were dropped`;
    this.raise({ level: 'warn', type: 'module.log-flood', module, message, details });
    this.floods.set(module, { lines: 0, bytes: 0, saidAt: now });
  }
}
