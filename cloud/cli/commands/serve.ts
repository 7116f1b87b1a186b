/**
 * `flotilla serve`: the scoring host that devices run, over modules of this machine. For development,
 * benchmarks and conformance tests: no control plane, no signatures.
 */
import { isIP } from 'node:net';
import { Command } from 'commander';
import { AppError } from '#shared/kernel/errors.js';
import { collect, parseCount } from '../argument-parsers.js';
import type { CliIo } from '../cli-io.js';
import { withExamples } from '../help.js';
import { formatTable, type Output, printable } from '../output.js';
import type { ServedModuleReport, ServeReady, ServeRequest } from '../serve-request.js';
import { isLoopback } from '#shared/scoring/access/access-settings.js';
import { accessOf, type AccessOptions, newSecret, secretOf, withAccessOptions } from '../serve-access.js';
import { outputOf } from '../session.js';

interface ServeOptions extends AccessOptions {
  readonly port: string;
  readonly grpcPort?: string;
  readonly host: string;
  readonly instances?: string;
  readonly controlToken?: string;
  readonly golden: boolean;
  readonly traffic: readonly string[];
  readonly shadow: readonly string[];
  readonly capture?: string;
  readonly watch: boolean;
  readonly printConfig: boolean;
}

export function serveCommand(io: CliIo): Command {
  const command = withAccessOptions(new Command('serve'))
    .description('Serve modules of this machine with the scoring host that devices run: unsigned, for development.')
    .argument('<source...>', 'folders with module.yaml, or ONNX files; of one name, they are versions 1, 2, …')
    .option('--port <n>', 'TCP port; 0 picks a free one', '8800')
    .option('--grpc-port <n>', 'serve gRPC too, on this TCP port; 0 picks a free one')
    .option('--host <ip>', 'address to listen on', '127.0.0.1')
    .option('--instances <n>', 'worker threads of each module, or auto, in place of what it says')
    .option(
      '--control-token <token>',
      'who may load and unload models; @file reads it, auto makes one and prints it once',
    )
    .option('--no-golden', 'serve without proving the golden vectors')
    .option('--traffic <rule>', 'shares of versions: digits=1:90,2:10; once a module', collect, [])
    .option('--shadow <rule>', 'a version that gets copies: digits=2:0.5; once a module', collect, [])
    .option('--capture <folder>', 'keep the requests and answers that modules ask to sample, in this folder')
    .option('--watch', 'serve what changed in the sources, without dropping a request', false)
    .option('--print-config', 'check the modules, print how they would be served, and end', false)
    .action(async (sources: readonly string[], options: ServeOptions) => {
      const out = outputOf(io, command);
      const made = madeSecrets(options);
      const request = requestOf(sources, options, made);
      if (options.printConfig) {
        const config = await io.describeServe(request);
        out.result(config, () => JSON.stringify(config, null, 2));
        return;
      }
      await io.runServe(request, {
        onReady: (ready) => {
          const { modules, ...where } = ready;
          const machine = { ...where, ...made, modules };
          out.item(machine, () => describeReady(ready, made));
        },
        onReloaded: (modules) => noteReload(out, modules),
        onNote: (text) => out.note(printable(text)),
      });
    });
  return withExamples(
    command,
    'flotilla serve modules/digits',
    'flotilla serve model.onnx --port 9000 --instances auto --watch',
    'flotilla serve modules/digits --host 0.0.0.0 --scoring-key auto',
    'flotilla serve digits-v1 digits-v2 --traffic digits=1:90,2:10 --control-token auto',
  );
}

/** What was made where `auto` was said. */
interface Made {
  readonly controlToken?: string;
  readonly scoringKey?: string;
}

function madeSecrets({ controlToken, scoringKey }: ServeOptions): Made {
  return {
    ...(controlToken === 'auto' ? { controlToken: newSecret() } : {}),
    ...(scoringKey.includes('auto') ? { scoringKey: newSecret() } : {}),
  };
}

function requestOf(sources: readonly string[], options: ServeOptions, made: Made): ServeRequest {
  const { host, golden, traffic, shadow, watch } = options;
  if (isIP(host) === 0) throw invalid(`--host ${host} is no IP address; write for example 127.0.0.1`);
  return {
    ...{ sources, host, golden, traffic, shadow, watch },
    port: portOf('--port', options.port),
    grpcPort: options.grpcPort === undefined ? undefined : portOf('--grpc-port', options.grpcPort),
    instances: instancesOf(options.instances),
    capture: options.capture,
    controlToken: made.controlToken ?? controlTokenOf(options.controlToken),
    access: accessOf(host, options, scoringKeysOf(options.scoringKey, made.scoringKey)),
  };
}

