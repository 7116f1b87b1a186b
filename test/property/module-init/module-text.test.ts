import fc from 'fast-check';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { readModuleManifest } from '#shared/package/read-manifest.js';
import { datatypes, type TensorSignature } from '#shared/scoring/codec/tensor.js';
import { moduleTexts, type NewFlavor } from '#cloud/module-init/module-text.js';

/** Names that a graph may have: any text, and what would end a comment, a text or a line of code. */
const anyName = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom(
    "a'b",
    'a"b',
    'a\\',
    "\\'",
    '*/ x',
    ['`$', '{x}`'].join(''),
    'a\nb',
    '\u2028',
    '__proto__',
    'constructor',
    '1a',
    '',
  ),
);
const tensor: fc.Arbitrary<TensorSignature> = fc.record({
  name: anyName,
  datatype: fc.constantFrom(...datatypes),
  shape: fc.array(fc.oneof(fc.nat(9), anyName), { maxLength: 4 }),
});
const tensors = fc.uniqueArray(tensor, { minLength: 1, maxLength: 4, selector: ({ name }) => name });

const textsOf = (inputs: TensorSignature[], outputs: TensorSignature[], flavor: NewFlavor): Record<string, string> =>
  moduleTexts({ name: 'gate', flavor, modelFile: 'model.onnx', sample: { inputs, outputs, notServed: [] } });

/** The names of what an interface in the text has. */
function membersOf(text: string, name: string): string[] {
  const source = ts.createSourceFile('tensors.ts', text, ts.ScriptTarget.ES2023);
  const found = source.statements.find((one) => ts.isInterfaceDeclaration(one) && one.name.text === name);
  const members = found !== undefined && ts.isInterfaceDeclaration(found) ? found.members : [];
  return members.flatMap((member) =>
    member.name !== undefined && (ts.isIdentifier(member.name) || ts.isStringLiteral(member.name))
      ? member.name.text
      : [],
  );
}

function syntaxErrors(text: string): string[] {
  const source = ts.createSourceFile('file.ts', text, ts.ScriptTarget.ES2023);
  // Not in its public type; a whole program for each run would take minutes.
  const found = Reflect.get(source, 'parseDiagnostics') as ts.Diagnostic[];
  return found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '));
}

describe('the files of a new module, whatever its graph calls things', () => {
  it('are TypeScript with exactly the tensors of the graph', () => {
    fc.assert(
      fc.property(tensors, tensors, (inputs, outputs) => {
        const texts = textsOf(inputs, outputs, 'node');
        const types = texts['tensors.ts'] ?? '';
        expect(syntaxErrors(types)).toEqual([]);
        expect(membersOf(types, 'ModelInputs')).toEqual(inputs.map(({ name }) => name));
        expect(membersOf(types, 'ModelOutputs')).toEqual(outputs.map(({ name }) => name));
        const script = texts['score.ts'] ?? '';
        expect(syntaxErrors(script)).toEqual([]);
        const source = ts.createSourceFile('score.ts', script, ts.ScriptTarget.ES2023);
        // The import, two interfaces, init, run, the shapes, readInputs, isTensors: nothing came in by a name.
        expect(source.statements).toHaveLength(8);
      }),
    );
  });

  it('have a manifest that is taken', () => {
    fc.assert(
      fc.property(tensors, fc.constantFrom<NewFlavor>('node', 'onnx'), (inputs, flavor) => {
        const manifest = readModuleManifest(textsOf(inputs, inputs, flavor)['module.yaml'] ?? '', 'module.yaml');
        expect(manifest).toMatchObject({ name: 'gate', flavor, models: [{ name: 'gate', file: 'model.onnx' }] });
      }),
      { numRuns: 20 },
    );
  });

  it('have a beginning of routes for a model of pictures, which is taken once it is uncommented', () => {
    const manifestOf = (datatype: TensorSignature['datatype'], ...shape: (number | string)[]): string =>
      textsOf([{ name: 'x', datatype, shape }], [], 'onnx')['module.yaml'] ?? '';
    const uncommented = readModuleManifest(manifestOf('FP32', 'n', 3, 96, 128).replaceAll(/^# /gm, ''), 'module.yaml');
    expect(uncommented).toMatchObject({
      routes: { pictures: { codec: { image: { width: 128, height: 96, channels: 3, layout: 'NCHW' } } } },
    });
    expect(manifestOf('UINT8', 1, 'h', 'w', 1)).toContain('channels: 1, layout: NHWC, datatype: UINT8');
    for (const none of [manifestOf('FP32', 'n', 4), manifestOf('INT64', 1, 3, 8, 8), manifestOf('FP32', 1, 9, 9, 9)]) {
      expect(none).not.toContain('routes');
    }
  });
});
