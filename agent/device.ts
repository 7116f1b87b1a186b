/**
 * One device: its reconciler, its hosts and what it says of itself, behind the few calls
 * that the link, the socket and the clock make. Built by {@link createDevice}, from parts that are
 * constructed in main.ts and here alone.
 */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { AppError, toProblem } from '#shared/kernel/errors.js';
import { systemTimeZone } from '#shared/kernel/time-zone.js';
import type { Random } from '#shared/kernel/ids.js';
import type { Logger } from '#shared/platform/logger.js';
import { causeText } from '#shared/supervisor/exit-cause.js';
import type { HostEntries } from '#shared/supervisor/host-entries.js';
import type { HostSettings } from '#shared/supervisor/host-set.js';
import type { EarlyHost } from '#shared/supervisor/early-host.js';
import type { ListenHandle } from '#shared/supervisor/listen-handle.js';
import type { Ack } from '#shared/protocol/stream.js';
import type { Channel } from '#shared/protocol/topics.js';
import type { AgentConfig } from '#agent/config.js';
import { createDeviceCommands } from '#agent/device-commands.js';
import { createDeviceInbox } from '#agent/device-inbox.js';
import { followKept, followVariants } from '#agent/follow-variants.js';
import { createRefresh } from '#agent/device-refresh.js';
import { recallDevice } from '#agent/device-memory.js';
import type { KeptTrust } from '#agent/identity/device-trust.js';
import type { Identity } from '#agent/identity/identity.js';
import { readCapabilities } from '#agent/identity/capabilities.js';
import { createExecutors } from '#agent/actions/executors.js';
import { Background } from '#agent/actions/background.js';
import { imagesOnDisk } from '#agent/actions/garbage.js';
import { createFetcher } from '#agent/actions/image-fetching.js';
import { KnownVersions } from '#agent/actions/versions.js';
import { BlockClient } from '#agent/link/block-client.js';
import { Reporter } from '#agent/link/reporter.js';
import type { DeviceFace } from '#agent/local/local-api.js';
import type { LogRings } from '#agent/local/log-rings.js';
import { createModuleControl } from '#agent/local/module-control.js';
import type { KnownAccelerators } from '#agent/providers/known-accelerators.js';
import { calendarOf } from '#agent/reconcile/calendar.js';
import { DeviceState } from '#agent/reconcile/device-state.js';
import { entry } from '#agent/reconcile/observed.js';
import { defaultPolicy } from '#agent/reconcile/policy.js';
import { Reconciler } from '#agent/reconcile/reconciler.js';
import { pictureDecoderFile } from '#agent/program-files.js';
import { createDeviceRoutes } from '#agent/routes/device-routes.js';
import { followActive, takeEmission } from '#agent/routes/follow-active.js';
import { DeviceViews } from '#agent/local/device-views.js';
import { createServing } from '#agent/serving/device-serving.js';
import { firstServing, firstServingMs } from '#agent/serving/first-serving.js';
import type { Serving } from '#agent/serving/serving.js';
import type { MachineSandbox } from '#shared/supervisor/sandbox/machine-sandbox.js';
import { BlobCache } from '#agent/store/blob-cache.js';
import { committedSetOf, observedAtStart } from '#agent/store/committed-state.js';
import { ImageStore } from '#agent/store/image-store.js';
import type { StateDocuments } from '#agent/store/state-documents.js';
import type { StateFolder } from '#agent/store/state-folder.js';
import { createTelemetry } from '#agent/telemetry/telemetry.js';
import { TrustFollower } from '#agent/trust/trust-follower.js';
import { watchModules } from '#agent/telemetry/module-events.js';
import { ModuleTroubles } from '#agent/telemetry/module-troubles.js';

export interface DeviceParts {
  readonly config: AgentConfig;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly logs: LogRings;
  readonly identity: Identity;
  readonly trust: KeptTrust;
  readonly folder: StateFolder;
  readonly sandbox: MachineSandbox;
  /** Providers that run models here; they are known before the link is up. */
  readonly accelerators: KnownAccelerators;
  readonly documents: StateDocuments;
  readonly bootId: number;
  readonly lived: () => number;
  readonly earlyHost: EarlyHost;
  readonly handle: ListenHandle;
  /** For gRPC, where it is asked for. */
  readonly grpcHandle: ListenHandle | undefined;
  readonly entries: HostEntries;
  readonly hostSettings: Omit<HostSettings, 'labels'>;
  /** Filled while documents are read; said as events. */
  readonly damages: string[];
  readonly publish: (channel: Channel, message: unknown, id?: string) => Promise<boolean>;
  readonly link: () => { readonly connected: boolean; readonly problem: string | undefined };
}

