/** The routes of one device, wired: its brokers, folders and files, and the modules that answer. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#shared/kernel/clock.js';
import type { Random } from '#shared/kernel/ids.js';
import type { Logger } from '#shared/platform/logger.js';
import type { DeviceEvent } from '#shared/protocol/stream.js';
import type { AgentConfig } from '#agent/config.js';
import type { StateFolder } from '#agent/store/state-folder.js';
import { PictureDecoder, usualDecoding } from './codec/picture-decoder.js';
import type { InputOf } from './encode-input.js';
import { type IntakePorts, openHttpIntake } from './http-intake.js';
import { BrokerDirectory } from './mqtt/broker-directory.js';
import { ModelInputs } from './model-inputs.js';
import type { PlannedRoute } from './plan.js';
import { Routes } from './routes.js';
import { openCronSource } from './sources/cron-source.js';
import { FolderSource } from './sources/folder-source.js';
import type { Source, SourcePorts } from './sources/source.js';
import { openTopicSource } from './sources/topic-source.js';
import { EventTarget, TelemetryTarget } from './targets/cloud-target.js';
import { FileTarget } from './targets/file-target.js';
import { ModuleTarget } from './targets/module-target.js';
import type { Target } from './targets/target.js';
import { TopicTarget } from './targets/topic-target.js';

export interface DeviceRoutesParts {
  readonly config: AgentConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly device: string;
  readonly folder: StateFolder;
  readonly scoring: { readonly address: string; readonly port: number; readonly token: string | undefined };
  readonly keyDigests: () => readonly string[];
  readonly decoderEntry: () => string;
  readonly raise: (event: Omit<DeviceEvent, 'at'>) => void;
  readonly onBug: (error: unknown) => void;
}

export interface DeviceRoutes {
  readonly routes: Routes;
  readonly brokers: BrokerDirectory;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** One answer, or one value that a script emits. */
const maxAnswerBytes = 8 * 1024 * 1024;
const lookEveryMs = 1000;

export function createDeviceRoutes(parts: DeviceRoutesParts): DeviceRoutes {
  const { config, clock, random, folder, scoring, onBug } = parts;
  const brokers = new BrokerDirectory({
    config: config.mqtt,
    clock,
    logger: parts.logger,
    keyDigests: parts.keyDigests,
    device: parts.device,
  });
  const roots = { folders: config.routes.folders ?? folder.incoming, files: config.routes.files ?? folder.answers };
  const decoder = new PictureDecoder({ entry: parts.decoderEntry, ...usualDecoding });
  const models = new ModelInputs(scoring);

  const inputOf = async (module: string, flavor: PlannedRoute['flavor']): Promise<InputOf> => ({
    module,
    flavor,
    tensor: () => (flavor === 'onnx' ? models.onlyInput(module) : Promise.resolve('image')),
    decodeImage: (bytes, codec) => decoder.decode(bytes, codec),
  });

  const openSource = ({ route: { from } }: PlannedRoute, ports: SourcePorts): Source => {
    if ('topic' in from) return openTopicSource(from.topic, brokers.get(from.broker), ports);
    if ('folder' in from) {
      const { folder: name, match, then: whatThen } = from;
      const most = config.scoring.maxBodyBytes;
      const plan = { folder: name, match, whatThen };
      return new FolderSource(plan, { ...ports, clock, root: roots.folders, maxBytes: most, everyMs: lookEveryMs });
    }
    if ('cron' in from) return openCronSource(from, clock, ports);
    // HTTP and other modules bring theirs by themselves.
    return { stop: () => undefined };
  };

  const openTarget = ({ module, route: { from, to } }: PlannedRoute): Target => {
    const output = 'output' in from ? from.output : '';
    if ('topic' in to) return new TopicTarget(to.topic, brokers.get(to.broker), config.mqtt.maxPacketBytes - 1024);
    if ('file' in to) return new FileTarget(to, { clock, root: join(roots.files, module), output });
    if ('cloud' in to) {
      const ports = { module, output, maxPerMinute: to.maxPerMinute, raise: parts.raise, now: () => clock.monotonic() };
      return to.cloud === 'event' ? new EventTarget(ports) : new TelemetryTarget(ports);
    }
    const other = 'module' in to ? to.module : module;
    return new ModuleTarget({
      module: other,
      input: to.input,
      scoring,
      maxAnswerBytes,
      inputOf: async () => {
        const there = routes.module(other);
        return there && inputOf(other, there.manifest.flavor);
      },
      onAnswer: (name, payload, signal) => routes.answered(name, payload, signal),
    });
  };

  const routes = new Routes({
    inward: { clock, random, scoring, maxAnswerBytes, openSource, inputOf, onBug },
    outward: { clock, random, openTarget, onBug },
    refusal: ({ route: { from, to } }) => {
      for (const end of [from, to]) if ('topic' in end) return brokers.refusal(end.broker);
      return undefined;
    },
    onPlanned: (planned) => {
      models.forget();
      brokers.retain(new Set(planned.flatMap(({ route: { from, to } }) => [from, to].flatMap(brokerOf))));
    },
    onBug,
  });
  const intakePorts: IntakePorts = {
    socket: folder.routesSocket,
    maxBodyBytes: config.scoring.maxBodyBytes,
    routes: () => routes,
  };
  let intake: Awaited<ReturnType<typeof openHttpIntake>> | undefined;

  return {
    routes,
    brokers,
    start: async () => {
      for (const root of [folder.incoming, folder.answers]) await mkdir(root, { recursive: true, mode: 0o750 });
      try {
        intake = await openHttpIntake(intakePorts);
      } catch (error) {
        parts.logger.error({ err: error }, 'nothing can be posted to routes');
      }
    },
    stop: async () => {
      await intake?.close();
      await routes.stop();
      await brokers.close();
      await decoder.stop();
    },
  };
}

function brokerOf(end: PlannedRoute['route']['from'] | PlannedRoute['route']['to']): (string | undefined)[] {
  return 'topic' in end ? [end.broker] : [];
}
