/** `flotilla module init`: a module around an ONNX file that builds, proves itself and answers as it is. */
import { Command, Option } from 'commander';
import { writeNewModule, type WrittenModule } from '#cloud/module-init/new-module.js';
import { moduleFiles, type NewFlavor } from '#cloud/module-init/module-text.js';
import { tensorText } from '#cloud/module-init/tensor-types.js';
import { parseName } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { formatFields } from '../output.js';
import { outputOf } from '../session.js';

interface InitOptions {
  readonly model: string;
  readonly flavor: NewFlavor;
  readonly folder?: string;
  readonly example?: string;
}

export function moduleInitCommand(io: CliIo): Command {
  const command = new Command('init')
    .description('Write a new module around an ONNX file: it builds and deploys as it is, and is yours to change.')
    .argument('<name>', 'what requests and deployments call it')
    .requiredOption('--model <file>', 'the ONNX file; external data comes along')
    .addOption(
      new Option('--flavor <flavor>', 'node: a script in TypeScript answers; onnx: the model itself')
        .choices(['node', 'onnx'])
        .default('node'),
    )
    .option('--folder <dir>', 'where; ./<name> unless given')
    .option('--example <file>', 'a V2 request in JSON to prove the model with; made up unless given')
    .action(async (name: string, { model, flavor, example, folder = name }: InitOptions) => {
      const checked = parseName(name, 'module');
      const written = await writeNewModule({ name: checked, flavor, model, example, folder }, io.signal);
      const { inputs, outputs, exchange, notServed, reason } = written.sample;
      const golden = exchange === undefined ? 0 : 1;
      outputOf(io, command).result(
        { name: checked, flavor, folder, files: written.files, inputs, outputs, notServed, golden, reason },
        () => describe(checked, folder, written),
      );
    });
  return withExamples(
    command,
    'flotilla module init gate --model detector.onnx',
    'flotilla module init reviews --flavor onnx --model reviews.onnx --example request.json --folder modules/reviews',
  );
}

function describe(name: string, folder: string, { sample, files }: WrittenModule): string {
  const { inputs, outputs, notServed, exchange, reason } = sample;
  const list = (tensors: typeof inputs): string =>
    tensors.map((tensor) => `${tensor.name} ${tensorText(tensor)}`).join(', ');
  return [
    `wrote ${folder}: ${files.join(' ')}`,
    formatFields([
      ['inputs', list(inputs)],
      ['outputs', list(outputs)],
      ['not served', notServed.length === 0 ? undefined : notServed.join('; ')],
      ['golden', exchange === undefined ? `no vector: ${reason ?? ''}; --example gives a request` : moduleFiles.golden],
    ]).trimEnd(),
    '',
    'next:',
    `  flotilla serve ${folder}`,
    `  flotilla image build ${folder}`,
    `  flotilla deploy ${name}:1 --device <device>`,
  ].join('\n');
}
