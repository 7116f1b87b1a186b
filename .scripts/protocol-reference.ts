// Renders docs/protocol/README.md from the channels, the registry of errors and the constants of the
// protocol. What prose says beside them is here, so that there is one page to read and one to change.
import { errorCodes, errorRegistry } from '#shared/kernel/errors.js';
import {
  type BlockStatus,
  blockStatus,
  frameHeaderBytes,
  maxChunkBytes,
  maxFrameBytes,
  maxUnacknowledgedBytes,
  maxWholeBlobBytes,
} from '#shared/protocol/blocks.js';
import { type Operation, operationNames } from '#shared/protocol/commands.js';
import { maxJsonDepth, maxMessageBytes } from '#shared/protocol/decode.js';
import { maxDesiredBytes } from '#shared/protocol/desired.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import { payloadTypes } from '#shared/protocol/envelope.js';
import { channelNames, channels, deviceFilters, topicRoot, type Channel } from '#shared/protocol/topics.js';
import { protocolDocuments } from './protocol-documents.js';

const payloads: Record<Channel, string> = {
  desired: `[envelope](schemas/envelope.schema.json) over the [desired document](schemas/desired.schema.json)`,
  desiredGet: 'empty: asks for `desired`',
  reported: '[report](schemas/reported.schema.json)',
  reportedGet: 'empty: asks for a report without `base`',
  presence: '[presence](schemas/presence.schema.json)',
  telemetry: '[telemetry batch](schemas/telemetry.schema.json)',
  events: '[event batch](schemas/events.schema.json)',
  data: '[data batch](schemas/data.schema.json)',
  acks: '[acknowledgement](schemas/ack.schema.json)',
  commandRequest:
    '[envelope](schemas/envelope.schema.json) over a [command request](schemas/command-request.schema.json)',
  commandResponse: '[command response](schemas/command-response.schema.json)',
  blocksGet: '[blocks request](schemas/blocks-request.schema.json)',
  blocksData: '[binary frame](#block-frames)',
  trustGet: '[trust request](schemas/trust-request.schema.json)',
  trustData: '[trust data](schemas/trust-data.schema.json)',
};

const limits: Record<Channel, number> = {
  ...(Object.fromEntries(channelNames.map((name) => [name, maxMessageBytes])) as Record<Channel, number>),
  desired: maxDesiredBytes,
  blocksData: maxFrameBytes,
};

const operationsAbout: Record<Operation, string> = {
  ping: 'answers with the version and uptime of the agent',
  score: 'scores one input on the device, through the same path as local HTTP requests',
  logs: 'the last lines that the agent, or a module, logged',
  restart: "replaces the module's host process",
  refresh: 'asks for its desired and trust documents anew, and reports the whole',
  explain: 'answers with what `flotilla-agent explain` shows',
  check: 'answers with what `flotilla-agent check` finds',
  bundle: 'makes a support bundle without secrets, and answers with its digest and size',
  'bundle-read': 'answers with a piece of that bundle',
};

const statusAbout: Record<BlockStatus, string> = {
  ok: 'the bytes follow',
  notFound: "not among the images of the device's desired document, or not in the store",
  outOfRange: 'the source has no such chunk',
  corrupt: 'the bytes in the store no longer have their digest',
  busy: `more than ${kib(maxUnacknowledgedBytes)} unacknowledged: ask again when more has arrived`,
};

const frameFields: readonly (readonly [name: string, bytes: number, about: string])[] = [
  ['version', 1, '1'],
  ['status', 1, 'below'],
  ['reserved', 2, '0'],
  ['request', 4, 'of the request that it answers'],
  ['index', 4, 'of the chunk'],
  ['offset', 8, 'where the bytes stand in their blob'],
  ['total', 8, 'size of the blob for source `blob`, else 0'],
  ['length', 4, 'of the bytes that follow'],
];

export function renderReference(): string {
  return `${[
    '<!-- Made by `npm run schemas`; change .scripts/protocol-reference.ts instead. -->',
    '# Protocol reference',
    head(),
    topics(),
    accessRules(),
    signatures(),
    generationRules(),
    trustRules(),
    streamRules(),
    blocks(),
    commands(),
    sketches(),
    bounds(),
    documents(),
    errors(),
  ].join('\n\n')}\n`;
}

