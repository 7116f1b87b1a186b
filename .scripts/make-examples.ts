// Writes test/fixtures/messages/*: one example of every document, telling one story (a device runs
// digits:1), with real digests and real signatures by keys that are made from words and worth nothing.
// Run it with `node --conditions=source --import tsx .scripts/make-examples.ts` after a change of the wire.
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { annotations, mediaTypes } from '#shared/package/media-types.js';
import { encodeFrame } from '#shared/protocol/blocks.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { payloadTypes, preAuthenticationEncoding } from '#shared/protocol/envelope.js';
import { addToSketch, emptySketch, encodeSketch } from '#shared/protocol/sketch.js';
import { addCategory, addNumber, emptySummary, encodeSummary } from '#shared/protocol/summary.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const folder = join(root, 'test/fixtures/messages');
const maxPiece = 256 * 1024;

const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');
const blob = (bytes: Uint8Array | string): { digest: string; size: number } => ({
  digest: `sha256:${sha256(bytes)}`,
  size: Buffer.byteLength(bytes),
});

/** An Ed25519 key whose seed is the hash of a word: the DER head is that of RFC 8410. */
function keyOf(word: string) {
  const der = Buffer.concat([
    Buffer.from('302e020100300506032b657004220420', 'hex'),
    createHash('sha256').update(`flotilla example ${word}`).digest(),
  ]);
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const raw = createPublicKey(privateKey).export({ format: 'der', type: 'spki' }).subarray(-32);
  return { privateKey, publicKey: raw.toString('base64url'), keyId: sha256(raw) };
}

function envelopeOver(payloadType: string, payload: object, key: ReturnType<typeof keyOf>) {
  const bytes = Buffer.from(JSON.stringify(payload));
  const sig = sign(null, preAuthenticationEncoding(payloadType, bytes), key.privateKey).toString('base64');
  return { payloadType, payload: bytes.toString('base64'), signatures: [{ keyid: key.keyId, sig }] };
}

const director = keyOf('director');
const publisher = keyOf('publisher');
const who = { workspace: 'main', device: 'cam-1' };
const at = '2026-11-23T09:00:00.000Z';

const moduleManifest = {
  schema: 1,
  name: 'digits',
  description: 'Recognises one handwritten digit in an 8x8 grey image.',
  flavor: 'onnx',
  models: [{ name: 'digits', file: 'model.onnx' }],
  accelerators: ['cpu'],
  instances: 1,
};
const model = readFileSync(join(root, 'modules/digits/model.onnx'));
const manifestBytes = canonicalJson(moduleManifest);
const configBytes = canonicalJson({ descriptor: { name: 'digits', version: '1' } });
const pieces = (bytes: Buffer): { length: number; sha256: string }[] =>
  Array.from({ length: Math.ceil(bytes.length / maxPiece) }, (_, index) => {
    const piece = bytes.subarray(index * maxPiece, (index + 1) * maxPiece);
    return { length: piece.length, sha256: sha256(piece) };
  });
const chunkMap = {
  schema: 1,
  blobs: [Buffer.from(configBytes), Buffer.from(manifestBytes), model].map((bytes) => ({
    ...blob(bytes),
    chunks: pieces(bytes),
  })),
};
const imageManifest = {
  schemaVersion: 2,
  mediaType: mediaTypes.manifest,
  artifactType: mediaTypes.artifact,
  config: { mediaType: mediaTypes.config, ...blob(configBytes) },
  layers: [
    {
      mediaType: mediaTypes.moduleManifest,
      ...blob(manifestBytes),
      annotations: { [annotations.filepath]: 'module.yaml' },
    },
    { mediaType: mediaTypes.weight, ...blob(model), annotations: { [annotations.filepath]: 'model.onnx' } },
    { mediaType: mediaTypes.chunkMap, ...blob(canonicalJson(chunkMap)) },
  ],
};
const image = blob(canonicalJson(imageManifest));
const statement = { schema: 1, digest: image.digest, name: 'digits', flavor: 'onnx' };
const signature = JSON.stringify(envelopeOver(payloadTypes.image, statement, publisher));

