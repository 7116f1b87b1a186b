/** What the commands share: the options of the whole program, the settings they lead to, and the answer. */
import type { Command } from 'commander';
import { type AgentConfig, type AgentFlags, readAgentConfig } from '#agent/config.js';

export interface GlobalOptions {
  readonly stateDir?: string;
  readonly config?: string;
  readonly output: 'text' | 'json';
}

export function configOf(global: GlobalOptions, flags: AgentFlags): AgentConfig {
  return readAgentConfig({ ...flag('stateDir', global.stateDir), ...flags }, global.config);
}

export function flag(name: keyof AgentFlags, value: string | undefined): AgentFlags {
  return value === undefined ? {} : { [name]: value };
}

export function example(command: Command, text: string): Command {
  return command.addHelpText('after', `\nExample:\n  ${text}`);
}

export function print(global: GlobalOptions, value: unknown, text: () => readonly string[]): void {
  process.stdout.write(global.output === 'json' ? `${JSON.stringify(value)}\n` : `${text().join('\n')}\n`);
}
