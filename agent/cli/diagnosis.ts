/** `flotilla-agent check` and `bundle`: they work without a running agent, and without a connection. */
import type { Command } from 'commander';
import { systemClock, toInstant } from '#shared/kernel/clock.js';
import { AppError } from '#shared/kernel/errors.js';
import { writeFileAtomic } from '#shared/platform/atomic-file.js';
import { fileFormOf } from '#agent/config.js';
import { configOf, example, type GlobalOptions, print } from '#agent/cli/command-parts.js';
import { makeBundle } from '#agent/diagnosis/bundle.js';
import { type Check, type NamedFinding, passed } from '#agent/diagnosis/finding.js';
import { checkDevice, lookAt } from '#agent/diagnosis/look.js';
import { askAgent } from '#agent/local/local-client.js';
import { programFiles } from '#agent/program-files.js';
import { checkProviders } from '#agent/providers/check-providers.js';
import { hostEnvironmentOf } from '#agent/providers/host-environment.js';
import { stateFolder } from '#agent/store/state-folder.js';
import { agentVersion } from '#agent/version.js';

const marks = { ok: 'ok     ', warning: 'warning', error: 'error  ', skipped: '-      ' } as const;

export function addDiagnosis(program: Command): Command[] {
  return [addCheck(program), addBundle(program)];
}

function addCheck(program: Command): Command {
  const command = program
    .command('check')
    .description(
      'Looks at all that this device needs: folder, identity, certificate, disk, clock, names, TLS, agent, scoring, inference. Fails when something does not work, and says what to do.',
    )
    .action(async () => {
      const global = program.opts<GlobalOptions>();
      const findings = await findingsOf(global);
      print(global, { passed: passed(findings), findings }, () => findings.flatMap(lines));
      if (passed(findings)) return;
      const wrong = findings.filter(({ outcome }) => outcome === 'error').map(({ check }) => check);
      throw new AppError('process.failed', `not as it should be: ${wrong.join(', ')}`);
    });
  return example(command, 'flotilla-agent check --output json');
}

function addBundle(program: Command): Command {
  const command = program
    .command('bundle')
    .description(
      'Writes what somebody needs who looks into this device from elsewhere: state, settings, checks, logs. Keys, tokens and the values of modules’ settings are hidden.',
    )
    .option('--to <file>', 'where to', 'flotilla-bundle.tar.gz')
    .action(async ({ to }: { to: string }) => {
      const global = program.opts<GlobalOptions>();
      const config = configOf(global, {});
      const folder = stateFolder(config.stateDir);
      const explanation = await askAgent(folder.socket, '/explain').catch(() => undefined);
      const bytes = await makeBundle(folder, {
        at: toInstant(systemClock.now()),
        agentVersion,
        config: fileFormOf(config),
        ...(explanation === undefined ? {} : { explanation }),
        findings: await findingsOf(global),
      });
      await writeFileAtomic(to, bytes, { mode: 0o600 });
      print(global, { file: to, bytes: bytes.length }, () => [
        `Wrote ${to} (${String(bytes.length)} bytes). Look through it before you send it.`,
      ]);
    });
  return example(command, 'flotilla-agent bundle --to cam-1.tar.gz');
}

async function findingsOf(global: GlobalOptions): Promise<NamedFinding[]> {
  const config = configOf(global, {});
  const inference: Check = {
    name: 'inference on the CPU',
    run: async () => {
      const [row] = await checkProviders(
        ['cpu'],
        {
          entry: programFiles().providerCheck,
          environment: hostEnvironmentOf(config),
          platform: `${process.platform}-${process.arch}`,
          deadlineMs: 60_000,
        },
        () => undefined,
      );
      if (row?.outcome === 'works') return { outcome: 'ok', message: 'a small model runs and gives what it must' };
      return {
        outcome: 'error',
        message: row?.reason ?? 'onnxruntime gave no answer',
        remedy: row?.remedy ?? 'flotilla-agent providers check tells more',
      };
    },
  };
  return checkDevice(await lookAt(config, systemClock), [inference]);
}

function lines({ check, outcome, message, remedy }: NamedFinding): string[] {
  return [
    `${marks[outcome]}  ${check}: ${message}`,
    ...(remedy === undefined || outcome === 'ok' ? [] : [`         → ${remedy}`]),
  ];
}
