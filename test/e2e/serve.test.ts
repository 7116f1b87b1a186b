import { createServer } from 'node:net';
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Daemon, ProgramFailed, runProgram } from '#cloud/quickstart/program.js';
import { CliHarness } from '../support/cli/cli-harness.js';
import { childrenOf } from '../support/child-processes.js';
import { GrpcClient } from '../support/grpc-client.js';
import { SteadyLoad } from '../support/steady-load.js';
import { repository } from '../support/world.js';

const build = join(repository, 'dist');
const digits = join(repository, 'modules/digits');

interface Ready {
  readonly url: string;
  readonly port: number;
  readonly grpc?: string;
  readonly controlToken?: string;
  readonly modules: readonly {
    readonly name: string;
    readonly version: number;
    readonly digest: string;
    readonly proved?: number;
    readonly example?: string;
    readonly loaded: { readonly provider: string; readonly models: readonly { readonly maxBatchRows: number }[] };
  }[];
}

describe('flotilla serve', () => {
  let folder: string;
  let digit: string;
  const running = new Set<Daemon>();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'flotilla-serve-test-'));
    await mkdir(join(folder, 'tmp'));
    digit = await readFile(join(digits, 'fixtures/digit.json'), 'utf8');
  });
  afterEach(async () => {
    for (const daemon of running) await daemon.stop();
    running.clear();
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  const environment = (): Record<string, string> => ({ HOME: folder, TMPDIR: join(folder, 'tmp') });

  const serve = async (...args: readonly string[]): Promise<{ daemon: Daemon; ready: Ready }> => {
    const all = ['--output', 'json', 'serve', '--port', '0', ...args];
    const daemon = new Daemon({ build, name: 'flotilla', args: all, env: environment() });
    running.add(daemon);
    const line = await daemon.until('ready', 60_000, () => /^\{"version".*$/m.exec(daemon.output)?.[0]);
    return { daemon, ready: JSON.parse(line) as Ready };
  };
  const endsOn = async (signal: 'SIGINT' | 'SIGTERM', daemon: Daemon, { url }: Ready): Promise<void> => {
    const last = await post(`${url}/v2/models/digits/infer`, digit);
    expect(last.status).toBe(200);
    daemon.kill(signal);
    expect(await daemon.exited).toBe('0');
    await expect(fetch(url)).rejects.toThrow();
    expect(await readdir(join(folder, 'tmp'))).toEqual([]);
  };
  const refusal = async (...args: readonly string[]): Promise<ProgramFailed> => {
    const ended = await runProgram({ build, name: 'flotilla', args: ['serve', ...args], env: environment() }).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (ended instanceof ProgramFailed) return ended;
    throw new Error('it was not refused');
  };
  const post = (url: string, body: string | Uint8Array, headers: Record<string, string> = {}): Promise<Response> =>
    // A connection that rests would be waited for at the end of each server.
    fetch(url, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', connection: 'close', ...headers },
    });
  const copyOfDigits = async (name: string): Promise<string> => {
    const copy = join(folder, name);
    await cp(digits, copy, { recursive: true });
    return copy;
  };
  /** The second version of the model in the folder of the first. */
  const changeModel = async (copy: string): Promise<void> => {
    await cp(join(digits, 'golden-v2.json'), join(copy, 'golden.json'));
    await cp(join(digits, 'model-v2.onnx'), join(copy, 'model.onnx'));
  };

  describe('on ports of its own for HTTP and gRPC, with a control token of its own making', () => {
    let daemon: Daemon;
    let ready: Ready;
    beforeAll(async () => {
      ({ daemon, ready } = await serve(digits, '--grpc-port', '0', '--control-token', 'auto'));
      // It outlives each of these.
      running.delete(daemon);
    });
    afterAll(() => daemon.stop());

    it('answers V2 in JSON and in binary, with its golden vectors proved', async () => {
      expect(ready.modules).toMatchObject([
        { name: 'digits', version: 1, proved: 4, loaded: { provider: 'cpu', models: [{ maxBatchRows: 32 }] } },
      ]);
      const url = `${ready.url}/v2/models/digits/infer`;

      const json = await post(url, digit);
      const answer = (await json.json()) as { outputs: { data: number[] }[] };
      expect([json.status, json.headers.get('flotilla-digest')]).toEqual([200, ready.modules[0]?.digest]);

      const pixels = (JSON.parse(digit) as { inputs: { name: string; shape: number[]; data: number[] }[] }).inputs[0];
      const data = Buffer.from(Float32Array.from(pixels?.data ?? []).buffer);
      const head = JSON.stringify({
        inputs: [{ ...pixels, datatype: 'FP32', data: undefined, parameters: { binary_data_size: data.length } }],
        outputs: [{ name: 'probabilities', parameters: { binary_data: true } }],
      });
      const binary = await post(url, Buffer.concat([Buffer.from(head), data]), {
        'content-type': 'application/octet-stream',
        'inference-header-content-length': String(head.length),
      });
      const headLength = Number(binary.headers.get('inference-header-content-length'));
      const floats = new Float32Array((await binary.arrayBuffer()).slice(headLength));
      expect([...floats]).toEqual(answer.outputs[0]?.data.map(Math.fround));
    });

    it('answers gRPC on a port of its own where that is asked for', async () => {
      const client = new GrpcClient(ready.grpc ?? '');
      const { answer } = await client.call<{ ready: boolean }>('ModelReady', { name: 'digits' });
      client.close();
      expect(answer).toEqual({ ready: true });
    });

    it('has printed the control token that it was to make, once', () => {
      expect(ready.controlToken).toMatch(/^[\w-]{43}$/);
      expect(daemon.output.split(ready.controlToken ?? '-')).toHaveLength(2);
    });

    it('unloads and loads for who has the control token, and for nobody else', async () => {
      const token = ready.controlToken ?? '';
      const control = (action: string, token: string): Promise<Response> =>
        post(`${ready.url}/v2/repository/models/digits/${action}`, '', { authorization: `Bearer ${token}` });
      const infer = async (): Promise<number> => (await post(`${ready.url}/v2/models/digits/infer`, digit)).status;
      expect([(await control('unload', 'open-barley')).status, await infer()]).toEqual([401, 200]);
      expect([(await control('unload', token)).status, await infer()]).toEqual([200, 503]);
      expect([(await control('load', token)).status, await infer()]).toEqual([200, 200]);
    });

    it('starts the scoring host again after it was killed, and says so', async () => {
      const [host] = await childrenOf(daemon.pid, 'scoring/host');
      if (host === undefined) throw new Error('there is no scoring host');
      process.kill(host, 'SIGKILL');
      await daemon.until('serving again', 30_000, () =>
        daemon.output.includes('the scoring host serves again') ? true : undefined,
      );
      expect(daemon.output).toMatch(/the scoring host ended: SIGKILL/);
      expect((await post(`${ready.url}/v2/models/digits/infer`, digit)).status).toBe(200);
    });

    it('ends cleanly on SIGINT and leaves nothing behind', () => endsOn('SIGINT', daemon, ready));
  });

  it('takes the control token that it is given, prints none, and ends cleanly on SIGTERM', async () => {
    const { daemon, ready } = await serve(digits, '--control-token', 'open-sesame');
    expect([ready.controlToken, ready.grpc, daemon.output.includes('open-sesame')]).toEqual([
      undefined,
      undefined,
      false,
    ]);
    const unload = (token: string): Promise<Response> =>
      post(`${ready.url}/v2/repository/models/digits/unload`, '', {
        authorization: `Bearer ${token}`,
        connection: 'close',
      });
    expect([(await unload('open-barley')).status, (await unload('open-sesame')).status]).toEqual([401, 200]);
    const load = `${ready.url}/v2/repository/models/digits/load`;
    expect((await post(load, '', { authorization: 'Bearer open-sesame', connection: 'close' })).status).toBe(200);
    await endsOn('SIGTERM', daemon, ready);
  });

  it('serves folders of one name as versions in the order given, by the traffic that it is told, each as its module.yaml says', async () => {
    const second = await copyOfDigits('second');
    await changeModel(second);
    await appendFile(join(second, 'module.yaml'), 'capture: { rate: 1 }\nbatching: { mode: "off" }\n');
    const kept = join(folder, 'kept');
    const { daemon, ready } = await serve(digits, second, '--traffic', 'digits=1:0,2:1', '--capture', kept);
    expect(ready.modules).toMatchObject([
      { name: 'digits', version: 1, proved: 4, loaded: { models: [{ maxBatchRows: 32 }] } },
      { name: 'digits', version: 2, proved: 4, loaded: { models: [{ maxBatchRows: 0 }] } },
    ]);
    const answeredBy = async (path: string): Promise<unknown> => {
      const answer = await post(`${ready.url}/v2/models/digits/${path}infer`, digit);
      return [answer.status, answer.headers.get('flotilla-version')];
    };
    for (const version of ['1', '2']) expect(await answeredBy(`versions/${version}/`)).toEqual([200, version]);
    expect(await answeredBy('')).toEqual([200, '2']);
    await daemon.stop();
    expect(await readdir(join(kept, 'digits'))).toEqual(['2']);
  });

  it('goes on with what it has where a change cannot be served, and serves the next without failing a request', async () => {
    const watched = await copyOfDigits('watched');
    const { daemon, ready } = await serve(watched, '--watch');
    // The golden vectors of the other version do not agree with this model.
    await cp(join(digits, 'golden-v2.json'), join(watched, 'golden.json'));
    await writeFile(join(watched, 'model.onnx'), 'not a model');
    await daemon.until('refusing the change', 60_000, () =>
      daemon.output.includes('what was served goes on') ? true : undefined,
    );
    const before = await post(`${ready.url}/v2/models/digits/infer`, digit);
    expect([before.status, before.headers.get('flotilla-digest')]).toEqual([200, ready.modules[0]?.digest]);

    const load = new SteadyLoad(`${ready.url}/v2/models/digits/infer`, Buffer.from(digit), 4);
    await changeModel(watched);
    await daemon.until('serving the change', 60_000, () =>
      daemon.output.includes('the sources changed, and are served') ? true : undefined,
    );
    const afterwards = await post(`${ready.url}/v2/models/digits/infer`, digit);
    const { answered, failures } = await load.stop();
    expect(failures).toEqual([]);
    expect(answered).toBeGreaterThan(0);
    expect(afterwards.headers.get('flotilla-digest')).not.toBe(ready.modules[0]?.digest);
  });

  it('gives a first request that works', async () => {
    const { ready } = await serve(join(repository, 'test/fixtures/models/two-inputs.onnx'));
    expect(ready.modules).toMatchObject([{ name: 'two-inputs', version: 1 }]);
    const example = await readFile(ready.modules[0]?.example ?? '', 'utf8');
    expect((await post(`${ready.url}/v2/models/two-inputs/infer`, example)).status).toBe(200);
  });

  it('runs scoring scripts in a process of their own, and starts that again after it was killed', async () => {
    const words = join(folder, 'words');
    await cp(join(repository, 'test/fixtures/modules/digit-words'), words, { recursive: true });
    await cp(join(digits, 'model.onnx'), join(words, 'model.onnx'));
    const { daemon, ready } = await serve(words);
    const { inputs } = JSON.parse(digit) as { inputs: { data: number[] }[] };
    const ask = (): Promise<Response> => post(`${ready.url}/score`, JSON.stringify({ pixels: inputs[0]?.data }));
    expect(await (await ask()).json()).toMatchObject({ word: 'three' });

    const [script] = await childrenOf(daemon.pid, 'script-host');
    if (script === undefined) throw new Error('there is no script host');
    process.kill(script, 'SIGKILL');
    await daemon.until('answering again', 30_000, () =>
      daemon.output.includes('the script of digit-words answers again') ? true : undefined,
    );
    expect(await (await ask()).json()).toMatchObject({ word: 'three' });
  });

  it('copies requests to a shadow that never answers them', async () => {
    const second = await copyOfDigits('shadow');
    await changeModel(second);
    const { daemon, ready } = await serve(digits, second, '--shadow', 'digits=2');
    const answer = await post(`${ready.url}/v2/models/digits/infer`, digit);
    expect(answer.headers.get('flotilla-version')).toBe('1');
    await daemon.until('copying', 30_000, async () => {
      const metrics = await (await fetch(`${ready.url}/metrics`, { headers: { connection: 'close' } })).text();
      const copies = /^flotilla_shadow_(agreed|disagreed|differed)_total\{model="digits",version="2"\} 1$/m;
      return copies.test(metrics) ? true : undefined;
    });
  });

  it('prints how it would serve, with the defaults filled in and without the control token', async () => {
    const args = ['serve', digits, '--print-config', '--instances', '3', '--control-token', 'secret-token'];
    const text = await runProgram({ build, name: 'flotilla', args, env: environment() });
    expect(text).not.toContain('secret-token');
    expect(JSON.parse(text)).toMatchObject({
      host: '127.0.0.1',
      control: true,
      modules: [{ name: 'digits', instances: 3, scoring: { batching: { mode: 'auto' } } }],
    });
  });

  it('refuses golden vectors that do not agree, unless told to serve without', async () => {
    const wrong = await copyOfDigits('wrong-golden');
    await cp(join(digits, 'golden-v2.json'), join(wrong, 'golden.json'));
    const { exit, output } = await refusal(wrong, '--port', '0');
    expect([exit, output]).toEqual(['1', expect.stringMatching(/error golden\.mismatch: digits:1: /)]);
    expect((await serve(wrong, '--no-golden')).ready.modules[0]?.proved).toBeUndefined();
  });

  it.each([
    [['/nowhere'], '2', 'error module.invalid: there is no /nowhere'],
    [[join(repository, 'docs')], '2', 'error module.invalid: the module manifest: there is no file'],
    [[join(digits, 'module.yaml')], '2', `give its folder, ${digits}`],
    [[join(repository, 'test/fixtures/models/unloadable.onnx')], '2', 'error model.unloadable: unloadable: '],
    [[digits, '--traffic', 'digit=1:1'], '2', 'no module "digit" here; did you mean digits?'],
  ])('%j is refused with exit code %s', async (args, code, message) => {
    const { exit, output } = await refusal(...args, '--port', '0');
    expect(output).toContain(message);
    expect(exit).toBe(code);
  });

  it.each([
    [[digits, '--prt', '1'], 2, "unknown option '--prt'. Did you mean --port?"],
    [[digits, '--port', '70000'], 2, '--port 70000 is no port'],
    [[digits, '--host', 'localhost'], 2, '--host localhost is no IP address'],
    [[digits, '--instances', 'many'], 2, '"many" is no count'],
    [[digits, '--control-token', 'a b'], 2, '--control-token: 8 to 256'],
    [[], 2, "missing required argument 'source'"],
  ])('%j is no such command: exit code %s', async (args, code, message) => {
    // In this process: nothing is served before all of it was read.
    const { exit, stdout, stderr } = await CliHarness.at(folder).run(['serve', ...args]);
    expect(stdout + stderr).toContain(message);
    expect(exit).toBe(code);
  });

  it('says that the port is taken before it does anything slow', async () => {
    const server = createServer();
    const port = await new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port));
    });
    const { exit, output } = await refusal('/nowhere', '--port', String(port));
    server.close();
    expect([exit, output]).toEqual(['7', expect.stringContaining(`error port.taken: port ${String(port)} on 127`)]);
  });
});
