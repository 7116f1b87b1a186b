import { describe, expect, it } from 'vitest';
import { loadConfig } from '#cloud/config.js';
import { serviceHostConfig } from '#cloud/wiring/service-door.js';

const of = (flags: Record<string, string>) =>
  serviceHostConfig(loadConfig({ flags: { 'data-dir': '/var/lib/flotilla', ...flags }, environment: {} }));

describe('what a service host is started with', () => {
  it('is the certificate of the installation, and a folder of its own', () => {
    expect(of({})).toMatchObject({
      ...{ folder: '/var/lib/flotilla/services', blobs: '/var/lib/flotilla/blobs' },
      front: {
        ...{ host: '127.0.0.1', port: 8081 },
        tls: {
          certificateFile: '/var/lib/flotilla/keys/server.crt',
          privateKeyFile: '/var/lib/flotilla/keys/server.key',
        },
      },
    });
  });

  it('knows the name that callers use', () => {
    const { hostNames } = of({ 'server-names': 'a.example', 'services-advertise-url': 'https://b.example:443/' }).front;
    expect(hostNames).toEqual(['a.example', 'b.example']);
  });

  it('is containers where settings say so, and is refused without what they stand on', () => {
    expect(of({}).runtime).toEqual({ kind: 'process' });
    const asked = { 'services-runtime': 'container', 'services-container-memory-megabytes': '512' };
    expect(of({ ...asked, 'services-container-base': 'debian:12-slim' }).runtime).toMatchObject({
      ...{ kind: 'container', socket: '/var/run/docker.sock', base: { image: 'debian:12-slim' } },
      memoryBytes: 512 * 2 ** 20,
    });
    expect(of({ ...asked, 'services-container-base': '/srv/base' }).runtime).toMatchObject({
      base: { folder: '/srv/base' },
    });
    expect(() => of(asked)).toThrow('set services.containerBase');
  });

  it('is refused where keys would go over the network in the clear, or the address is a name', () => {
    expect(() => of({ 'services-host': '0.0.0.0', 'services-tls': 'off' })).toThrow('leave services.tls at generated');
    expect(() => of({ 'services-host': 'front.example' })).toThrow('is no IP address');
    expect(of({ 'services-host': 'localhost', 'services-tls': 'off' }).front.tls).toBeUndefined();
  });
});
