import { describe, expect, it } from 'vitest';
import { desiredModuleSchema, type Variant } from '#shared/protocol/desired.js';
import { providersToTry } from '#agent/providers/providers-to-try.js';
import { chooseVariants, hasVariants } from '#agent/reconcile/choose-variant.js';
import { desiredOf, imageNumber, moduleNumber } from '#test/support/agent/reconcile-builders.js';

const variant = (number: number, accelerator: Variant['accelerator'], ...providers: string[]): Variant => {
  const { chosenFrom: _none, ...image } = imageNumber(number, `detector-${accelerator}`);
  return { image, accelerator, precision: accelerator === 'cpu' ? 'int8' : 'fp16', providers };
};
const variants = [variant(2, 'gpu', 'cuda', 'tensorrt'), variant(3, 'gpu', 'webgpu'), variant(4, 'cpu', 'cpu')];
const module = { ...moduleNumber(7), variants };
const chosen = (...accelerators: string[]) =>
  chooseVariants(desiredOf(1, { detector: module, other: moduleNumber(1) }), accelerators).modules;

describe('a module with variants', () => {
  it('is the first that the device has a provider for, in the order of the index, and says why', () => {
    const { image } = chosen('cpu', 'webgpu')['detector'] ?? module;
    expect(image).toMatchObject({ name: 'detector-gpu', digest: imageNumber(3).digest });
    expect(image.chosenFrom).toMatchObject({
      ...{ digest: imageNumber(7).digest, accelerator: 'gpu', precision: 'fp16' },
      because: 'gpu/fp16 runs on webgpu; gpu/fp16 needs cuda or tensorrt',
    });
    expect(chosen('cpu')['detector']?.image.digest).toBe(imageNumber(4).digest);
  });

  it('has the version of the index, whichever it is, and can be kept on disk', () => {
    const { detector } = chosen('cpu', 'cuda');
    expect(detector?.image.version).toBe(7);
    expect(desiredModuleSchema.parse(JSON.parse(JSON.stringify(detector)))).toEqual(detector);
  });

  it('stays the index where none runs', () => {
    expect(chosen('coreml')['detector']).toEqual(module);
  });

  it('is prefetched as the one that would run, or as the index where none does', () => {
    const desired = desiredOf(1, {}, [{ ...imageNumber(7), variants }]);
    expect(hasVariants(desired)).toBe(true);
    const [image] = chooseVariants(desired, ['cpu']).prefetch;
    expect(image).toMatchObject({ digest: imageNumber(4).digest, version: 7 });
    expect(image?.chosenFrom?.digest).toBe(imageNumber(7).digest);
    expect(chooseVariants(desired, ['coreml']).prefetch).toEqual([imageNumber(7)]);
  });

  it('leaves other modules as they are', () => {
    expect(chosen('cpu')['other']).toEqual(moduleNumber(1));
    expect(hasVariants(desiredOf(1, { other: moduleNumber(1) }))).toBe(false);
    expect(hasVariants(desiredOf(1, { module }))).toBe(true);
  });
});

describe('accelerators are tried', () => {
  const none = { nvidia: false, graphics: false };
  it.each([
    ['linux-x64', none, []],
    ['linux-x64', { nvidia: true, graphics: false }, ['webgpu', 'cuda', 'tensorrt']],
    ['linux-x64', { nvidia: false, graphics: true }, ['webgpu']],
    ['linux-arm64', { nvidia: true, graphics: true }, []],
    ['darwin-arm64', none, ['webgpu', 'coreml']],
    ['win32-x64', none, ['webgpu', 'dml']],
  ])('on %s with %j: %j', (platform, signs, expected) => {
    expect(providersToTry(platform, signs)).toEqual(expected);
  });
});
