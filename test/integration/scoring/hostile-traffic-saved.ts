/** Requests that once did harm: each is sent again by every run. */
import type { HostileRequest } from '#test/support/hostile-requests.js';

export const savedRequests: readonly HostileRequest[] = [];