const desired = {
  schema: 1,
  ...who,
  generation: 7,
  issuedAt: at,
  expiresAt: '2026-12-23T09:00:00.000Z',
  modules: {
    digits: {
      image: { name: 'digits', version: 1, ...image, signature: blob(signature) },
      settings: {},
      policy: { restart: 'always', maxRestarts: 20, windowSeconds: 600 },
    },
  },
  prefetch: [],
};

const nextPublisher = keyOf('next publisher');
const trust = {
  schema: 1,
  workspace: who.workspace,
  version: 1,
  publishers: [publisher.publicKey, nextPublisher.publicKey],
  threshold: 1,
  directors: [director.publicKey],
  authorities: ['-----BEGIN CERTIFICATE-----\nTHE+CERTIFICATE+OF+THE+AUTHORITY=\n-----END CERTIFICATE-----\n'],
  withdrawn: [],
  issuedAt: at,
};

const sketch = emptySketch();
for (const latency of [0.41, 0.43, 0.44, 0.52, 0.58, 1.9]) addToSketch(sketch, latency);
const pixels = emptySummary('numbers');
for (const pixel of [0, 0, 3, 7, 12, 16]) addNumber(pixels, pixel, undefined);
const labels = emptySummary('categories');
for (const label of ['3', '3', '3', '8', '5']) addCategory(labels, label, undefined);
const capabilities = {
  agentVersion: '0.1.0',
  platform: 'linux-x64',
  cpus: 4,
  memoryBytes: 8_254_017_536,
  accelerators: ['cpu'],
  hostname: 'cam-1.lab',
};
const secret = createHash('sha256').update('flotilla example secret').digest('base64url');

const signingRequest =
  '-----BEGIN CERTIFICATE REQUEST-----\n(PKCS #10 for CN=main/cam-1)\n-----END CERTIFICATE REQUEST-----\n';
const deviceCertificate = '-----BEGIN CERTIFICATE-----\n(the certificate of the device)\n-----END CERTIFICATE-----\n';
const brokerAddress = { url: 'mqtts://192.168.7.10:8883', serverName: controlPlaneServerName };

