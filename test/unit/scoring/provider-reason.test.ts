import { describe, expect, it } from 'vitest';
import { providerReason } from '#shared/scoring/worker/provider-reason.js';

describe('the reason why a provider does not take a model', () => {
  it.each([
    [
      'webgpu',
      '/onnxruntime_src/onnxruntime/core/providers/webgpu/webgpu_context.cc:136 onnxruntime::webgpu::WebGpuContext::Initialize(const onnxruntime::webgpu::WebGpuContextConfig&)::<lambda()> adapter_result.status == wgpu::RequestAdapterStatus::Success was false. Failed to get a WebGPU adapter: No supported adapters\n\n',
      'Failed to get a WebGPU adapter: No supported adapters',
    ],
    [
      'cuda',
      'OrtSessionOptionsAppendExecutionProvider_Cuda: Failed to load shared library',
      "onnxruntime's library for cuda, or one that it needs, is missing: the process's log names it",
    ],
    [
      'coreml',
      'no available backend found. ERR: [coreml] backend not found.',
      `this build of onnxruntime (${process.platform}-${process.arch}) has no coreml`,
    ],
    [
      'cuda',
      '\u001b[1;31m[ONNXRuntimeError] : 1 : FAIL : CUDA failure 35 at 0x7f3a2b1c: driver too old\nsecond line\u001b[m',
      'CUDA failure 35 at : driver too old',
    ],
    ['dml', '  \n', 'onnxruntime gave no reason'],
  ])('is one readable line: %s', (provider, message, reason) => {
    expect(providerReason(provider, message)).toBe(reason);
  });

  it('is cut where it does not end', () => {
    expect(providerReason('dml', 'x'.repeat(5000))).toHaveLength(300);
  });
});