function head(): string {
  return `What a device and the control plane say to each other: MQTT 3.1.1 below \`${topicRoot}/{workspace}/{device}/\`, and two HTTPS calls, to enrol and to renew the certificate.
Names match \`[a-z0-9][a-z0-9-]{0,62}\`. Client id of a device is \`{workspace}/{device}\`, as its certificate says; there are no passwords. Sessions are clean: the database is the truth, and answers \`desired/get\`, which a device sends on every connect.
Broker and device gateway present a certificate for \`${controlPlaneServerName}\` from the authority that the enrolment token pins, whatever address they are reached by.`;
}

function topics(): string {
  const rows = channelNames.map((name) => {
    const { path, from, qos, retain } = channels[name];
    return [`\`${path}\``, from, String(qos), retain ? 'yes' : '', payloads[name], kib(limits[name])];
  });
  return `## Topics\n\n${table(['topic', 'from', 'QoS', 'retained', 'payload', 'at most'], rows)}`;
}

function accessRules(): string {
  const own = { workspace: '{workspace}', device: '{device}' };
  const subscribes = deviceFilters(own).map((filter) => `- \`${filter}\``);
  const publishes = channelNames
    .filter((name) => channels[name].from === 'device')
    .map((name) => `- \`${topicRoot}/{workspace}/{device}/${channels[name].path}\``);
  return `## Who may do what

A device publishes on these topics of its own, and on no other:

${publishes.join('\n')}

It subscribes with these filters, or with a topic that one of them matches; a wider filter is refused, not narrowed:

${subscribes.join('\n')}

The control plane publishes on the second list and subscribes to the first, of every workspace.`;
}

function signatures(): string {
  const rows = Object.entries(payloadTypes).map(([name, type]) => [name, `\`${type}\``, signerOf(name)]);
  return `## Signatures

A signature is Ed25519 over the DSSE v1 pre-authentication encoding of payload type and raw payload, \`"DSSEv1" SP length(type) SP type SP length(payload) SP payload\`. It is checked over the bytes as received; only then is the payload parsed. \`keyid\` is the SHA-256 of the raw public key, in hex.

${table(['payload', 'payload type', 'signed by'], rows)}`;
}

function signerOf(payload: string): string {
  if (payload === 'trust') return 'publishers of the version before, and its own';
  return payload === 'image' ? 'a publisher' : "the workspace's director";
}

function generationRules(): string {
  return `## Generation

A desired document has a generation, which per device only rises, rollbacks included. A device that holds generation *g*

- refuses a document for another device (\`desired.wrong-device\`), an older generation (\`desired.older-generation\`), and *g* with other content (\`desired.same-generation\`);
- takes *g* with the same content and a later \`issuedAt\` as a renewal of \`expiresAt\`;
- ignores the same document again;
- accepts any higher generation.

Content is everything but \`issuedAt\` and \`expiresAt\`, compared as sorted JSON. When a document has expired, the device goes on with what it has. A reported generation above the database's raises the database's.`;
}

function trustRules(): string {
  return `## Trust

What an enrolment token pins is version 0 of what a device trusts: publishers, directors, authorities. From then on the [trust document](schemas/trust.schema.json) of the workspace says it. A device asks for what it lacks with \`trust/get\` on every connect, every hour, and when a signature names a director it does not know; the cloud answers with the versions above \`after\`, in order, as many as fit. A device that goes by version *v* takes version *v* + 1 and no other,

- when publishers of *v* signed it, as many as the \`threshold\` of *v*, and publishers of its own, as many as its own \`threshold\`;
- when it still names every publisher that *v* had withdrawn.

A device that goes by its pins may begin at any version that a pinned publisher signed. The same version with other content is refused, and so is an older one. No control plane can change any of it: it has no publisher's key. The shape is that of the root role of TUF.`;
}

function streamRules(): string {
  return `## Boots, sequences, reports

\`bootId\` counts the starts of the agent and is on disk before the first message of a boot. Telemetry and events each have their own \`sequence\` from 1 in every boot; a batch gets it when it is written to the device's spool and is never cut anew. The cloud keeps, for each device, kind and boot, up to which sequence it has stored:

- a sequence up to that mark is a duplicate and is acknowledged again;
- the next one is stored, the mark rises, and \`acks\` says so;
- a later one is a gap: it is neither stored nor acknowledged, and comes again after the missing ones.

Batches that the device let go are named by \`droppedFrom\` of the batch after them, which closes the gap. A batch with a \`dropReason\` (\`room\`, \`age\`, \`damage\`) is itself one of those: empty, it stands in their place until it is acknowledged, so that a gap is told even of a boot of which nothing is left; the cloud keeps the range. A broker's acknowledgement means nothing here: the spool keeps a batch until \`acks\` covers it.

A report without \`base\` is the whole state. With \`base\`, it is a diff on the report of that sequence in the same boot: what stands in it replaces, a field or module that is null is gone. At most one a second; \`reported/get\` asks for the whole.`;
}