const examples: Record<string, object> = {
  envelope: envelopeOver(payloadTypes.desired, desired, director),
  desired,
  reported: {
    schema: 1,
    bootId: 3,
    sequence: 2,
    base: 1,
    at: '2026-11-23T09:00:04.120Z',
    state: {
      generation: 7,
      converged: true,
      refused: null,
      modules: {
        digits: { active: { digest: image.digest, version: 1, state: 'running', provider: 'cpu' } },
        'old-digits': null,
      },
    },
  },
  presence: { schema: 1, online: true, bootId: 3, agentVersion: '0.1.0', since: at },
  telemetry: {
    schema: 1,
    bootId: 3,
    sequence: 18,
    at: '2026-11-23T09:03:00.000Z',
    intervalMs: 10_000,
    generation: 7,
    modules: {
      digits: {
        digest: image.digest,
        version: 1,
        provider: 'cpu',
        requests: 6,
        errors: { 'score.invalid-input': 1 },
        latencyMs: encodeSketch(sketch),
        stages: { queueMs: encodeSketch(emptySketch()), computeMs: encodeSketch(sketch) },
        tensors: { samples: 5, inputs: { image: encodeSummary(pixels) }, outputs: { label: encodeSummary(labels) } },
      },
    },
    system: {
      cpu: 0.07,
      memoryUsedBytes: 1_911_226_368,
      memoryTotalBytes: 8_254_017_536,
      diskUsedBytes: 10_737_418_240,
      diskTotalBytes: 31_138_512_896,
      agentRssBytes: 98_566_144,
      hostsRssBytes: 141_557_760,
      temperatureCelsius: 48.5,
      gpus: [{ name: 'NVIDIA Orin', busy: 0.31, memoryUsedBytes: 1_073_741_824, memoryTotalBytes: 8_589_934_592 }],
    },
  },
  events: {
    schema: 1,
    bootId: 3,
    sequence: 5,
    droppedFrom: 4,
    at: '2026-11-23T09:00:04.000Z',
    events: [
      {
        at: '2026-11-23T09:00:03.870Z',
        level: 'info',
        type: 'module.activated',
        module: 'digits',
        message: 'digits:1 answers since generation 7',
        details: { digest: image.digest },
      },
    ],
  },
  data: {
    schema: 1,
    bootId: 3,
    sequence: 2,
    at: '2026-11-23T09:00:00.000Z',
    module: 'digits',
    collection: 'model_outputs',
    events: [
      {
        specversion: '1.0',
        id: '6b1f6d0e-0c7b-4a55-9a0e-0a9c0f4c9d11',
        type: 'azureml.inference.outputs',
        datacontenttype: 'application/json',
        time: '2026-11-23T09:00:03.870Z',
        data: [{ name: 'scores', datatype: 'FP32', shape: [1, 2], data: [0.25, 0.75] }],
        correlationid: 'a1b2c3',
        xrequestid: 'a1b2c3',
        modelversion: '1',
        modeldigest: image.digest,
        collectdatatype: 'tensors',
        agent: 'flotilla',
        contentrange: 'bytes 0-73/74',
      },
    ],
  },
  ack: { schema: 1, kind: 'telemetry', bootId: 3, upTo: 18 },
  'command-request': {
    schema: 1,
    id: 'k3JY0f2sQ1mXw7aB',
    ...who,
    issuedAt: at,
    deadline: '2026-11-23T09:00:10.000Z',
    operation: 'logs',
    arguments: { module: 'digits', lines: 2 },
  },
  'command-response': {
    schema: 1,
    id: 'k3JY0f2sQ1mXw7aB',
    outcome: { kind: 'done', result: { lines: ['loaded digits:1 on cpu', 'proved 10 golden vectors'] } },
  },
  'blocks-request': {
    schema: 1,
    request: 41,
    session: 2,
    acknowledged: 786_432,
    source: { kind: 'chunks', map: blob(canonicalJson(chunkMap)).digest },
    indexes: [0, 1, 2],
  },
  trust,
  'trust-request': { schema: 1, after: 0 },
  'trust-data': { schema: 1, newest: 1, envelopes: [envelopeOver(payloadTypes.trust, trust, publisher)] },
  'enrolment-token': {
    url: 'https://192.168.7.10:7443',
    workspace: 'main',
    secret,
    authority: sha256('flotilla example authority'),
    director: director.publicKey,
    publishers: [publisher.publicKey],
  },
  'enrolment-request': {
    workspace: 'main',
    secret,
    device: 'cam-1',
    csr: signingRequest,
    sealingKey: createHash('sha256').update('flotilla example sealing key').digest('base64url'),
    tags: { site: 'lab' },
    capabilities,
  },
  'enrolment-response': {
    ...who,
    certificate: deviceCertificate,
    broker: brokerAddress,
    bootIdAbove: 0,
    director: director.publicKey,
  },
  'enrolment-pending': { state: 'pending', retryAfterSeconds: 5 },
  'renewal-request': { csr: signingRequest },
  'renewal-response': { certificate: deviceCertificate, broker: brokerAddress },
  'module-manifest': moduleManifest,
  'image-manifest': imageManifest,
  'chunk-map': chunkMap,
  'image-statement': statement,
  'rollout-policy': {
    waves: [
      { where: 'canary = "yes"', bakeSeconds: 600, approval: true },
      { percent: 10, bakeSeconds: 300 },
      { count: 200 },
    ],
    maxUnavailable: '10%',
    rate: { perMinute: 20, factor: 2, everySucceeded: 50, maxPerMinute: 500 },
    success: { minPercent: 95 },
    failure: { maxPercent: 5, minExecuted: 10 },
    unreachable: { afterSeconds: 3600, maxPercent: 20 },
    onFailure: 'rollback',
    stepTimeoutSeconds: 900,
    totalTimeoutSeconds: 86_400,
    retries: { later: { attempts: 2, backoffSeconds: 60 }, timeout: { attempts: 1, backoffSeconds: 300 } },
    lateJoiners: 'follow',
    windows: [{ cron: '0 2 * * 1-5', durationSeconds: 7200 }],
    freeze: [{ from: '2026-12-24T00:00:00Z', until: '2026-12-27T00:00:00Z', reason: 'Christmas' }],
    prefetch: { wavesAhead: 1, atOnce: 50 },
    gates: {
      speed: { kind: 'latency', maxMs: 80, maxRatio: 1.5, reference: 'before', minSamples: 500 },
      errors: { kind: 'errors', maxPercent: 1, confidence: 0.99 },
      numbers: { kind: 'invalid', module: 'digits', tensor: 'output.probabilities', min: 0, max: 1 },
      classes: { kind: 'drift', module: 'digits', tensor: 'output.label', maxPsi: 0.25, reference: 'peers' },
      memory: { kind: 'memory', maxRatio: 1.3, minSamples: 30 },
    },
  },
  'shift-policy': {
    mirror: { percent: 20, seconds: 600, minCompared: 500, minAgreement: 99, maxErrorPercent: 1, maxLatencyRatio: 1.5 },
    steps: [
      { percent: 5, bakeSeconds: 600 },
      { percent: 50, bakeSeconds: 1800 },
      { percent: 100, bakeSeconds: 3600 },
    ],
    gates: {
      speed: { kind: 'latency', maxMs: 80, maxRatio: 1.5, reference: 'peers', minSamples: 500 },
      errors: { kind: 'errors', maxIncrease: 0.5 },
      classes: { kind: 'drift', module: 'digits', tensor: 'output.label', maxPsi: 0.25 },
    },
    onFailure: 'return',
    unreadySeconds: 30,
    totalTimeoutSeconds: 86_400,
  },
  'release-file': { kind: 'release', name: 'vision', modules: { detector: { image: 'detector:4' } } },
  'layer-file': {
    kind: 'layer',
    name: 'night',
    where: 'shift = "night"',
    priority: 10,
    modules: { detector: { settings: { threshold: 0.9 } } },
  },
  'rollout-file': {
    kind: 'rollout',
    release: 'vision',
    fleet: 'line-3',
    policy: { waves: [{ count: 1, bakeSeconds: 600 }], maxUnavailable: '10%' },
  },
  'simulation-profile': {
    schema: 1,
    loadSeconds: [0.2, 1],
    latencyMs: 5,
    telemetry: { intervalSeconds: 30, requestsPerMinute: 120 },
    groups: [
      { name: 'slow', percent: 5, loadSeconds: [5, 20], latencyMs: 40 },
      { name: 'refusing', percent: 2, with: ['digits:2'], rejects: true },
      { name: 'drifting', percent: 5, with: ['digits:2'], drift: 2, errorShare: 0.02 },
      { name: 'away', percent: 10, away: { afterSeconds: [60, 300], forSeconds: [20, 60] } },
    ],
  },
};

for (const [name, example] of Object.entries(examples)) {
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify(example, null, 2)}\n`);
}
const frame = encodeFrame({
  request: 41,
  status: 'ok',
  index: 0,
  offset: 0,
  total: 0,
  bytes: Buffer.from(configBytes),
});
writeFileSync(join(folder, 'blocks-data.hex'), `${Buffer.from(frame).toString('hex')}\n`);
console.log(`${String(Object.keys(examples).length + 1)} examples`);
