/**
 * The main job, from nothing to telemetry, with the built programs as separate processes and the very
 * commands a person would type. Knows no more of the system than a person does.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import * as z from 'zod';
import { drawDigit } from './digit-picture.js';
import { freePort } from './free-port.js';
import { Daemon, type Environment, type ProgramName, runProgram } from './program.js';
import type { Steps } from './steps.js';

export interface QuickstartInput {
  /** The folder of the build. */
  readonly build: string;
  /** The folder of the digits module. */
  readonly module: string;
  /** A folder of this run alone; everything it makes lies there. */
  readonly scratch: string;
  readonly steps: Steps;
  readonly write: (line: string) => void;
  /** Gets every daemon as it starts, so that all are stopped whatever happens. */
  readonly own: (daemon: Daemon) => void;
}

interface Device {
  readonly name: string;
  readonly port: number;
  readonly env: Environment;
}

const inferRequest = z.object({
  inputs: z.array(
    z.object({ name: z.string(), shape: z.array(z.int()), datatype: z.string(), data: z.array(z.number()) }),
  ),
});
const inferResponse = z.object({
  model_version: z.string().optional(),
  outputs: z.array(z.object({ name: z.string(), data: z.array(z.number()) })),
});
const telemetry = z.object({
  batches: z.int(),
  modules: z.array(
    z.object({
      module: z.string(),
      version: z.int(),
      provider: z.string().optional(),
      requests: z.int(),
      latencyMs: z.object({ p50: z.number().nullable(), p99: z.number().nullable() }),
    }),
  ),
});

/** How many requests each device is asked; the telemetry must count exactly as many. */
const requestsPerDevice = 20;

export async function runQuickstart(input: QuickstartInput): Promise<void> {
  const { steps, write } = input;
  const home = join(input.scratch, 'operator');
  const operator: Environment = { FLOTILLA_HOME: home, HOME: input.scratch };
  const flotilla = (args: readonly string[]): Promise<string> =>
    runProgram({ build: input.build, name: 'flotilla', args, env: operator });
  const start = (name: ProgramName, args: readonly string[], env: Environment): Daemon => {
    const daemon = new Daemon({ build: input.build, name, args, env });
    input.own(daemon);
    return daemon;
  };

  const ports = await choosePorts(write);
  const url = `https://127.0.0.1:${String(ports.api)}`;
  const devices: Device[] = [device(input.scratch, 'cam-1', ports.first), device(input.scratch, 'cam-2', ports.second)];

  const login = await steps.run(
    'Start the control plane: API, MQTT broker, database, blob store',
    async () => {
      const cloud = start(
        'flotilla',
        [
          ...['cloud', '--data-dir', join(input.scratch, 'cloud'), '--http-port', String(ports.api)],
          ...['--gateway-port', String(ports.gateway), '--broker-port', String(ports.broker)],
        ],
        operator,
      );
      return cloud.until('up, and printing how to log in', 30_000, () =>
        /^ +flotilla (login .+)$/m.exec(cloud.output)?.[1]?.split(' '),
      );
    },
    () => [`${url}/docs`],
  );
  await steps.run(
    'Sign in with the line it printed: the owner token, and the authority that its certificate must chain to',
    () => flotilla(login),
    () => ['flotilla login https://… --authority … --token …'],
  );
  await steps.run(
    'Register a real model',
    () => flotilla(['model', 'register', join(input.module, 'model.onnx'), '--name', 'digits', '--tag', 'stage=dev']),
    () => ['flotilla model register modules/digits/model.onnx --name digits --tag stage=dev'],
  );
  await steps.run(
    'Build a module from it and sign it, on this machine',
    async () =>
      json(
        await flotilla(['image', 'build', input.module, '--model', 'digits:1', '--output', 'json']),
        z.object({ digest: z.string() }),
      ),
    (image) => ['flotilla image build modules/digits --model digits:1', image.digest],
  );
  await steps.run(
    'Enrol two devices, each with a one-time token',
    async () => {
      for (const one of devices) {
        const made = json(
          await flotilla(['device', 'token', '--tag', 'site=quickstart', '--output', 'json']),
          z.object({ token: z.string() }),
        );
        await runProgram({
          build: input.build,
          name: 'flotilla-agent',
          args: ['enroll', '--token', made.token, '--name', one.name],
          env: one.env,
        });
      }
    },
    () => [
      'flotilla device token --tag site=quickstart',
      ...devices.map((one) => `flotilla-agent enroll --token … --name ${one.name}`),
    ],
  );
  await steps.run(
    'Start an agent on each',
    async () => {
      const agents = devices.map((one) => start('flotilla-agent', ['run'], one.env));
      const online = z.object({ online: z.boolean() });
      for (const [index, one] of devices.entries()) {
        await agents[index]?.until('online', 30_000, async () =>
          json(await flotilla(['device', 'show', one.name, '--output', 'json']), online).online ? true : undefined,
        );
      }
    },
    () => ['flotilla-agent run'],
  );
  await steps.run(
    'Deploy over MQTT: verify, fetch, prove, switch',
    () => Promise.all(devices.map((one) => flotilla(['deploy', 'digits:1', '--device', one.name, '--timeout', '60s']))),
    () => devices.map((one) => `flotilla deploy digits:1 --device ${one.name}`),
  );

  const digit = await readFile(join(input.module, 'fixtures/digit.json'), 'utf8');
  const pixels = json(digit, inferRequest).inputs[0]?.data ?? [];
  await steps.run(
    `Score a real digit on each device's local port, ${String(requestsPerDevice)} times`,
    async () => {
      const answers = [];
      for (const one of devices) answers.push({ one, answer: await scoreLocally(one, digit) });
      return answers;
    },
    (answers) => [...drawDigit(pixels), ...answers.map(({ one, answer }) => `${one.name}: ${prediction(answer)}`)],
  );
  await steps.run(
    'Score the same digit from the cloud, as a signed command over MQTT',
    async () => {
      const path = join(input.module, 'fixtures/digit.json');
      const text = await flotilla([
        'score',
        '--device',
        'cam-1',
        '--module',
        'digits',
        '--input',
        path,
        '--output',
        'json',
      ]);
      return json(text, z.object({ output: inferResponse })).output;
    },
    (answer) => [
      `flotilla score --device cam-1 --module digits --input modules/digits/fixtures/digit.json`,
      prediction(answer),
    ],
  );
  await steps.run(
    'Read the telemetry that came back',
    async () => {
      const bodies = [];
      for (const one of devices) bodies.push({ one, body: await countedTelemetry(flotilla, one.name) });
      return bodies;
    },
    (bodies) =>
      bodies.flatMap(({ one, body }) =>
        body.modules.map(
          ({ module, version, requests, provider, latencyMs }) =>
            `${one.name}: ${module}:${String(version)} on ${provider ?? '?'}, ${String(requests)} requests, ` +
            `p50 ${milliseconds(latencyMs.p50)}, p99 ${milliseconds(latencyMs.p99)}`,
        ),
      ),
  );
  describeNext({ write, home, url, devices });
}

