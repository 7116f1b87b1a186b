/**
 * The agent, constructed and wired: the only place that knows all its parts. Order of a start: the
 * folder and its lock, the boot counter, the port, what was committed, then the network.
 */
import { arch, hostname, platform } from 'node:os';
import { Writable } from 'node:stream';
import { schedule } from 'node-cron';
import type { Clock } from '#shared/kernel/clock.js';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import type { Random } from '#shared/kernel/ids.js';
import { createLogger } from '#shared/platform/logger.js';
import type { Ack } from '#shared/protocol/stream.js';
import { ackSchema } from '#shared/protocol/stream.js';
import { decodeMessage } from '#shared/protocol/decode.js';
import type { Channel } from '#shared/protocol/topics.js';
import { unreachable } from '#shared/kernel/result.js';
import type { AgentConfig } from '#agent/config.js';
import { createDevice, type Device } from '#agent/device.js';
import { type EarlyStart, startEarly } from '#agent/early-start.js';
import { CertificateRenewal } from '#agent/identity/certificate-renewal.js';
import { KeptIdentity } from '#agent/identity/identity.js';
import { DeviceSession } from '#agent/link/device-session.js';
import { brokerUrls } from '#agent/link/transport-choice.js';
import { openLocalApi } from '#agent/local/local-api.js';
import { LogRings } from '#agent/local/log-rings.js';
import { ScoringAccess } from '#agent/local/scoring-access.js';
import { inRoomOf, layBallast } from '#agent/store/ballast.js';
import { hostEnvironmentOf } from '#agent/providers/host-environment.js';
import { KnownAccelerators } from '#agent/providers/known-accelerators.js';
import { readControlToken } from '#agent/store/control-token.js';
import { openLivedTime } from '#agent/store/lived-time.js';
import { StateDocuments } from '#agent/store/state-documents.js';
import { bindWithPatience } from '#agent/serving/bind-port.js';
import { agentVersion } from '#agent/version.js';

export interface AgentPorts {
  readonly clock: Clock;
  readonly random: Random;
  /** Human-readable log lines: the caller asks whether it writes to a terminal. */
  readonly pretty: boolean;
}

export interface RunningAgent {
  readonly scoring: { readonly address: string; readonly port: number };
  /** Where gRPC answers; absent: nowhere. */
  readonly grpc?: { readonly address: string; readonly port: number };
  readonly device: Device;
  stop(): Promise<void>;
}

/** Hosts of an agent that was killed end by themselves within this time. */
const orphanPatienceMs = 10_000;
const renewalLookMs = 60_000;

/** @param begun what {@link startEarly} gave, where it was done before this was loaded */
export async function startAgent(config: AgentConfig, ports: AgentPorts, begun?: EarlyStart): Promise<RunningAgent> {
  const early = begun ?? (await startEarly(config));
  try {
    return await start(config, ports, early);
  } catch (error) {
    await early.undo.all();
    throw error;
  }
}

