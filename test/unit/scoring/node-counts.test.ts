import { describe, expect, it } from 'vitest';
import { countNodes, leftToOthers } from '#shared/scoring/worker/node-counts.js';

const node = (name: string, provider: string, index = 0) => ({
  cat: 'Node',
  name: `${name}_kernel_time`,
  args: { provider, node_index: String(index), op_name: name },
});

describe('the nodes of a model in the profile of a run', () => {
  it('are counted by the provider that ran them, under the names that providers are asked for by', () => {
    const profile = [
      { cat: 'Session', name: 'session_initialization' },
      node('Conv', 'WebGpuExecutionProvider', 1),
      node('Relu', 'WebGpuExecutionProvider', 2),
      node('NonZero', 'CPUExecutionProvider', 3),
      node('MatMul', 'CUDAExecutionProvider', 4),
      node('Sub', 'TensorrtExecutionProvider', 5),
      node('Add', 'DmlExecutionProvider', 6),
      node('Mul', 'CoreMLExecutionProvider', 7),
    ];
    expect(countNodes(profile)).toEqual({ webgpu: 2, cpu: 1, cuda: 1, tensorrt: 1, dml: 1, coreml: 1 });
  });

  it('count once in a loop, where each turn has an event', () => {
    const turn = node('Add', 'CPUExecutionProvider', 4);
    expect(countNodes([turn, turn, turn, node('Add', 'CPUExecutionProvider', 5)])).toEqual({ cpu: 2 });
  });

  it.each([[[]], [{}], [undefined], [[null, 3, 'x', { cat: 'Node' }, { cat: 'Node', args: { provider: 7 } }]]])(
    'are unknown where the profile names none: %j',
    (profile) => {
      expect(countNodes(profile)).toBeUndefined();
    },
  );
});

describe('a provider that loads a model', () => {
  it('takes it when it runs any of its nodes', () => {
    expect(leftToOthers('webgpu', { webgpu: 1, cpu: 99 })).toBeUndefined();
  });

  it('does not when all of them ran elsewhere, and the reason says where', () => {
    expect(leftToOthers('webgpu', { cpu: 12 })).toBe(
      'it loads the model and runs none of its nodes: all 12 ran on cpu',
    );
  });
});
