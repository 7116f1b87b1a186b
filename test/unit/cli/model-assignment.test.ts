import { describe, expect, it } from 'vitest';
import { assignModels } from '#cloud/cli/model-assignment.js';

const one = { name: 'gate', models: [{ name: 'detector', file: 'a.onnx' }] };
const two = { name: 'gate', models: [...one.models, { name: 'reader', file: 'b.onnx' }] };

describe('a registered model', () => {
  it("stands for the manifest's only model", () => {
    expect(assignModels(one, ['digits:3'])).toEqual([{ name: 'detector', reference: { name: 'digits', version: 3 } }]);
  });
  it('stands for the model of its own name', () => {
    expect(assignModels(two, ['reader:1'])).toEqual([{ name: 'reader', reference: { name: 'reader', version: 1 } }]);
  });
  it('stands for the one it is given to', () => {
    const assigned = assignModels(two, ['detector=digits:1', 'reader=digits:2']);
    expect(assigned.map(({ name, reference }) => [name, reference.version])).toEqual([
      ['detector', 1],
      ['reader', 2],
    ]);
  });
  it.each([
    ['of several models, without saying which', two, ['digits:1'], /say which, for example --model detector=digits:1/],
    ['of no such model', two, ['detectr=digits:1'], /did you mean detector\?/],
    ['given twice', one, ['digits:1', 'detector=digits:2'], /given twice/],
    ['that is no reference', one, ['detector=digits'], /write for example digits:1/],
  ])('is refused: %s', (_why, manifest, texts, message) => {
    expect(() => assignModels(manifest, texts)).toThrow(message);
  });
});