async function choosePorts(
  write: (line: string) => void,
): Promise<Record<'api' | 'gateway' | 'broker' | 'first' | 'second', number>> {
  const pick = async (what: string, preferred: number): Promise<number> => {
    const { port, preferredTaken } = await freePort(preferred);
    if (preferredTaken) write(`Port ${String(preferred)} is taken: the ${what} uses ${String(port)}.`);
    return port;
  };
  return {
    api: await pick('API', 8080),
    gateway: await pick('device gateway', 8443),
    broker: await pick('broker', 8883),
    first: await pick('scoring port of cam-1', 8801),
    second: await pick('scoring port of cam-2', 8802),
  };
}

function device(scratch: string, name: string, port: number): Device {
  return {
    name,
    port,
    env: {
      HOME: scratch,
      FLOTILLA_AGENT_STATE_DIR: join(scratch, name),
      FLOTILLA_AGENT_SCORING_PORT: String(port),
      FLOTILLA_AGENT_TELEMETRY_INTERVAL_SECONDS: '1',
    },
  };
}

async function scoreLocally(one: Device, body: string): Promise<z.infer<typeof inferResponse>> {
  const url = `http://127.0.0.1:${String(one.port)}/v2/models/digits/infer`;
  let answer: z.infer<typeof inferResponse> | undefined;
  for (let count = 0; count < requestsPerDevice; count++) {
    const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    const text = await response.text();
    if (!response.ok) throw new Error(`${url} answered ${String(response.status)}: ${text}`);
    answer = json(text, inferResponse);
  }
  if (answer === undefined) throw new Error('nothing was asked');
  return answer;
}

function prediction(answer: z.infer<typeof inferResponse>): string {
  const output = (name: string): number[] => answer.outputs.find((one) => one.name === name)?.data ?? [];
  const label = output('label')[0];
  const probability = label === undefined ? undefined : output('probabilities')[label];
  return `it is a ${String(label)} (${((probability ?? Number.NaN) * 100).toFixed(1)} % sure, digits:${answer.model_version ?? '?'})`;
}

/** Waits until the store has counted what was asked. */
async function countedTelemetry(
  flotilla: (args: readonly string[]) => Promise<string>,
  name: string,
): Promise<z.infer<typeof telemetry>> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const body = json(await flotilla(['telemetry', name, '--since', '10m', '--output', 'json']), telemetry);
    const requests = body.modules.reduce((sum, module) => sum + module.requests, 0);
    if (requests >= requestsPerDevice) return body;
    if (performance.now() > deadline) {
      throw new Error(
        `telemetry of ${name} counts ${String(requests)} requests after 20 s, ${String(requestsPerDevice)} were made`,
      );
    }
    await pause(300);
  }
}

function describeNext(next: {
  readonly write: (line: string) => void;
  readonly home: string;
  readonly url: string;
  readonly devices: readonly Device[];
}): void {
  const { write, home, url, devices } = next;
  write('');
  write('Go on by hand, in another terminal, in this folder:');
  write(`  export FLOTILLA_HOME=${home}`);
  write('  npx flotilla device list');
  write('  npx flotilla device show cam-1');
  write('  npx flotilla logs cam-1 digits');
  write('  npx flotilla undeploy digits --device cam-2');
  for (const one of devices) {
    write(
      `  curl http://127.0.0.1:${String(one.port)}/v2/models/digits/infer --json @modules/digits/fixtures/digit.json`,
    );
  }
  const [first] = devices;
  if (first) write(`  npx flotilla-agent explain --state-dir ${first.env['FLOTILLA_AGENT_STATE_DIR'] ?? ''}`);
  write(`  API reference: ${url}/docs`);
}

function json<S extends z.ZodType>(text: string, schema: S): z.output<S> {
  return schema.parse(JSON.parse(text));
}

function milliseconds(value: number | null): string {
  return value === null ? '-' : `${value.toFixed(2)} ms`;
}
