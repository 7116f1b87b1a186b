import { AppError } from '#shared/kernel/errors.js';

/** Nobody would run what is new or changed; what there is may be deleted. @throws AppError `service.disabled` */
export function requireEnabled(enabled: boolean): void {
  if (enabled) return;
  const message = 'web services are turned off here: set services.enabled, and start the control plane anew';
  throw new AppError('service.disabled', message);
}
