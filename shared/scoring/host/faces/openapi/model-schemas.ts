/** What a model takes and gives on each face, as JSON Schemas. */
import { datatypes, type ModelSignature, type TensorSignature } from '../../../codec/tensor.js';
import {
  elementSchema,
  exampleShape,
  flatExample,
  nestedExample,
  nestedSchema,
  type Schema,
} from './tensor-schemas.js';

/** Of a model, or of a module whose script takes and gives what it likes. */
export type Described = ModelSignature | 'script';

const anything: Schema = {};

/** `/score`: an object of nested arrays. */
export function plainSchema(tensors: readonly TensorSignature[]): Schema {
  const example = exampleOf(tensors, nestedExample);
  return {
    type: 'object',
    properties: Object.fromEntries(tensors.map((tensor) => [tensor.name, nestedSchema(tensor)])),
    required: tensors.map(({ name }) => name),
    ...(example === undefined ? {} : { example }),
  };
}

export function exampleOf(
  tensors: readonly TensorSignature[],
  one: (tensor: TensorSignature) => unknown,
): Record<string, unknown> | undefined {
  const values = tensors.map((tensor) => [tensor.name, one(tensor)] as const);
  return values.some(([, value]) => value === undefined) ? undefined : Object.fromEntries(values);
}

export function inferRequestSchema(described: Described): Schema {
  const inputs = described === 'script' ? { type: 'array', items: anyTensor } : tensorList(described.inputs, 'data');
  return {
    type: 'object',
    required: ['inputs'],
    properties: {
      id: { type: 'string' },
      parameters,
      inputs,
      outputs: {
        type: 'array',
        items: {
          type: 'object',
          required: ['name'],
          properties: { name: outputName(described), parameters: ownParameters },
        },
      },
    },
  };
}

export function inferRequestExample(described: Described): unknown {
  if (described === 'script') return undefined;
  const inputs = described.inputs.map((input) => {
    const { name, datatype, shape } = input;
    return { name, datatype, shape: exampleShape(shape), data: flatExample(input) };
  });
  return inputs.some(({ data }) => data === undefined) ? undefined : { inputs };
}

export function inferResponseSchema(described: Described): Schema {
  if (described === 'script') return anything;
  return {
    type: 'object',
    required: ['model_name', 'outputs'],
    properties: {
      id: { type: 'string' },
      model_name: { type: 'string' },
      model_version: { type: 'string' },
      // A request may ask for some of them, or for classes in their place.
      outputs: {
        type: 'array',
        items: { type: 'object', required: ['name', 'datatype', 'shape'], properties: tensorFields },
      },
    },
  };
}

export function predictRequestSchema(described: Described): Schema {
  if (described === 'script') return anything;
  const [only, ...others] = described.inputs;
  const rows = plainSchema(described.inputs.map((input) => ({ ...input, shape: input.shape.slice(1) })));
  const row =
    only && others.length === 0 ? { anyOf: [nestedSchema({ ...only, shape: only.shape.slice(1) }), rows] } : rows;
  const whole = plainSchema(described.inputs);
  return {
    type: 'object',
    oneOf: [
      { required: ['instances'], properties: { instances: { type: 'array', minItems: 1, items: row } } },
      {
        required: ['inputs'],
        properties: { inputs: only && others.length === 0 ? { anyOf: [nestedSchema(only), whole] } : whole },
      },
    ],
  };
}

export const predictResponseSchema: Schema = {
  type: 'object',
  oneOf: [
    { required: ['predictions'], properties: { predictions: { type: 'array' } } },
    { required: ['outputs'], properties: { outputs: {} } },
  ],
};

/** Null from clients that write every field. */
const ownParameters: Schema = { type: ['object', 'null'] };

const parameters: Schema = {
  type: ['object', 'null'],
  properties: {
    priority: { type: 'integer', minimum: 0, description: '1 is the highest; 0: the default, the lowest' },
    timeout: { type: 'integer', minimum: 0, description: 'microseconds; 0: none' },
    binary_data_output: { type: 'boolean' },
  },
};

const shape: Schema = { type: 'array', items: { type: 'integer', minimum: 0 } };
const tensorFields: Schema = {
  name: { type: 'string' },
  datatype: { type: 'string', enum: [...datatypes] },
  shape,
  parameters: ownParameters,
  data: { type: 'array' },
};
const anyTensor: Schema = { type: 'object', required: ['name', 'datatype', 'shape'], properties: tensorFields };

/** Each of the tensors once; how many elements go with a shape no schema can say. */
function tensorList(tensors: readonly TensorSignature[], data: string): Schema {
  const items = tensors.map((tensor) => ({
    type: 'object',
    required: ['name', 'datatype', 'shape', data],
    properties: {
      name: { const: tensor.name },
      datatype: { const: tensor.datatype },
      shape: shapeSchema(tensor),
      parameters: ownParameters,
      data: { type: 'array', items: { anyOf: [elementSchema(tensor.datatype), { type: 'array' }] } },
    },
  }));
  const item = items.length === 1 ? items[0] : { anyOf: items };
  return { type: 'array', items: item, minItems: tensors.length, maxItems: tensors.length };
}

function shapeSchema({ shape: sizes }: TensorSignature): Schema {
  return {
    type: 'array',
    prefixItems: sizes.map((size) => (typeof size === 'number' ? { const: size } : { type: 'integer', minimum: 0 })),
    minItems: sizes.length,
    maxItems: sizes.length,
  };
}

function outputName(described: Described): Schema {
  if (described === 'script') return { type: 'string' };
  return { type: 'string', enum: described.outputs.map(({ name }) => name) };
}