function blocks(): string {
  let offset = 0;
  const layout = frameFields.map(([name, bytes, about]) => {
    const row = [String(offset), String(bytes), name, about];
    offset += bytes;
    return row;
  });
  if (offset !== frameHeaderBytes) throw new Error('the table of frame fields differs from the frame');
  const statuses = (Object.keys(blockStatus) as BlockStatus[]).map((name) => [
    String(blockStatus[name]),
    name,
    statusAbout[name],
  ]);
  return `## Block frames

A device pulls: \`blocks/get\` names a source and chunk indexes, and every index is answered by one frame on \`blocks/data\`. Source \`blob\` is a whole small file in pieces of ${kib(maxChunkBytes)}, at most ${kib(maxWholeBlobBytes)}; source \`chunks\` is what a chunk map lists, each chunk with its own SHA-256. Indexes of a chunk map count over all its blobs.

Both topics are QoS 0. \`session\` names one run of counting and \`acknowledged\` says how many payload bytes of it have arrived; at most ${kib(maxUnacknowledgedBytes)} are under way. After a loss the device begins a new session, and both counts are zero.

Numbers are big-endian and unsigned. The header has ${String(frameHeaderBytes)} bytes:

${table(['at', 'bytes', 'field', 'meaning'], layout)}

${table(['status', 'name', 'meaning'], statuses)}

[blocks-data.hex](../../test/fixtures/messages/blocks-data.hex) is a whole frame in hex.`;
}

function commands(): string {
  const rows = operationNames.map((name) => [`\`${name}\``, operationsAbout[name]]);
  return `## Commands

A command is signed by the director and has a deadline, after which a device neither starts nor answers it. Ids match \`[A-Za-z0-9_-]{1,64}\` and are remembered on the device's disk: a repeated request gets the first answer again.

${table(['operation', 'what it does'], rows)}`;
}

function sketches(): string {
  return `## Latency sketches

A histogram whose buckets are the upper 14 bits of the value's float32 form, so that each spans 1/32 of a power of two and a quantile is within 1.6 % of a true one. \`buckets\` is the base64 of varints (7 bits a byte, low first): pairs of distance from the bucket before and count, ascending. Sketches merge by adding counts. A sketch whose buckets disagree with its count, sum, min or max is refused.`;
}

function bounds(): string {
  const rows = [
    ['any message', kib(maxMessageBytes)],
    ['`desired`', kib(maxDesiredBytes)],
    ['one chunk', kib(maxChunkBytes)],
    ['frame', `${kib(maxChunkBytes)} and the header`],
    ['blob served whole', kib(maxWholeBlobBytes)],
    ['block bytes under way to one device', kib(maxUnacknowledgedBytes)],
    ['nesting of JSON', `${String(maxJsonDepth)} levels`],
  ];
  return `## Limits

Sizes are checked before anything is decoded.

${table(['what', 'at most'], rows)}`;
}

function documents(): string {
  const rows = protocolDocuments.map((document) => [
    `[${document.title}](schemas/${document.name}.schema.json)`,
    document.about,
    `[example](../../test/fixtures/messages/${document.name}.json)`,
  ]);
  return `## Documents

Every schema is JSON Schema 2020-12 of what is accepted: fields with a default may be left out. Every document has \`schema: 1\` where it has a version of its own; readers tolerate unknown fields from newer peers, and are strict on what commands them. The examples belong together: the signatures are real.

${table(['document', 'what it is', ''], rows)}`;
}

function errors(): string {
  const rows = errorCodes.map((code) => {
    const { status, retry, exit } = errorRegistry[code];
    return [`\`${code}\``, String(status), retry, String(exit)];
  });
  return `## Error codes

One registry for HTTP bodies, device reports, command responses and the command line. Retry: *never*, the same request fails again; *later*, it may succeed unchanged after a while; *changed*, it succeeds once the state it names has changed.

${table(['code', 'HTTP', 'retry', 'exit'], rows)}`;
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(header), line(header.map(() => '---')), ...rows.map(line)].join('\n');
}

function kib(bytes: number): string {
  if (bytes % (1024 * 1024) === 0) return `${String(bytes / (1024 * 1024))} MiB`;
  return bytes % 1024 === 0 ? `${String(bytes / 1024)} KiB` : `${String(bytes)} bytes`;
}
