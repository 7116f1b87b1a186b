/** Takes a scoring port. Hosts of an agent that was killed may hold it for a moment: they end by themselves. */
import type { Clock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { bindHandle, type ListenHandle } from '#shared/supervisor/listen-handle.js';

const retryMs = 250;

/** @throws AppError `port.taken` */
export async function bindWithPatience(
  address: string,
  port: number,
  patienceMs: number,
  clock: Clock,
  setting: 'scoring-port' | 'grpc-port' = 'scoring-port',
): Promise<ListenHandle> {
  const deadline = clock.monotonic() + patienceMs;
  for (;;) {
    try {
      return bindHandle(address, port);
    } catch (error) {
      const taken = error instanceof AppError && error.code === 'port.taken';
      if (!taken) throw error;
      if (clock.monotonic() >= deadline) {
        const { message, details } = error;
        const variable = `FLOTILLA_AGENT_${setting.replace('-', '_').toUpperCase()}`;
        throw new AppError('port.taken', `${message}; it is set by --${setting} or ${variable}`, {
          details,
          cause: error,
        });
      }
      await clock.sleep(retryMs);
    }
  }
}