function portOf(flag: string, text: string): number {
  const port = Number(text);
  if (/^\d+$/.test(text) && port <= 65_535) return port;
  throw invalid(`${flag} ${text} is no port; write a whole number from 0 to 65535`);
}

function instancesOf(text: string | undefined): ServeRequest['instances'] {
  return text === undefined || text === 'auto' ? text : parseCount(text, 64);
}

function controlTokenOf(text: string | undefined): string | undefined {
  return text === undefined ? undefined : secretOf('--control-token', text);
}

function scoringKeysOf(texts: readonly string[], made: string | undefined): string[] {
  const given = texts.filter((text) => text !== 'auto').map((text) => secretOf('--scoring-key', text));
  return made === undefined ? given : [...given, made];
}

function describeReady({ url, grpc, address, mode, modules }: ServeReady, made: Made): string {
  const { controlToken, scoringKey } = made;
  const whom = isLoopback(address) ? 'for this machine only' : 'for everyone who reaches this address';
  const reach = `${whom}${mode === 'keys' ? ', with a key' : isLoopback(address) ? '' : ', without asking who they are'}`;
  return [
    `serving ${url}${grpc === undefined ? '' : ` and gRPC on ${grpc}`}, ${reach}; modules of local folders, unsigned`,
    describeModules(modules).trimEnd(),
    ...(scoringKey === undefined ? [] : ['Scoring key, shown this once:', `  ${scoringKey}`]),
    ...(controlToken === undefined ? [] : ['Control token (load and unload), shown this once:', `  ${controlToken}`]),
    'To go on:',
    ...modules.map((module) => `  ${curlLine(url, module, mode === 'keys')}`),
    '  Ctrl-C ends it',
  ].join('\n');
}

function describeModules(modules: readonly ServedModuleReport[]): string {
  return formatTable(
    ['MODULE', 'RUNS ON', 'WORKERS', 'BATCHING', 'GOLDEN', 'FROM'],
    modules.map(({ name, version, loaded, instances, proved, source }) => [
      `${name}:${String(version)}`,
      provider(loaded),
      workers(loaded, instances),
      batching(loaded),
      proved === undefined ? '-' : `${String(proved)} agree`,
      source,
    ]),
  );
}

function provider(loaded: ServedModuleReport['loaded']): string {
  if (loaded === undefined) return '-';
  const reasons = loaded.fallbacks.map((fallback) => `not ${fallback.provider}: ${fallback.reason}`);
  return reasons.length === 0 ? loaded.provider : `${loaded.provider} (${reasons.join('; ')})`;
}

/** A model that is small enough runs where its requests come in. */
function workers(loaded: ServedModuleReport['loaded'], instances: number): string {
  const isInline = loaded?.models.some(({ inline }) => inline) ?? false;
  return isInline ? `${String(instances)}, small requests inline` : String(instances);
}

function batching(loaded: ServedModuleReport['loaded']): string {
  const models = loaded?.models ?? [];
  const texts = models.map(({ name, maxBatchRows, batchingReason }) => {
    const text = maxBatchRows > 0 ? `up to ${String(maxBatchRows)} rows` : `no: ${batchingReason}`;
    return models.length === 1 ? text : `${name} ${text}`;
  });
  return texts.length === 0 ? '-' : texts.join('; ');
}

function curlLine(url: string, { name, version, flavor, example }: ServedModuleReport, withKey: boolean): string {
  const curl = `curl -s${withKey ? ' -H "authorization: Bearer $KEY"' : ''}`;
  if (example === undefined && flavor === 'node') return `${curl} ${url}/score/${name} --json @input.json`;
  const model = `${url}/v2/models/${name}/versions/${String(version)}`;
  return example === undefined ? `${curl} ${model}` : `${curl} ${model}/infer --json @${example}`;
}

function noteReload(out: Output, modules: readonly ServedModuleReport[]): void {
  const what = modules.map(({ name, version, digest }) => `${name}:${String(version)} ${digest.slice(0, 19)}`);
  out.note(`the sources changed, and are served: ${what.join(', ')}`);
}

function invalid(message: string): AppError {
  return new AppError('request.invalid', message);
}
