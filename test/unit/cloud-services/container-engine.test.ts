import { describe, expect, it } from 'vitest';
import { containerEnd } from '#cloud/services/containers/container-end.js';
import { capabilitiesOf, refuseUnbounded } from '#cloud/services/containers/container-bounds.js';
import { containerBody } from '#cloud/services/containers/container-options.js';
import { apiVersionOf, nameOf, residentOf } from '#cloud/services/containers/engine-facts.js';
import { EngineHttp, refusalOf } from '#cloud/services/containers/engine-http.js';
import type { ModuleManifest } from '#shared/package/module-manifest.js';
import * as z from 'zod';

describe('a container engine', () => {
  it('is spoken to in the newest version that both know, and refused where there is none', () => {
    expect(apiVersionOf({ ApiVersion: '1.41', MinAPIVersion: '1.12' })).toBe('1.41');
    expect(apiVersionOf({ ApiVersion: '1.99', MinAPIVersion: '1.44' })).toBe('1.47');
    expect(() => apiVersionOf({ ApiVersion: '1.39', MinAPIVersion: '1.12' })).toThrow('use Docker Engine 19.03');
    expect(() => apiVersionOf({ ApiVersion: '1.60', MinAPIVersion: '1.50' })).toThrow('1.50 to 1.60');
    expect(nameOf({ Components: [{ Name: 'Podman Engine' }] })).toBe('podman');
    expect(nameOf({ Components: [{ Name: 'Engine' }, { Name: 'containerd' }] })).toBe('docker');
  });

  it('says in its own words why it refuses, and we what to do', () => {
    const refusal = (status: number, message: string): unknown =>
      refusalOf('start a container', status, Buffer.from(JSON.stringify({ message })));
    expect(refusal(500, 'write /x: no space left on device')).toMatchObject({ code: 'disk.full' });
    expect(refusal(404, 'No such image: x')).toMatchObject({ code: 'image.not-found' });
    expect(refusal(409, 'name in use')).toMatchObject({ code: 'engine.refused', details: { status: 409 } });
    expect(refusal(500, 'setrlimit RLIMIT_NPROC: operation not permitted')).toMatchObject({
      message: expect.stringContaining('default_ulimits') as string,
    });
    expect(refusalOf('start', 502, Buffer.from('<html>')).message).toContain('status 502');
  });

  it('that is not there is told as such', async () => {
    const call = { method: 'GET', path: '/version', what: 'say its version' } as const;
    await expect(new EngineHttp('/nowhere/engine.sock').ask(call, z.unknown())).rejects.toMatchObject({
      code: 'engine.unreachable',
      message: expect.stringContaining('start Docker Engine') as string,
    });
  });

  it('counts what a container holds without what is only cache, on both kinds of cgroups', () => {
    expect(residentOf({ memory_stats: { usage: 100, stats: { total_inactive_file: 30 } } })).toBe(70);
    expect(residentOf({ memory_stats: { usage: 100, stats: { inactive_file: 40 } } })).toBe(60);
    expect(residentOf({ memory_stats: { usage: 100 } })).toBe(100);
    expect(residentOf({ memory_stats: null })).toBeUndefined();
  });
});

describe('a container', () => {
  it('has nothing that scoring does not need', () => {
    const limits = { memoryBytes: 1000, cpus: 0.5, processes: 64, scratchBytes: 10 };
    const body = containerBody({ image: 'sha256:1', folder: '/run/a', labels: {}, limits });
    expect(body).toMatchObject({
      User: '65532:65532',
      HostConfig: {
        ...{ NetworkMode: 'none', ReadonlyRootfs: true, CapDrop: ['ALL'], SecurityOpt: ['no-new-privileges'] },
        ...{ PidsLimit: 64, Memory: 1000, MemorySwap: 1000, NanoCpus: 500_000_000 },
        Binds: ['/run/a:/flotilla/run:rw'],
      },
    });
    expect(JSON.stringify(body)).not.toMatch(/Devices|VolumesFrom|"Privileged":true|docker\.sock/);
  });

  it('says why it ended: in its own words, by the kernel for its memory, or as the engine saw it', () => {
    const state = { OOMKilled: false, ExitCode: 1, Error: '' };
    const told = { code: 'golden.mismatch', message: 'vector three' } as const;
    expect(containerEnd({ ...state, OOMKilled: true }, told, [], undefined)).toBe(told);
    expect(containerEnd({ ...state, OOMKilled: true, ExitCode: 137 }, undefined, [], 2 ** 28).message).toBe(
      'its container ran out of memory of 256 MB',
    );
    expect(containerEnd({ ...state, ExitCode: 137 }, undefined, [], 1).message).toBe('its container ended by SIGKILL');
    expect(containerEnd({ ...state, ExitCode: 127 }, undefined, ['libstdc++.so.6: cannot open'], 1).message).toMatch(
      /libstdc.*Its base must have glibc/,
    );
  });

  it('runs user code that asks for no more than it bounds', () => {
    const policy = { allowNetwork: false, maxMemoryBytes: 2 ** 30, maxCpus: 4, require: ['memory'] as const };
    const module = (more: object): ModuleManifest =>
      ({ schema: 1, name: 'm', flavor: 'node', entry: 'a.mjs', models: [], ...more }) as unknown as ModuleManifest;
    const bounded = capabilitiesOf({ memoryBytes: 2 ** 30, cpus: 1 });
    expect(() => refuseUnbounded(module({}), policy, bounded)).not.toThrow();
    expect(() => refuseUnbounded(module({}), policy, capabilitiesOf({}))).toThrow('containers have no limit of memory');
    expect(() => refuseUnbounded(module({ permissions: { network: true } }), policy, bounded)).toThrow(
      'it asks for the network, which replicas in containers do not have',
    );
  });
});