export interface Device {
  readonly face: DeviceFace;
  /** Resolves once every host goes by it. */
  readonly setAccess: Serving['setAccess'];
  /** Resolves once what is on this disk answers, or has failed to for the first time, or keeps us waiting. */
  start(): Promise<void>;
  stop(): Promise<void>;
  linkChanged(up: boolean): void;
  onDesired(payload: Uint8Array): void;
  onReportedGet(): void;
  onAck(ack: Ack): void;
  onCommand(id: string, payload: Uint8Array): void;
  onBlock(payload: Uint8Array): void;
  onTrust(payload: Uint8Array): void;
  hourly(): Promise<void>;
  trustedNow(): number;
}

export async function createDevice(parts: DeviceParts): Promise<Device> {
  const { config, clock, random, logger, logs, identity, trust, folder, documents, bootId, publish } = parts;
  const stopping = new AbortController();
  const onBug = (error: unknown): void => logger.error({ err: error }, 'unexpected failure');
  const onHeldUp = (error: unknown): void => {
    if (error instanceof AppError) logger.warn({ problem: toProblem(error) }, 'not on disk; it is tried again');
    else onBug(error);
  };

  const { committed, rejections, probations, holds, keptDesired, kept, journal, time } = await recallDevice({
    clock,
    identity,
    trust,
    folder,
    documents,
    onDamage: (damage) => parts.damages.push(damage),
    onBug,
  });
  const timeZone = config.timeZone ?? systemTimeZone();
  const calendar = () => calendarOf(clock.now(), time.now(), clock.monotonic(), timeZone);
  const set = committedSetOf(committed.value);
  const state = new DeviceState(observedAtStart(committed.value), clock, random);
  const versions = new KnownVersions(
    () => state.desired,
    () => committed.value,
  );
  versions.keep(versions.of(set));
  const telemetry = await createTelemetry({
    ...{ clock, folder, bootId, address: identity, collect: config.collect },
    ...config.telemetry,
    desired: () => state.desired,
    lived: parts.lived,
    generation: () => state.desired?.generation ?? committed.value.generation,
    hostStats: () => serving.stats(),
    routeMetrics: () => routing.routes.takeMetrics(),
    publish,
    onError: onHeldUp,
  });
  const { raise } = telemetry;
  const troubles = new ModuleTroubles(clock, raise, (module, line) => logs.module(module, line));
  for (const damage of parts.damages) raise({ level: 'error', type: 'state.damaged', message: damage });

  const blocks = new BlockClient({
    clock,
    publish: (request) => void publish('blocksGet', request),
    firstId: Math.floor(random() * 2 ** 32),
  });
  const images = new ImageStore(new BlobCache(folder), folder.modules);
  const fetcher = createFetcher({ ...parts, images, blocks, state, committed, onBug });
  const serving = createServing({
    ...parts,
    state,
    troubles,
    raise,
    labels: (of) => {
      const { generation } = of === 'desired' ? (state.desired ?? committed.value) : committed.value;
      return { generation: String(generation), 'boot-id': String(bootId), device: identity.device };
    },
    onCandidateExit: (cause) => executors.candidateExited(causeText(cause)),
    onLastStats: telemetry.addLast,
    onEmission: (module, emission) => takeEmission(routing.routes, module, emission),
  });
  const background = new Background(onBug);
  const routing = createDeviceRoutes({
    ...{ config, clock, random, logger, folder, raise, onBug },
    device: identity.device,
    scoring: { address: config.scoring.address, port: parts.handle.port, token: parts.hostSettings.controlToken },
    keyDigests: () => parts.hostSettings.access?.keyDigests ?? [],
    decoderEntry: pictureDecoderFile,
  });
  followActive({ state, versions, images, routes: routing.routes, onError: onBug });
  const executors = createExecutors({
    state,
    versions,
    fetcher,
    serving,
    images: imagesOnDisk(images, state, committed),
    committed,
    rejections,
    probations,
    background,
    raise,
    pause: (ms) => clock.sleep(ms, stopping.signal),
    onHeldUp,
    sandboxReady: () => parts.sandbox.ready(),
  });
  const reconciler = new Reconciler({
    state,
    executors: executors.table,
    policy: defaultPolicy,
    calendar,
    clock,
    random,
    onPlanned: () => reporter.wake(),
    onFailure: (action, error) =>
      logger.warn({ err: error, action: action.kind }, 'an action failed; it is tried again'),
    onBug,
  });
  const views = new DeviceViews({
    identity,
    trust: () => trusting.report(),
    bootId,
    clock,
    state,
    versions,
    committed,
    holds,
    serving,
    reconciler,
    telemetry,
    time,
    calendar,
    capabilities: () => readCapabilities(parts.sandbox.capabilities, parts.accelerators.current, timeZone),
    scoring: { address: config.scoring.address, port: parts.handle.port },
    grpc: parts.grpcHandle && { address: config.scoring.address, port: parts.grpcHandle.port },
    link: parts.link,
    routing,
  });
  const trusting = new TrustFollower({
    clock,
    logger,
    workspace: identity.workspace,
    trust,
    publish,
    raise,
    served: () => versions.servedNow,
    desired: () => state.desired,
    blobs: images.blobs,
    blocks: () => (parts.link().connected ? blocks : undefined),
    onChanged: () => reporter.wake(),
    onError: onHeldUp,
    signal: stopping.signal,
  });
  const reporter = new Reporter({
    clock,
    bootId,
    publish: (report) => publish('reported', report),
    current: () => views.reported(),
  });
  const variants = followVariants(parts.accelerators);
  const inbox = createDeviceInbox(
    { clock, logger, identity, trust, keptDesired, time, state, holds, views, trusting, reporter, raise, ...variants },
    kept,
    Math.max(committed.value.generation, rejections.generation),
  );
  const refresh = createRefresh({ reporter, trusting, state, publish, isConnected: () => parts.link().connected });
  const commands = createDeviceCommands({
    ...{ config, clock, logger, logs, identity, trust, folder, bootId, journal, time, views, raise, publish },
    scoringPort: parts.handle.port,
    controlToken: parts.hostSettings.controlToken,
    isServed: (module) => entry(state.observed.serving.set, module) !== undefined,
    restart: (module) => executors.restart(module),
    refresh,
    onError: onHeldUp,
  });

  state.onChange((fact) => {
    reconciler.wake();
    reporter.wake();
    rejections.follow(fact, state);
    if (fact.kind === 'committed') trusting.look();
  });
  state.onChange(watchModules(state, raise, (module, line) => logs.module(module, line)));
  await followKept(kept, { state, holds, rejections, probations, background, onHeldUp, ...variants });
  const control = createModuleControl({
    clock,
    state,
    committed,
    holds,
    raise,
    follow: (desired) => state.accept(desired, rejections.of(desired.generation)),
  });

  return {
    face: {
      status: () => views.status(),
      explain: () => views.explain(),
      logs: (module, lines) => logs.read(module, lines),
      ...control,
    },
    setAccess: (access) => {
      routing.brokers.keysChanged();
      return serving.setAccess(access);
    },
    start: () => {
      const answers = firstServing(state);
      telemetry.start();
      background.run(() => routing.start());
      reconciler.wake();
      trusting.look();
      return Promise.race([answers, clock.sleep(firstServingMs, stopping.signal)]);
    },
    stop: async () => {
      stopping.abort();
      reporter.stop();
      await reconciler.stop();
      await fetcher.stop();
      await commands.stop();
      await routing.stop();
      await telemetry.stopCollecting();
      await serving.stop();
      await background.settled();
      await rejections.settled();
      // Stopped in order: that a version was on probation says nothing against it.
      await probations.end().catch(onHeldUp);
      await telemetry.stop();
    },
    linkChanged: (up) => {
      state.take({ kind: 'linkChanged', up });
      blocks.linkChanged(up);
      reporter.linkChanged(up);
      telemetry.linkChanged(up);
      if (!up) return;
      trusting.ask();
      void publish('desiredGet', { schema: 1, ...(state.desired ? { generation: state.desired.generation } : {}) });
    },
    onDesired: (payload) =>
      background.run(async () => {
        try {
          await inbox.receive(payload);
        } catch (error) {
          if (!(error instanceof AppError)) throw error;
          // It could not be kept, hence not obeyed. It is asked for again when there may be room.
          views.refused({ problem: toProblem(error), at: toInstant(clock.now()) });
          reporter.wake();
          await clock.sleep(defaultPolicy.diskRetryMs, stopping.signal);
          if (!stopping.signal.aborted) await publish('desiredGet', { schema: 1 });
        }
      }),
    onReportedGet: () => reporter.wholeAsked(),
    onAck: (ack) => {
      if (ack.kind === 'reported') reporter.acknowledged(ack.bootId, ack.upTo);
      else telemetry.acknowledged(ack.kind, ack.bootId, ack.upTo);
    },
    onCommand: (id, payload) => commands.receive(id, payload),
    onBlock: (payload) => blocks.receive(payload),
    onTrust: (payload) => background.run(() => trusting.receive(payload)),
    trustedNow: () => time.now(),
    hourly: async () => {
      state.take({ kind: 'garbageChanged', due: true });
      await refresh();
    },
  };
}
