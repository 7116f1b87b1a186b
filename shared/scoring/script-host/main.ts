/**
 * The entry of a script host: a child process that runs one module's user code, without onnxruntime, in
 * what bounds its owner has set. It opens no socket of its own: the one that it answers on comes to it.
 * User code that leaves a promise unhandled or throws outside a request ends the process; its owner
 * starts it again.
 */
import { createLogger } from '#shared/platform/logger.js';
import { toProblem } from '#shared/kernel/errors.js';
import { ConnectionDrain } from '../connection-drain.js';
import type { FromScriptHost, ScriptConfig, ToScriptHost } from '../host-protocol.js';
import { OutputSender, usualSending } from './output-sender.js';
import { ModelsClient } from './models-client.js';
import { createScriptServer } from './script-server.js';
import { UserScript } from './user-script.js';

const log = createLogger('script-host', { level: process.env['FLOTILLA_LOG_LEVEL'] ?? 'info', pretty: false });
process.umask(0o077);

interface Running {
  readonly models: ModelsClient;
  readonly drain: ConnectionDrain;
  readonly outputs: OutputSender;
  /** Kept: what is collected as garbage would close the descriptor that the server uses. */
  readonly handle: unknown;
}

async function start(config: ScriptConfig, handle: unknown): Promise<Running> {
  const models = new ModelsClient(config.name, config.version, config.modelsSocket);
  const moduleLog = log.child({ module: config.name });
  const outputs = new OutputSender({ ...usualSending, send: sendWhole });
  const script = await UserScript.start(config, models, moduleLog, {
    defer: (forMs, reason) => send({ type: 'defer', forMs, reason }),
    emit: (output, value, source) => outputs.emit(output, value, source),
  });
  const server = createScriptServer(script, config, moduleLog);
  const drain = new ConnectionDrain(server);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(handle, resolve);
  });
  return { models, drain, outputs, handle };
}

function send(message: FromScriptHost): void {
  if (process.send && process.connected) process.send(message);
}

/** Resolves once it is in the channel, or there is nobody to take it. */
function sendWhole(message: FromScriptHost): Promise<void> {
  return new Promise((resolve) => {
    if (process.send && process.connected) process.send(message, undefined, {}, () => resolve());
    else resolve();
  });
}

function main(): void {
  let running: Running | undefined;
  const obey = async (message: ToScriptHost, handle: unknown): Promise<void> => {
    switch (message.type) {
      case 'start':
        try {
          running = await start(message.config, handle);
          send({ type: 'ready' });
        } catch (error) {
          log.error({ err: error }, 'the script did not start');
          send({ type: 'start-failed', problem: toProblem(error) });
        }
        return;
      case 'models':
        running?.models.moveTo(message.socket);
        return;
      case 'ping':
        send({ type: 'pong' });
        return;
      case 'drain':
        await running?.drain.finish(1000);
        await running?.outputs.settled();
        process.exit(0);
    }
  };
  process.on('message', (message: ToScriptHost, handle: unknown) => {
    obey(message, handle).catch(crash);
  });
  // Without an owner nobody would restart or end this process.
  process.on('disconnect', () => process.exit(0));
  // Its owner may have ended while this program was loaded.
  if (!process.connected) process.exit(0);
  // Reach every process of the group; when this one ends is its owner's to say.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => undefined);
  process.on('unhandledRejection', crash);
  process.on('uncaughtException', crash);
}

function crash(error: unknown): void {
  log.fatal({ err: error }, 'the script left an error unhandled: this process ends');
  process.exit(1);
}

main();
