/** `flotilla module …`: folders of modules on this machine. */
import { Command } from 'commander';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { moduleInitCommand } from './module-init.js';

export function moduleCommand(io: CliIo): Command {
  const group = new Command('module').description('Write modules on this machine.');
  group.addCommand(moduleInitCommand(io));
  return withExamples(group, 'flotilla module init gate --model detector.onnx');
}
