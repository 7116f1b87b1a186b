import { describe, expect, it } from 'vitest';
import { DeviceSession } from '#agent/link/device-session.js';
import { systemClock } from '#shared/kernel/clock.js';
import { createLogger } from '#shared/platform/logger.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { address, FakeCloud } from '#test/support/agent/fake-cloud.js';

describe('an agent that is stopped', () => {
  it.each(['subscribing', 'presence'] as const)(
    'while it connects (%s) is not taken for online afterwards',
    async (moment) => {
      const cloud = await FakeCloud.start();
      const client = await cloud.deviceCertificate();
      const session = new DeviceSession(
        {
          ...{ address, urls: [cloud.brokerUrl], serverName: controlPlaneServerName },
          ...{ proxy: { proxy: undefined, noProxy: '' }, bootId: 1, agentVersion: '0.0.0', keepaliveSeconds: 30 },
          ...{ reconnect: { baseMs: 20, maxMs: 100 }, connectTimeoutMs: 5_000 },
        },
        {
          clock: systemClock,
          random: Math.random,
          logger: createLogger('test', { level: 'silent', pretty: false }),
          client: () => client,
          authorities: () => [cloud.authorityPem],
          trustedNow: () => Number.NEGATIVE_INFINITY,
          onLink: () => undefined,
          onMessage: () => undefined,
        },
      );
      const stopped = new Promise<void>((resolve) => {
        cloud.onMoment = (now) => {
          if (now === moment) resolve(session.stop());
        };
      });
      session.start();
      await stopped;
      expect(cloud.presences.at(-1)).toMatchObject({ online: false });
      await cloud.close();
    },
  );
});