async function start(config: AgentConfig, ports: AgentPorts, early: EarlyStart): Promise<RunningAgent> {
  const { clock, random } = ports;
  const { folder, identity, trust, socket, group, lock, entries, sandbox, earlyHost, undo } = early;
  const kept = new KeptIdentity(folder.identity, identity);
  const logs = new LogRings(folder.logs, clock);
  const tee = new Writable({
    write: (line: Buffer, _encoding, done) => {
      logs.agent(line.toString('utf8'));
      done();
    },
  });
  const logger = createLogger('agent', { level: config.log.level, pretty: ports.pretty, tee });
  const damages: string[] = [];
  const documents = new StateDocuments(folder, (path, what) => {
    damages.push(`${path}: ${what}`);
    logger.error({ path }, what);
  });
  const bootId = await inRoomOf(folder.ballast, () => documents.nextBootId(clock.now() / 1000));
  const lived = await openLivedTime(documents, clock);
  const keepLived = (): Promise<void> =>
    lived.keep().catch((error: unknown) => logger.warn({ reason: messageOf(error) }, 'the age clock was not kept'));
  await keepLived();
  const controlToken = await readControlToken(folder.controlToken).catch((error: unknown) => {
    // The device serves all the same.
    logger.warn({ path: folder.controlToken, reason: messageOf(error) }, 'no control token: nobody may load or unload');
    return undefined;
  });
  const access = await ScoringAccess.open({
    keysPath: folder.scoringKeys,
    settings: config.scoring,
    machineName: hostname(),
    clock,
    onDamage: (path) => {
      damages.push(`${path}: damaged beyond repair; no key is accepted`);
      logger.error({ path }, 'damaged beyond repair; no key is accepted');
    },
  });
  await layBallast(folder.ballast);
  const handle = await bindWithPatience(
    config.scoring.address,
    config.scoring.port,
    lock.tookOver ? orphanPatienceMs : 0,
    clock,
  );
  undo.add(() => handle.close());
  const { grpc } = config;
  const grpcHandle =
    grpc &&
    (await bindWithPatience(
      config.scoring.address,
      grpc.port,
      lock.tookOver ? orphanPatienceMs : 0,
      clock,
      'grpc-port',
    ));
  undo.add(() => grpcHandle?.close());

  const accelerators = new KnownAccelerators({
    entry: entries.providerCheck,
    environment: hostEnvironmentOf(config),
    platform: `${platform()}-${arch()}`,
    onRefused: (provider, reason) => logger.warn({ provider, reason }, 'an accelerator that does not work'),
    onError: (error) => logger.error({ err: error }, 'accelerators could not be tried'),
  });
  const device = await createDevice({
    config,
    clock,
    random,
    logger,
    logs,
    identity,
    trust,
    folder,
    sandbox,
    accelerators,
    documents,
    bootId,
    lived: lived.seconds,
    earlyHost,
    handle,
    grpcHandle,
    entries,
    hostSettings: {
      maxBodyBytes: config.scoring.maxBodyBytes,
      captureFolder: folder.capture,
      collectFolder: folder.collect,
      routesSocket: folder.routesSocket,
      ...(controlToken === undefined ? {} : { controlToken }),
      // Read at the start of each host.
      get access() {
        return access.current;
      },
    },
    damages,
    publish: (channel, message, id) => session.publish(channel, message, id),
    link: () => ({ connected: session.connected, problem: session.lastProblem }),
  });
  const urls = brokerUrls(config.link.transport, { broker: identity.broker.url, gateway: identity.gateway });
  if (urls.length === 0) {
    throw new AppError(
      'config.invalid',
      `link.transport is mqtt, and the broker ${identity.broker.url} is reached by WebSocket alone: set it to auto`,
    );
  }
  const session = new DeviceSession(
    {
      address: identity,
      urls,
      serverName: identity.broker.serverName,
      proxy: config.link.proxy,
      bootId,
      agentVersion,
      keepaliveSeconds: config.link.keepaliveSeconds,
      reconnect: { baseMs: Math.min(1_000, config.link.maxReconnectMs), maxMs: config.link.maxReconnectMs },
      connectTimeoutMs: 15_000,
    },
    {
      clock,
      random,
      logger,
      client: () => kept.current(),
      authorities: () => {
        const { authority } = identity.broker;
        return authority === undefined ? trust.current().authorities : [authority];
      },
      trustedNow: () => device.trustedNow(),
      onLink: (up) => device.linkChanged(up),
      onMessage: (channel, id, payload) => dispatch(device, channel, id, payload),
    },
  );
  undo.add(() => device.stop());
  undo.add(() => session.stop());
  const renewal = new CertificateRenewal({
    identity: kept,
    trust,
    proxy: config.link.proxy,
    clock,
    jitter: random(),
    everyMs: Math.min(renewalLookMs, config.link.maxReconnectMs),
    logger,
    trustedNow: () => device.trustedNow(),
    connected: () => session.connected,
  });
  undo.add(() => renewal.stop());
  const face = {
    ...device.face,
    status: () => ({ ...device.face.status(), access: access.view }),
    keys: access.keysFace((now) => device.setAccess(now)),
  };
  const local = await openLocalApi(socket, face, group);
  undo.add(() => local.close());

  // To try out the bounds costs as much as to load a model, so that what is on this disk answers first. What is
  // reported is whole from the first report on.
  await device.start();
  await Promise.all([sandbox.ready(), accelerators.ready()]);
  session.start();
  renewal.start();
  // Spread over the hour, so that a fleet does not speak at once.
  const minute = String(Math.floor(random() * 60));
  const upkeep = async (): Promise<void> => {
    await layBallast(folder.ballast);
    await keepLived();
    await device.hourly();
  };
  const hourly = schedule(`${minute} * * * *`, upkeep, { noOverlap: true, name: 'hourly' });
  undo.add(() => hourly.destroy());
  logger.info(
    {
      device: `${identity.workspace}/${identity.device}`,
      bootId,
      scoring: `${config.scoring.address}:${String(handle.port)}`,
    },
    'the agent runs',
  );
  return {
    scoring: { address: config.scoring.address, port: handle.port },
    ...(grpcHandle === undefined ? {} : { grpc: { address: config.scoring.address, port: grpcHandle.port } }),
    device,
    stop: () => undo.all(),
  };
}

function dispatch(device: Device, channel: Channel, id: string | undefined, payload: Buffer): void {
  switch (channel) {
    case 'desired':
      device.onDesired(payload);
      return;
    case 'reportedGet':
      device.onReportedGet();
      return;
    case 'acks': {
      const ack = decodeMessage(ackSchema, payload);
      if (ack.ok) device.onAck(ack.value satisfies Ack);
      return;
    }
    case 'commandRequest':
      if (id !== undefined) device.onCommand(id, payload);
      return;
    case 'blocksData':
      device.onBlock(payload);
      return;
    case 'trustData':
      device.onTrust(payload);
      return;
    // What devices send is not delivered to devices.
    case 'desiredGet':
    case 'reported':
    case 'presence':
    case 'telemetry':
    case 'events':
    case 'data':
    case 'commandResponse':
    case 'blocksGet':
    case 'trustGet':
      return;
  }
  unreachable(channel);
}
