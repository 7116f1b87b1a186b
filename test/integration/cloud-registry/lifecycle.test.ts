import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { writeFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { AppError } from '#shared/kernel/errors.js';
import { proveLoadable } from '#cloud/registry/load-check/load-check.js';
import { builtProgram } from '#cloud/lifecycle/built-program.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';
import { fixture, startRegistry, type RegistryHarness } from '#test/support/cloud-registry/registry-harness.js';

const folder = temporaryFolder();
const failure = async (promise: Promise<unknown>): Promise<AppError> => {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof AppError)) throw new Error(`not an AppError: ${String(error)}`);
  return error;
};

describe('a control plane', () => {
  it('started again has the same models, and no second owner token', async () => {
    const first = await startRegistry(folder('again'));
    await first.register('add', { 'm.onnx': fixture('add-one.onnx') });
    await first.stop();
    const second = await startRegistry(folder('again'));
    try {
      expect(second.token).toBe('');
      const answer = await fetch(`${second.url}/v1/workspaces/default/models/add/versions/1`, {
        headers: { authorization: `Bearer ${first.token}` },
      });
      expect(answer.status).toBe(200);
    } finally {
      await second.stop();
    }
  });

  it('does not start beside another one on the same data folder', async () => {
    const first = await startRegistry(folder('locked'));
    const error = await failure(startRegistry(folder('locked')));
    expect(error.code).toBe('already.running');
    expect(error.message).toContain('--data-dir');
    await first.stop();
    await (await startRegistry(folder('locked'))).stop();
  });

  it('on a taken port names the port and the setting, and leaves the data folder free', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const port = String((other.address() as AddressInfo).port);
    const error = await failure(startRegistry(folder('port'), { 'http-port': port }));
    expect(error).toMatchObject({ code: 'port.taken', details: { port: Number(port) } });
    expect(error.message).toContain(`127.0.0.1:${port}`);
    expect(error.message).toContain('--http-port');
    other.close();
    await (await startRegistry(folder('port'))).stop();
  });

  it('that stops ends event streams and finishes the request under way', async () => {
    const cloud = await startRegistry(folder('stops'));
    const events = await openEvents(cloud);
    const digest = await cloud.upload(Buffer.alloc(3_000_000, 7));
    const download = fetch(`${cloud.url}/v1/workspaces/default/blobs/${digest}`, {
      headers: { authorization: `Bearer ${cloud.token}` },
    });
    const response = await download;
    const stopped = cloud.stop();
    expect((await response.arrayBuffer()).byteLength).toBe(3_000_000);
    await stopped;
    expect(await events.rest()).toBeDefined();
    await expect(fetch(`${cloud.url}/healthz`)).rejects.toThrow();
  });
});

describe('the event stream', () => {
  it('tells of activities of its own workspace only, each as one JSON line', async () => {
    const cloud = await startRegistry(folder('events'));
    await cloud.request('POST', '/v1/workspaces', { name: 'other' });
    const own = await openEvents(cloud);
    const other = await openEvents(cloud, 'other');
    const activity = await cloud.register('add', { 'm.onnx': fixture('add-one.onnx') });
    await cloud.stop();
    const text = await own.rest();
    expect(text).toContain('event: activity.changed\ndata: {');
    const last = text.trim().split('\n\n').at(-1)?.split('\n')[1]?.slice('data: '.length) ?? '';
    expect(JSON.parse(last)).toMatchObject({ subject: activity.id, data: { state: 'succeeded' } });
    expect(text).toContain('onnxruntime loads it');
    expect(await other.rest()).not.toContain('activity.changed');
    expect(cloud.ground.live.subscribers).toBe(0);
  });
});

describe('the load check', () => {
  const program = async (name: string, source: string): Promise<string> => {
    const path = folder(name);
    await writeFile(path, source);
    return path;
  };
  const signal = new AbortController().signal;
  const model = fixture('add-one.onnx');

  it('gives the names of what the model takes and makes', async () => {
    const entry = builtProgram('registry/load-check/main.js');
    expect(await proveLoadable(model, { entry, timeoutMs: 30_000 }, signal)).toEqual({
      loads: true,
      inputs: ['x'],
      outputs: ['y'],
      notServed: [],
    });
  });

  it('turns a crash of the process into an error with its last words', async () => {
    const entry = await program('crash.mjs', "console.error('segfault in op Foo'); process.abort();");
    const error = await failure(proveLoadable(model, { entry, timeoutMs: 30_000 }, signal));
    expect(error.code).toBe('model.unloadable');
    expect(error.message).toContain('crashed');
    expect(error.message).toContain('segfault in op Foo');
  });

  it('ends a process that hangs, naming the setting', async () => {
    const entry = await program('hang.mjs', 'setInterval(() => {}, 1000);');
    const error = await failure(proveLoadable(model, { entry, timeoutMs: 200 }, signal));
    expect(error.message).toContain('limits.loadCheckSeconds');
  });

  it('ends with the cancellation', async () => {
    const entry = await program('wait.mjs', 'setInterval(() => {}, 1000);');
    const controller = new AbortController();
    const check = proveLoadable(model, { entry, timeoutMs: 30_000 }, controller.signal);
    controller.abort(new AppError('activity.cancelled', 'cancelled'));
    expect((await failure(check)).code).toBe('activity.cancelled');
  });
});

async function openEvents(cloud: RegistryHarness, workspace = 'default'): Promise<{ rest(): Promise<string> }> {
  const response = await fetch(`${cloud.url}/v1/workspaces/${workspace}/events`, {
    headers: { authorization: `Bearer ${cloud.token}` },
  });
  expect(response.headers.get('content-type')).toContain('text/event-stream');
  const text = response.text();
  return { rest: () => text };
}
