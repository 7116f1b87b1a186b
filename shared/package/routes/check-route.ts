/** Does one route hold together, for a module with these ports? What the schema cannot say. Pure but for the time zones it knows. */
import { validate } from 'node-cron';
import { isTimeZone } from '#shared/kernel/time-zone.js';
import { imageShape, type ImageCodec } from '#shared/protocol/image-codec.js';
import type { Route } from '#shared/protocol/route.js';
import type { OnnxSignature } from '../onnx/read-onnx.js';
import type { ModuleManifest } from '../module-manifest.js';
import { isInward, type ModulePorts } from './module-ports.js';

export interface RoutedModule {
  readonly flavor: ModuleManifest['flavor'];
  readonly ports: ModulePorts;
  /** Of the model that answers for a module without a script, where its graph was read. */
  readonly signature?: OnnxSignature | undefined;
}

/** @returns what is wrong with it and what to do; undefined when nothing is */
export function routeProblem(route: Route, module: RoutedModule): string | undefined {
  return isInward(route) ? inwardProblem(route, module) : outwardProblem(route, module);
}

function outwardProblem({ from, to, codec }: Route, { ports }: RoutedModule): string | undefined {
  if ('output' in from && !ports.outputs.includes(from.output)) {
    return `from: the module has no output "${from.output}"; it has ${ports.outputs.join(', ')}`;
  }
  if ('input' in to && !('module' in to)) {
    return `it leads from the module to itself, in a circle: give a topic, cloud, file or another module's input to go to`;
  }
  return codec === undefined ? undefined : 'codec: only data that comes to an input is decoded; leave it out';
}

function inwardProblem(route: Route, module: RoutedModule): string | undefined {
  const { from, to, queue } = route;
  if (!('input' in to) || 'module' in to) {
    return `it leads nowhere in this module: data from outside goes to one of its inputs, to: { input: ${module.ports.inputs[0] ?? ''} }`;
  }
  if (!module.ports.inputs.includes(to.input)) {
    const declare = module.flavor === 'node' ? '; declare others in inputs' : '';
    return `to: the module has no input "${to.input}"; it has ${module.ports.inputs.join(', ')}${declare}`;
  }
  if ('folder' in from && queue?.policy !== undefined && queue.policy !== 'block') {
    return `queue.policy: files wait in their folder, so that none is dropped: it is block`;
  }
  if ('http' in from && queue?.policy === 'block') {
    return 'queue.policy: who posts is not kept waiting but told 429; choose drop-newest or drop-oldest';
  }
  return ('cron' in from ? cronProblem(route) : undefined) ?? codecProblem(route, module);
}

function cronProblem({ from, codec }: Route): string | undefined {
  if (!('cron' in from)) return undefined;
  if (!validate(from.cron)) return `from: "${from.cron}" is not a cron expression, such as "*/5 * * * *"`;
  if (from.timeZone !== undefined && !isTimeZone(from.timeZone)) {
    return `from: "${from.timeZone}" is not a time zone, such as Europe/Berlin`;
  }
  return codec === undefined || codec === 'json' ? undefined : 'codec: a timer brings JSON; leave it out';
}

function codecProblem({ from, codec }: Route, { flavor, signature }: RoutedModule): string | undefined {
  const image = typeof codec === 'object' ? codec.image : undefined;
  const shape = image && imageProblem(image);
  if (shape !== undefined) return `codec: ${shape}`;
  if (flavor === 'node') return undefined;
  if ('cron' in from) return 'from: a timer brings the time alone, which no model takes; it is for flavor node';
  if (codec === 'bytes') return 'codec: flavor onnx takes json, which is a V2 request, or image';
  const tensor = image && signature && tensorProblem(image, signature);
  return tensor === undefined ? undefined : `codec: ${tensor}`;
}

function imageProblem({ channels, mean, std, datatype, scale }: ImageCodec): string | undefined {
  for (const [name, values] of Object.entries({ mean, std })) {
    if (values.length !== 1 && values.length !== channels) {
      return `image.${name} has ${String(values.length)} numbers for ${String(channels)} channels; give one, or one for each`;
    }
  }
  const plain = scale === 1 / 255 && mean.every((value) => value === 0) && std.every((value) => value === 1);
  return datatype === 'UINT8' && !plain
    ? 'image: with UINT8, pixels stay as they are: leave scale, mean and std out'
    : undefined;
}

function tensorProblem(image: ImageCodec, { inputs }: OnnxSignature): string | undefined {
  const names = inputs.map(({ name }) => name).join(', ');
  if (image.tensor === undefined && inputs.length !== 1)
    return `image.tensor: the model has several inputs, name one: ${names}`;
  const input = image.tensor === undefined ? inputs[0] : inputs.find(({ name }) => name === image.tensor);
  if (input === undefined) return `image.tensor: the model has no input "${image.tensor ?? ''}"; it has ${names}`;
  const shape = imageShape(image);
  const fits =
    input.shape[0] === '...' ||
    (input.shape.length === shape.length &&
      input.shape.every((size, at) => typeof size !== 'number' || size < 0 || size === shape[at]));
  if (fits && input.datatype === image.datatype) return undefined;
  return `image makes ${image.datatype} [${shape.join(', ')}], the model's input "${input.name}" is ${input.datatype} [${input.shape.join(', ')}]`;
}
