/** `flotilla-agent providers`: what can run models on this machine, tried, installed and removed. */
import { arch, platform } from 'node:os';
import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import { systemClock } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { configOf, example, type GlobalOptions, print } from '#agent/cli/command-parts.js';
import { checkText, listText, type ProviderView } from '#agent/cli/provider-texts.js';
import { checkProviders } from '#agent/providers/check-providers.js';
import { checkPasses } from '#agent/providers/check-row.js';
import { hostEnvironmentOf } from '#agent/providers/host-environment.js';
import { defaultFetchLimits, installProvider } from '#agent/providers/install-provider.js';
import { InstalledProviders } from '#agent/providers/installed-providers.js';
import { librarySources } from '#agent/providers/library-source.js';
import {
  type InstallableProvider,
  installableProviders,
  isInstallable,
  needsOf,
  originOf,
  type ProviderName,
  providerNames,
} from '#agent/providers/platform-providers.js';
import { findRuntimeLibrary } from '#agent/providers/runtime-library.js';
import { programFiles } from '#agent/program-files.js';
import { stateFolder } from '#agent/store/state-folder.js';

export const providerCommands = ['list', 'check', 'install', 'uninstall'];

const thisPlatform = `${platform()}-${arch()}`;

export function addProviders(program: Command): Command {
  const providers = program
    .command('providers')
    .description('The execution providers that can run models on this machine: cpu, webgpu, cuda and others.');
  addList(program, providers);
  addCheck(program, providers);
  addInstall(program, providers);
  addUninstall(program, providers);
  return example(providers, 'flotilla-agent providers check');
}

function addList(program: Command, providers: Command): void {
  const command = providers
    .command('list')
    .description('Which providers this platform has, what each needs, and which were installed.')
    .action(async () => {
      const global = program.opts<GlobalOptions>();
      const { installed, runtime } = await placeOf(global);
      const record = await installed.record();
      const damage = record === undefined ? undefined : await installed.damage(record);
      const views = providerNames.map((provider): ProviderView => {
        const origin = originOf(provider, thisPlatform);
        const here = isInstallable(provider) ? record?.providers[provider] : undefined;
        return {
          provider,
          origin,
          needs: needsOf(provider),
          ...(here === undefined ? {} : { installed: here }),
          ...(here === undefined || damage === undefined ? {} : { damage }),
        };
      });
      const answer = { onnxruntime: runtime.version, platform: thisPlatform, providers: views };
      print(global, answer, () => listText(answer));
    });
  example(command, 'flotilla-agent providers list');
}

function addCheck(program: Command, providers: Command): void {
  const command = providers
    .command('check')
    .description(
      'Runs a small model on each provider, each in a process of its own, and compares with the CPU. Fails when one that is named, or the CPU, does not work, and when any gives wrong answers, crashes or hangs.',
    )
    .addArgument(new Argument('[provider...]', 'which; without it, all').choices(providerNames))
    .addOption(
      new Option('--timeout <seconds>', 'for one provider').default(120).argParser((text) => {
        if (!/^[1-9]\d{0,3}$/.test(text)) throw new InvalidArgumentError('a number of seconds from 1 to 9999');
        return Number(text);
      }),
    )
    .action(async (asked: readonly ProviderName[], options: { timeout: number }) => {
      const global = program.opts<GlobalOptions>();
      const check = {
        entry: programFiles().providerCheck,
        environment: hostEnvironmentOf(configOf(global, {})),
        platform: thisPlatform,
        deadlineMs: options.timeout * 1000,
      };
      const rows = await checkProviders(asked.length === 0 ? providerNames : asked, check, ({ provider, outcome }) => {
        if (process.stderr.isTTY) process.stderr.write(`${provider}: ${outcome}\n`);
      });
      const passed = checkPasses(rows, asked);
      print(global, { platform: thisPlatform, passed, providers: rows }, () => checkText(rows));
      if (passed) return;
      const bad = rows.filter((row) => !checkPasses([row], asked)).map((row) => `${row.provider} (${row.outcome})`);
      throw new AppError('process.failed', `does not run models as it should: ${bad.join(', ')}`);
    });
  example(command, 'flotilla-agent providers check webgpu --output json');
}

function addInstall(program: Command, providers: Command): void {
  const command = providers
    .command('install')
    .description("Puts onnxruntime's libraries for a provider in place, from a file or an https address.")
    .addArgument(new Argument('<provider>').choices(installableProviders))
    .requiredOption('--from <file or URL>', 'a .nupkg, .whl or .tgz, or one library; may be repeated', collect, [])
    .requiredOption('--sha256 <digest>', 'of the file, one for each --from', collect, [])
    .option('--built-for <version>', 'of onnxruntime, where the source does not say it')
    .action(async (provider: InstallableProvider, options: { from: string[]; sha256: string[]; builtFor?: string }) => {
      const global = program.opts<GlobalOptions>();
      const sources = librarySources(options.from, options.sha256);
      const { installed, runtime } = await placeOf(global);
      const record = await installProvider(
        { provider, sources, builtFor: options.builtFor },
        {
          installed,
          runtimeVersion: runtime.version,
          platform: thisPlatform,
          clock: systemClock,
          limits: defaultFetchLimits,
          onProgress: (line) => process.stderr.write(`${line}\n`),
        },
      );
      print(global, { provider, folder: installed.current, ...record }, () => [
        `Installed ${provider} in ${installed.current}.`,
        `Next: flotilla-agent providers check ${provider}; hosts that the agent starts from now on use it.`,
      ]);
    });
  example(
    command,
    'flotilla-agent providers install cuda --from microsoft.ml.onnxruntime.gpu.linux.1.30.0.nupkg --sha256 <digest>',
  );
}

function addUninstall(program: Command, providers: Command): void {
  const command = providers
    .command('uninstall')
    .description('Removes what was installed for a provider.')
    .addArgument(new Argument('<provider>').choices(installableProviders))
    .action(async (provider: InstallableProvider) => {
      const global = program.opts<GlobalOptions>();
      const { installed } = await placeOf(global);
      const removed = await installed.remove(provider);
      print(global, { provider, removed }, () => [removed ? `Removed ${provider}.` : `${provider} was not installed.`]);
    });
  example(command, 'flotilla-agent providers uninstall cuda');
}

async function placeOf(global: GlobalOptions) {
  const runtime = findRuntimeLibrary(platform(), arch());
  const { providers } = stateFolder(configOf(global, {}).stateDir);
  return { runtime, installed: new InstalledProviders(providers, runtime) };
}

function collect(text: string, before: readonly string[]): string[] {
  return [...before, text];
}
