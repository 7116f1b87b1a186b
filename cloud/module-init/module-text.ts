/** The files of a new module that a person reads and changes, as text. */
import { pictureInput } from './picture-input.js';
import type { Sample } from './sample/protocol.js';
import { quoted, stringText, tensorText, tensorTypes } from './tensor-types.js';

export type NewFlavor = 'node' | 'onnx';

export interface NewModule {
  readonly name: string;
  readonly flavor: NewFlavor;
  /** The ONNX file's name in the folder. */
  readonly modelFile: string;
  readonly sample: Sample;
}

/** Names in the folder of the module. */
export const moduleFiles = {
  manifest: 'module.yaml',
  golden: 'golden.json',
  example: 'example.json',
  script: 'score.ts',
  types: 'tensors.ts',
  readme: 'README.md',
} as const;

/** Every file but the model, by name. */
export function moduleTexts(module: NewModule): Record<string, string> {
  const { flavor, sample, modelFile } = module;
  const { exchange } = sample;
  return {
    [moduleFiles.manifest]: manifestText(module),
    [moduleFiles.readme]: readmeText(module),
    ...(flavor === 'node' && {
      [moduleFiles.script]: scriptText(module),
      [moduleFiles.types]: tensorTypes(modelFile, sample.inputs, sample.outputs),
    }),
    ...(exchange !== undefined && {
      [moduleFiles.example]: `${exchange.request}\n`,
      [moduleFiles.golden]: `[{"name":"example","request":${exchange.request},"response":${exchange.response}}]\n`,
    }),
  };
}

function manifestText({ name, flavor, modelFile, sample }: NewModule): string {
  const golden = `golden: # what the device must answer before the module is used there; see docs/modules.md
  file: ${moduleFiles.golden}
  tolerance: { absolute: 0.0001, relative: 0.001 }
`;
  return `schema: 1
name: ${name}
flavor: ${flavor}
${flavor === 'node' ? `entry: ${moduleFiles.script}\n` : ''}models:
  - name: ${name}
    file: ${modelFile}
${sample.exchange === undefined ? '' : golden}${routesText(sample)}`;
}

/** For a model of pictures a beginning, left out until somebody wants it: how pixels are scaled no graph says. */
function routesText({ inputs }: Sample): string {
  const picture = pictureInput(inputs);
  if (picture === undefined) return '';
  const { width, height, channels, layout, datatype } = picture;
  return `# routes: # pictures that are dropped in a folder of the device, answers to a file; see docs/routes.md
#   pictures:
#     from: { folder: pictures }
#     to: { input: amlInput }
#     codec: { image: { width: ${String(width)}, height: ${String(height)}, channels: ${String(channels)}, layout: ${layout}, datatype: ${datatype} } }
#   answers:
#     from: { output: amlOutput }
#     to: { file: answers.jsonl }
`;
}

function scriptText({ name, sample: { inputs } }: NewModule): string {
  const shapes = inputs.map((input) => `  ${quoted(input.name)}: ${stringText(tensorText(input))},`).join('\n');
  return `/**
 * Answers requests to ${name}: what came becomes the model's inputs, and its outputs the answer. As it is, it
 * passes tensors through; change it to what your callers send and want to know.
 */
import type { ModelInputs, ModelOutputs } from './tensors.js';

interface InitContext {
  readonly models: { readonly ${quoted(name)}: { infer(inputs: ModelInputs): Promise<ModelOutputs> } };
  readonly log: { info(details: object, message: string): void };
}

interface Context extends InitContext {
  /** Where a route brought the request: the input that it leads to, and what it came from, a topic or a file. */
  readonly input?: string;
  readonly source?: string | undefined;
  /** Sends a value to the routes of an output. */
  readonly emit?: (output: string, value: unknown) => void;
}

/** Once, before the first request, with what \`flotilla deploy --set\` says. */
export function init(settings: Readonly<Record<string, unknown>>, context: InitContext): void {
  context.log.info({ settings: Object.keys(settings) }, 'ready');
}

/** For each request: parsed JSON, or bytes where the request is none. What it returns is answered as JSON. */
export async function run(input: unknown, context: Context): Promise<object> {
  const model = context.models${name === quoted(name) ? `.${name}` : `[${stringText(name)}]`};
  if (isTensors(input)) {
    const named = Object.fromEntries(input.inputs.map((tensor) => [tensor.name, tensor]));
    return { outputs: Object.values(await model.infer(named as unknown as ModelInputs)) };
  }
  const outputs = await model.infer(readInputs(input));
  return Object.fromEntries(Object.entries(outputs).map(([name, { shape, data }]) => [name, { shape, data }]));
}

/** What a request must have, for the message where it does not. */
const shapes = {
${shapes}
};

/** Arrays in arrays by the name of the input; whether they fit, the model's host checks. */
function readInputs(input: unknown): ModelInputs {
  const given = typeof input === 'object' && input !== null ? input : {};
  const missing = Object.entries(shapes).filter(([name]) => !Object.hasOwn(given, name));
  if (missing.length === 0) return given as ModelInputs;
  const what = missing.map(([name, shape]) => \`"\${name}", \${shape}\`).join(' and ');
  throw Object.assign(new Error(\`send JSON with \${what}\`), { statusCode: 400 });
}

/** A request of the Open Inference Protocol: golden vectors, and pictures that a route made a tensor of. */
function isTensors(input: unknown): input is { readonly inputs: readonly { readonly name: string }[] } {
  return typeof input === 'object' && input !== null && Array.isArray(Reflect.get(input, 'inputs'));
}
`;
}

function readmeText({ name, flavor, modelFile, sample }: NewModule): string {
  const list = (tensors: Sample['inputs']): string =>
    tensors.map((tensor) => `\`${tensor.name.replaceAll('`', "'")}\` ${tensorText(tensor)}`).join(', ');
  const { exchange, reason } = sample;
  const score =
    exchange === undefined
      ? `\`curl -s http://127.0.0.1:8800/v2/models/${name}\` says what it takes`
      : `\`curl -s http://127.0.0.1:8800/v2/models/${name}/infer --json @${moduleFiles.example}\``;
  return `# ${name}

What it is for, where its model comes from and how good it is: say it here.

- **Inputs** ${list(sample.inputs)}. **Outputs** ${list(sample.outputs)}.
- **Model** \`${modelFile}\`.${flavor === 'node' ? ` **Script** \`${moduleFiles.script}\`, with the model's tensors as types in \`${moduleFiles.types}\`.` : ''}
- **Golden vectors** ${exchange === undefined ? `none yet: ${oneLine(reason ?? 'the model was not run')}.` : `\`${moduleFiles.golden}\`, one, of made-up or given inputs: add some whose answers you have checked.`}
- **Try** \`flotilla serve .\`
- **Build** \`flotilla image build .\`
- **Deploy** \`flotilla deploy ${name}:1 --device cam-1\`
- **Score** ${score}
`;
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').replaceAll('`', "'").slice(0, 300);
}
