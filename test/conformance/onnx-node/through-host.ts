/**
 * Verdicts of the scoring host: every test a module, its inputs sent as binary tensors over HTTP. The
 * request is written and the answer read here, byte by byte, by nothing that the host shares.
 */
import { hostedModule, Scoring } from '#test/support/scoring-harness.js';
import { type Answer, type CaseData, datatypeOf, difference, type NodeCase, rawBytes, type Verdict } from './cases.js';

const modulesPerHost = 24;

export async function runThroughHost(folder: string, cases: readonly NodeCase[]): Promise<Map<string, Verdict>> {
  const verdicts = new Map<string, Verdict>();
  for (let at = 0; at < cases.length; at += modulesPerHost) {
    for (const verdict of await runGroup(folder, cases.slice(at, at + modulesPerHost))) {
      verdicts.set(verdict.name, verdict);
    }
  }
  return verdicts;
}

/** A model that the host refuses fails its test, and the host starts again without it. */
async function runGroup(folder: string, cases: readonly NodeCase[]): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  let left = [...cases];
  while (left.length > 0) {
    const scoring = new Scoring();
    try {
      const host = scoring.spawn();
      const modules = left.map(({ name }) => hostedModule(folder, `${name}.onnx`, { name }));
      const loaded = await host.load({ modules, labels: {}, maxBodyBytes: 8 * 1024 * 1024 });
      if (loaded.ok) {
        const handle = scoring.bind();
        await host.listen(handle.handle);
        for (const test of left) verdicts.push(await judge(`http://127.0.0.1:${String(handle.port)}`, test));
        return verdicts;
      }
      const { module, problem } = loaded.error;
      if (!left.some(({ name }) => name === module)) throw new Error(`${module}: ${problem.message}`);
      verdicts.push({ name: module, failure: `not loaded: ${problem.message}` });
      left = left.filter(({ name }) => name !== module);
    } finally {
      await scoring.end();
    }
  }
  return verdicts;
}

async function judge(url: string, test: NodeCase): Promise<Verdict> {
  for (const set of test.sets) {
    const request = encode(test, set.inputs);
    if (typeof request === 'string') return { name: test.name, failure: request };
    const response = await fetch(`${url}/v2/models/${test.name}/infer`, {
      method: 'POST',
      body: request.body,
      headers: { 'inference-header-content-length': String(request.jsonLength) },
    });
    const body = Buffer.from(await response.arrayBuffer());
    if (response.status !== 200) return { name: test.name, failure: `${String(response.status)} ${body.toString()}` };
    const answers = decode(body, Number(response.headers.get('inference-header-content-length') ?? body.length));
    for (const [index, value] of test.outputs.entries()) {
      const expected = set.outputs[index];
      const got = answers.get(value.name);
      if (!expected || !got) return { name: test.name, failure: `output ${value.name} did not come` };
      const differs = got.datatype === datatypeOf(value) ? difference(test, value, expected, got) : got.datatype;
      if (differs !== undefined) return { name: test.name, failure: differs };
    }
  }
  return { name: test.name };
}

/** The request, or why there is none. */
function encode(
  test: NodeCase,
  data: readonly (CaseData | null)[],
): { readonly body: Buffer<ArrayBuffer>; readonly jsonLength: number } | string {
  const blocks: Buffer[] = [];
  const inputs: object[] = [];
  for (const [index, value] of test.inputs.entries()) {
    const given = data[index];
    const datatype = datatypeOf(value);
    if (!datatype) return `the protocol has no ${value.type ?? value.kind}`;
    if (!given) continue;
    const block = given.strings ? stringsToBytes(given.strings) : rawBytes(given);
    blocks.push(block);
    const parameters = { binary_data_size: block.length };
    inputs.push({ name: value.name, datatype, shape: given.shape, parameters });
  }
  const json = Buffer.from(JSON.stringify({ inputs, parameters: { binary_data_output: true } }));
  return { body: Buffer.concat([json, ...blocks]), jsonLength: json.length };
}

interface HttpAnswer extends Answer {
  readonly datatype: string;
}

function decode(body: Buffer, jsonLength: number): Map<string, HttpAnswer> {
  const head = JSON.parse(body.subarray(0, jsonLength).toString()) as {
    outputs: { name: string; shape: number[]; datatype: string; parameters?: { binary_data_size: number } }[];
  };
  let at = jsonLength;
  const answers = new Map<string, HttpAnswer>();
  for (const { name, shape, datatype, parameters } of head.outputs) {
    const bytes = body.subarray(at, at + (parameters?.binary_data_size ?? 0));
    at += bytes.length;
    answers.set(
      name,
      datatype === 'BYTES' ? { datatype, shape, strings: bytesToStrings(bytes) } : { datatype, shape, bytes },
    );
  }
  return answers;
}

function stringsToBytes(strings: readonly string[]): Buffer {
  return Buffer.concat(
    strings.flatMap((text) => {
      const bytes = Buffer.from(text);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(bytes.length);
      return [length, bytes];
    }),
  );
}

function bytesToStrings(bytes: Buffer): string[] {
  const strings: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    strings.push(bytes.subarray(at + 4, at + 4 + length).toString());
    at += 4 + length;
  }
  return strings;
}
