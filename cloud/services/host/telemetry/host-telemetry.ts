/**
 * Numbers of all deployments on their way to the control plane: what the front counts, what replicas count inside, and how
 * answers to mirrored requests compare. Adds up while nobody asks; what was given is kept until it is stored.
 */
import { type Clock, toInstant } from '#shared/kernel/clock.js';
import { shadowMetricsOf } from '#shared/supervisor/module-metrics.js';
import type { ModuleMetrics } from '#shared/protocol/stream.js';
import type { DesiredEndpoint } from '../../desired-services.js';
import { mirrorTag, sourceOf } from '../../service-source.js';
import type { Acknowledged, TelemetryTeller, ToldBatch } from '../../services-telemetry.js';
import type { FrontPort } from '../front-port.js';
import type { ReplicaOf } from '../observed.js';
import { comparedWith, insideOf } from './counts-only.js';
import { MirrorAgreement } from './mirror-agreement.js';
import type { ToldDocument } from './told-document.js';
import { type BatchTimes, ToldStream } from './told-stream.js';

export interface HostTelemetryPorts {
  readonly clock: Clock;
  readonly front: FrontPort;
  readonly document: ToldDocument;
  /** Asks every replica; each answer comes by {@link HostTelemetry.replicaTold}. Resolves once all have answered. */
  readonly askReplicas: () => Promise<unknown>;
  readonly endpoint: (id: string) => DesiredEndpoint | undefined;
  readonly generation: () => number;
}

interface Source {
  readonly workspace: string;
  readonly source: string;
}

/** Of replicas; what comes later is told with the next. */
const patienceMs = 1_000;
/** As JSON, of one answer; the rest comes with the next. */
const maxToldLength = 16 * 1024 * 1024;

export class HostTelemetry implements TelemetryTeller {
  private readonly agreement: MirrorAgreement;
  /** Of every deployment that counted something: a stream goes on where it was, for the store keeps a mark of each. */
  private readonly streams = new Map<string, Source & { readonly stream: ToldStream }>();
  /** Of an earlier process. */
  private left: (Source & { readonly stream: ToldStream })[] = [];
  /** By digest of the image: what is told of one image is told in one place. */
  private readonly providers = new Map<string, string>();
  /** The store holds sequences against it: it is above that of any process before. */
  private bootId: number;

  constructor(private readonly ports: HostTelemetryPorts) {
    const { clock, front, endpoint } = ports;
    this.bootId = clock.now();
    this.agreement = new MirrorAgreement({ clock, rule: (id) => endpoint(id)?.mirror?.compare });
    front.onMirrored((pair) => this.agreement.take(pair));
    front.onMirrorDropped((pair) => this.agreement.dropped(pair));
  }

  /** What an earlier process did not get rid of is told first. */
  async start(): Promise<void> {
    const { bootId, streams } = await this.ports.document.read();
    this.bootId = Math.max(this.bootId, bootId + 1);
    this.left = streams.map(({ workspace, source, ...stream }) => ({
      workspace,
      source,
      stream: ToldStream.of(stream),
    }));
  }

  replicaTold(of: ReplicaOf, module: string, metrics: ModuleMetrics): void {
    const endpoint = this.ports.endpoint(of.endpoint);
    if (metrics.provider !== undefined) this.rememberProvider(metrics.digest, metrics.provider);
    const inside = insideOf(metrics);
    if (endpoint && inside) this.stream(endpoint, of.deployment).add(module, inside);
  }

  async telemetry(acknowledged: readonly Acknowledged[]): Promise<readonly ToldBatch[]> {
    await this.acknowledge(acknowledged);
    await this.collect();
    const times = this.times();
    const told: ToldBatch[] = [];
    let length = 0;
    for (const { workspace, source, stream } of [...this.left, ...this.streams.values()]) {
      for (const batch of stream.tell(times)) {
        length += JSON.stringify(batch).length;
        if (length > maxToldLength) return told;
        told.push({ workspace, source, batch });
      }
    }
    return told;
  }

  /** What was not asked for is kept for the next process. Counts nothing any more. */
  async stop(): Promise<void> {
    this.agreement.stop();
    await this.collect();
    const times = this.times();
    const all = [...this.left, ...this.streams.values()];
    for (const { stream } of all) stream.cut(times);
    const streams = all.map(({ workspace, source, stream }) => ({ workspace, source, ...stream.kept }));
    await this.ports.document.write({ bootId: this.bootId, streams });
  }

  private async acknowledge(acknowledged: readonly Acknowledged[]): Promise<void> {
    for (const { workspace, source, bootId, upTo } of acknowledged) {
      const own = this.streams.get(keyOf({ workspace, source }));
      const streams = [...this.left, ...(own ? [own] : [])];
      const of = streams.filter((one) => one.workspace === workspace && one.source === source);
      of.find(({ stream }) => stream.bootId === bootId)?.stream.acknowledge(upTo);
    }
    if (this.left.length === 0) return;
    this.left = this.left.filter(({ stream }) => !stream.isEmpty);
    if (this.left.length === 0) await this.ports.document.write({ bootId: this.bootId, streams: [] });
  }

  /** From all that count, into the streams: what a replica counted is then not lost with it. */
  async collect(): Promise<void> {
    const { clock, front, endpoint, askReplicas } = this.ports;
    await withinPatience(clock, askReplicas());
    for (const { workspace, endpoint: name, deployment, image, ...numbers } of front.takeNumbers()) {
      const { digest, version } = image;
      this.stream({ workspace, name }, deployment).add(image.name, this.provided({ digest, version, ...numbers }));
    }
    for (const { endpointId, live, mirrored, counts } of this.agreement.takeCounts()) {
      const of = endpoint(endpointId);
      if (!of || !live.image || !mirrored.image) continue;
      const { digest, version } = mirrored.image;
      const shadow = shadowMetricsOf({ ...counts, digest, version, tag: mirrorTag(mirrored.deployment) });
      this.stream(of, live.deployment).add(live.image.name, this.provided(comparedWith(live.image, shadow)));
    }
  }

  private provided(metrics: ModuleMetrics): ModuleMetrics {
    const provider = this.providers.get(metrics.digest);
    return provider === undefined ? metrics : { ...metrics, provider };
  }

  private rememberProvider(digest: string, provider: string): void {
    if (this.providers.size > 1_000) this.providers.clear();
    this.providers.set(digest, provider);
  }

  private stream({ workspace, name }: Pick<DesiredEndpoint, 'workspace' | 'name'>, deployment: string): ToldStream {
    const of = { workspace, source: sourceOf(name, deployment) };
    const known = this.streams.get(keyOf(of));
    if (known) return known.stream;
    const stream = ToldStream.begin(this.bootId, this.ports.clock.monotonic());
    this.streams.set(keyOf(of), { ...of, stream });
    return stream;
  }

  private times(): BatchTimes {
    const { clock, generation } = this.ports;
    return { at: toInstant(clock.now()), nowMs: clock.monotonic(), generation: generation() };
  }
}

function keyOf({ workspace, source }: Source): string {
  return `${workspace}/${source}`;
}

async function withinPatience(clock: Clock, work: Promise<unknown>): Promise<void> {
  const over = new AbortController();
  await Promise.race([work, clock.sleep(patienceMs, over.signal)]);
  over.abort();
}
