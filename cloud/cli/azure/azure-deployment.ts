/** An online deployment of Azure ML v2, managed or of Kubernetes, as far as it means something here. Pure. */
import type { Probe, RequestSettings, Scale } from '#cloud/services/desired-services.js';
import { probeSchema, requestSettingsSchema, scaleSchema } from '#cloud/services/desired-services.js';
import type { CollectRule } from '#shared/protocol/collect.js';
import { isMapping } from '../yaml-fields.js';
import { AzureFields, type AzureIdentity, type FieldNote, identityFields } from './azure-fields.js';
import { readDataCollector } from './azure-data-collector.js';

/** Which model it runs: one that is registered, or something that lies beside the file. */
export type AzureModel =
  | { readonly kind: 'registered'; readonly name: string; readonly version: number | 'latest' }
  | { readonly kind: 'elsewhere'; readonly text: string };

export interface AzureDeployment extends AzureIdentity {
  readonly endpoint: string | undefined;
  readonly model: AzureModel | undefined;
  readonly scale: Scale;
  readonly request: RequestSettings;
  readonly liveness: Probe;
  readonly readiness: Probe;
  /** undefined: the file says nothing of it; null: nothing. */
  readonly collect: CollectRule | null | undefined;
  readonly notes: readonly FieldNote[];
}

const known = [
  ...[...identityFields, 'endpoint_name', 'model', 'instance_count', 'scale_settings', 'request_settings'],
  ...['liveness_probe', 'readiness_probe', 'data_collector'],
];
const meaningless = {
  code_configuration: 'the image carries its scoring script',
  environment: 'the image carries what it runs in',
  environment_variables: 'modules have settings instead: flotilla deployment update --set',
  instance_type: 'a replica is a process of the service host: there are no machine types',
  app_insights_enabled: 'requests are counted in any case: flotilla deployment show',
  egress_public_network_access: "a module's permissions say what it may reach",
  model_mount_path: 'the image says where its model lies',
  resources: 'module.yaml of the image says what it may use',
  startup_probe: 'the readiness probe waits for the start too',
  type: 'replicas are processes of the service host',
  properties: 'kept nowhere; tags are',
  private_network_connection: 'services.host of the configuration says from where it is reached',
  package_model: 'images are built and signed by their publisher: flotilla image build',
  id: 'ids are given here',
};

/** @throws AppError `request.invalid`, naming the field */
export function readAzureDeployment(value: unknown, where: string): AzureDeployment {
  const fields = AzureFields.of(value, where, known, meaningless);
  const request = requestOf(fields);
  return {
    ...{ ...fields.identity('deployment'), endpoint: fields.name('endpoint_name', 'endpoint') },
    ...{ model: modelOf(fields), request },
    ...{ scale: scaleOf(fields, request), liveness: probeOf(fields, 'liveness_probe') },
    ...{ readiness: probeOf(fields, 'readiness_probe'), collect: readDataCollector(fields), notes: fields.notes },
  };
}

const registered = /^azureml:([a-z0-9][a-z0-9-]{0,62})(?::([1-9][0-9]{0,8})|@(latest))$/;

function modelOf(fields: AzureFields): AzureModel | undefined {
  const value = fields.raw('model');
  if (value === undefined) return undefined;
  if (typeof value === 'string') {
    const [, name, version, latest] = registered.exec(value.trim()) ?? [];
    if (name === undefined) return { kind: 'elsewhere', text: value.slice(0, 200) };
    return { kind: 'registered', name, version: latest === undefined ? Number(version) : 'latest' };
  }
  if (!isMapping(value)) throw fields.wrong('model', 'is neither azureml:name:version nor a mapping');
  const { path } = value;
  return { kind: 'elsewhere', text: typeof path === 'string' ? path.slice(0, 200) : 'a model of the file itself' };
}

function requestOf(fields: AzureFields): RequestSettings {
  const inner = fields.inner('request_settings', ['request_timeout_ms', 'max_concurrent_requests_per_instance'], {
    max_queue_wait_ms: 'a request waits within request_timeout_ms',
  });
  const timeoutMs = inner?.whole('request_timeout_ms', 1, 180_000);
  const maxConcurrentPerReplica = inner?.whole('max_concurrent_requests_per_instance', 1, 10_000);
  return requestSettingsSchema.parse({
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(maxConcurrentPerReplica === undefined ? {} : { maxConcurrentPerReplica }),
  });
}

function scaleOf(fields: AzureFields, { maxConcurrentPerReplica }: RequestSettings): Scale {
  const replicas = fields.whole('instance_count', 0, 100) ?? 1;
  const inner = fields.inner(
    'scale_settings',
    ['type', 'min_instances', 'max_instances', 'target_utilization_percentage'],
    { polling_interval: 'the load is looked at all the time' },
  );
  const type = (inner?.text('type') ?? 'default').toLowerCase();
  if (type === 'default') return { kind: 'fixed', replicas };
  if (inner === undefined || (type !== 'target_utilization' && type !== 'targetutilization')) {
    throw fields.wrong('scale_settings.type', 'must be default or target_utilization');
  }
  const min = inner.whole('min_instances', 0, 100) ?? 1;
  const max = inner.whole('max_instances', 1, 100) ?? 1;
  if (max < min) throw inner.wrong('max_instances', 'is less than min_instances');
  const percent = inner.whole('target_utilization_percentage', 1, 100) ?? 70;
  inner.note(
    'target_utilization_percentage',
    `taken of the requests that a replica works on at once: ${String(percent)}% of ${String(maxConcurrentPerReplica)}`,
  );
  if (fields.has('instance_count')) fields.note('instance_count', 'scale_settings say how many there are');
  const targetOutstanding = Math.max(0.1, (maxConcurrentPerReplica * percent) / 100);
  return scaleSchema.parse({ kind: 'auto', min, max, targetOutstanding });
}

const elsewhere = 'replicas are asked at their own health address';

function probeOf(fields: AzureFields, field: string): Probe {
  const inner = fields.inner(field, ['initial_delay', 'period', 'timeout', 'success_threshold', 'failure_threshold'], {
    path: elsewhere,
    port: elsewhere,
    scheme: elsewhere,
    method: elsewhere,
  });
  const given = {
    initialDelaySeconds: inner?.whole('initial_delay', 0, 3_600),
    periodSeconds: inner?.whole('period', 1, 3_600),
    timeoutSeconds: inner?.whole('timeout', 1, 300),
    successThreshold: inner?.whole('success_threshold', 1, 100),
    failureThreshold: inner?.whole('failure_threshold', 1, 1_000),
  };
  return probeSchema.parse(Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)));
}
