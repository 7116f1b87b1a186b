import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunningAgent } from '#agent/main.js';
import type { Observed } from '#agent/reconcile/observed.js';
import { StateDocuments } from '#agent/store/state-documents.js';
import { stateFolder } from '#agent/store/state-folder.js';
import { signEnvelope } from '#shared/package/dsse.js';
import { encodeMessage } from '#shared/protocol/decode.js';
import { payloadTypes } from '#shared/protocol/envelope.js';
import { buildModule, type BuiltModule, enrolledFolder, removeFolder, run } from '#test/support/agent/agent-harness.js';
import { FakeCloud, until } from '#test/support/agent/fake-cloud.js';
import { childrenOf } from '#test/support/child-processes.js';

const digits = resolve(dirname(fileURLToPath(import.meta.url)), '../../../modules/digits');
/** Long enough that a set without it is ready before it is. */
const slowScript = `
export async function init() { await new Promise((resolve) => setTimeout(resolve, 1500)); }
export function run() { return 'slow'; }
`;

describe('a device that is told otherwise in the middle of a step', () => {
  let cloud: FakeCloud;
  let folder: string;
  let agent: RunningAgent;
  let model: BuiltModule;
  let slow: BuiltModule;
  let input: string;

  beforeAll(async () => {
    cloud = await FakeCloud.start();
    folder = await enrolledFolder(cloud);
    const layout = join(folder, 'layout');
    cloud.layouts.push(layout);
    const { publisher } = cloud;
    model = await buildModule({ moduleFolder: digits, layout, publisher });
    const source = join(folder, 'slow');
    await mkdir(source);
    await writeFile(join(source, 'score.js'), slowScript);
    await copyFile(join(digits, 'model.onnx'), join(source, 'model.onnx'));
    const models = [{ name: 'digits', file: 'model.onnx' }];
    const manifest = { schema: 1, name: 'slow', flavor: 'node', entry: 'score.js', models };
    await writeFile(join(source, 'module.yaml'), JSON.stringify(manifest));
    slow = await buildModule({ moduleFolder: source, layout, publisher });
    input = await readFile(join(digits, 'fixtures/digit.json'), 'utf8');
    agent = await run(folder);
  });
  afterAll(async () => {
    await agent.stop();
    await cloud.close();
    await removeFolder(folder);
  });

  const converged = (generation: number): Promise<void> =>
    until('converged', () => cloud.state.converged && cloud.state.generation === generation, 40_000);
  const status = async (path: string, body: string): Promise<number | undefined> => {
    const headers = { 'content-type': 'application/json', connection: 'close' };
    const url = `http://127.0.0.1:${String(agent.scoring.port)}${path}`;
    return (await fetch(url, { method: 'POST', headers, body }).catch(() => undefined))?.status;
  };
  const observed = (): Observed => (agent.device.face.explain() as { observed: Observed }).observed;
  const scores = (): Promise<number | undefined> => status('/v2/models/digits/infer', input);

  it('keeps answering with a module that is wanted again before the set without it took over', async () => {
    cloud.publishDesired(cloud.desiredOf(1, { digits: model.module }));
    await converged(1);
    cloud.publishDesired(cloud.desiredOf(2, {}));
    await until('taking it off', () => observed().candidate !== undefined);
    cloud.publishDesired(cloud.desiredOf(3, { digits: model.module }));
    await converged(3);
    expect(await scores()).toBe(200);
  });

  it('lets go of a module that it was still starting with when it learnt that it is not wanted', async () => {
    cloud.publishDesired(cloud.desiredOf(4, { digits: model.module, slow: slow.module }));
    await converged(4);
    await agent.stop();
    // As if it had been killed as soon as the next document was on its disk.
    const desired = cloud.desiredOf(5, {});
    const envelope = signEnvelope(payloadTypes.desired, encodeMessage(desired), cloud.director);
    await new StateDocuments(stateFolder(folder), () => undefined).desired.write({
      envelope,
      acceptedAt: desired.issuedAt,
    });
    agent = await run(folder);
    await converged(5);
    // The host that came to answer was not disturbed by the one that was no longer needed.
    expect(observed().serving.host).toEqual({ state: 'running', exits: [] });
    expect(await childrenOf(process.pid, 'scoring/host/main')).toHaveLength(1);
    expect(await scores()).toBe(404);
    expect(await status('/score/slow', '{}')).toBe(404);
  });
});
