// Every document that crosses a boundary between Flotilla's parts, with the schema that says what it
// is. The JSON Schemas, the protocol reference and the contract tests are all made from this list.
import type * as z from 'zod';
import { chunkMapSchema, imageManifestSchema, imageStatementSchema } from '#shared/package/image-schema.js';
import { moduleManifestSchema } from '#shared/package/module-manifest.js';
import { blocksRequestSchema } from '#shared/protocol/blocks.js';
import { commandRequestSchema, commandResponseSchema } from '#shared/protocol/commands.js';
import { desiredSchema } from '#shared/protocol/desired.js';
import {
  enrolmentPendingSchema,
  enrolmentRequestSchema,
  enrolmentResponseSchema,
  enrolmentTokenSchema,
  renewalRequestSchema,
  renewalResponseSchema,
} from '#shared/protocol/enrolment.js';
import { envelopeSchema } from '#shared/protocol/envelope.js';
import { presenceSchema } from '#shared/protocol/presence.js';
import { reportedSchema } from '#shared/protocol/reported.js';
import { ackSchema, dataBatchSchema, eventBatchSchema, telemetryBatchSchema } from '#shared/protocol/stream.js';
import type { Channel } from '#shared/protocol/topics.js';
import { layerFile } from '#cloud/cli/layer-file.js';
import { releaseFile } from '#cloud/cli/release-file.js';
import { rolloutFile } from '#cloud/cli/rollout-file.js';
import { simulationProfileSchema } from '#shared/protocol/simulation.js';
import { rolloutPolicySchema } from '#cloud/rollout/policy.js';
import { shiftPolicySchema } from '#cloud/services/shift/shift-policy.js';
import { trustDataSchema, trustDocumentSchema, trustRequestSchema } from '#shared/protocol/trust.js';

export interface ProtocolDocument {
  /** File name of the schema and of the example. */
  readonly name: string;
  readonly title: string;
  /** One or two sentences for the reference. */
  readonly about: string;
  readonly schema: z.ZodType;
  /** The channels whose payload it is. */
  readonly channels?: readonly Channel[];
  /** Payload type of the DSSE envelope that carries it, as a key of `payloadTypes`. */
  readonly signedAs?: 'desired' | 'command' | 'image' | 'trust';
  /** A file extension other than `.json` for what people write by hand. */
  readonly writtenAs?: 'module.yaml';
}

export const protocolDocuments: readonly ProtocolDocument[] = [
  {
    name: 'envelope',
    title: 'Envelope',
    about:
      'DSSE v1.0.0. The signature is over the raw payload bytes and the payload type; it is checked before the payload is parsed.',
    schema: envelopeSchema,
    channels: ['desired', 'commandRequest'],
  },
  {
    name: 'desired',
    title: 'Desired document',
    about: 'What a device should run, complete. Strict: a device does not half-obey what it does not understand.',
    schema: desiredSchema,
    signedAs: 'desired',
  },
  {
    name: 'reported',
    title: 'Report',
    about: 'What a device runs: the whole, or a diff on an earlier report of the same boot.',
    schema: reportedSchema,
    channels: ['reported'],
  },
  {
    name: 'presence',
    title: 'Presence',
    about: 'Whether the device is connected; also its last will.',
    schema: presenceSchema,
    channels: ['presence'],
  },
  {
    name: 'telemetry',
    title: 'Telemetry batch',
    about: 'Counts and latency sketches of one interval, with system metrics.',
    schema: telemetryBatchSchema,
    channels: ['telemetry'],
  },
  {
    name: 'events',
    title: 'Event batch',
    about: 'What happened on the device that a person may want to read.',
    schema: eventBatchSchema,
    channels: ['events'],
  },
  {
    name: 'data',
    title: 'Data batch',
    about:
      'What was collected of one side of one module, where the desired document asks for it: CloudEvents, redacted on the device. Whose they are, the cloud says.',
    schema: dataBatchSchema,
    channels: ['data'],
  },
  {
    name: 'ack',
    title: 'Acknowledgement',
    about: 'What the cloud has durably stored: everything of that kind and boot up to a sequence.',
    schema: ackSchema,
    channels: ['acks'],
  },
  {
    name: 'command-request',
    title: 'Command request',
    about:
      'One operation to carry out by a deadline. Ids are remembered, so a repeated request is answered, not repeated.',
    schema: commandRequestSchema,
    signedAs: 'command',
  },
  {
    name: 'command-response',
    title: 'Command response',
    about: 'The outcome of one command.',
    schema: commandResponseSchema,
    channels: ['commandResponse'],
  },
  {
    name: 'blocks-request',
    title: 'Blocks request',
    about: 'Asks for chunks of a blob; the answers are binary frames on `blocks/data`.',
    schema: blocksRequestSchema,
    channels: ['blocksGet'],
  },
  {
    name: 'trust',
    title: 'Trust document',
    about:
      'Whose images, documents and certificates count on the devices of a workspace. Each version is signed by publishers of the version before.',
    schema: trustDocumentSchema,
    signedAs: 'trust',
  },
  {
    name: 'trust-request',
    title: 'Trust request',
    about: 'Asks for the versions of the trust document above one.',
    schema: trustRequestSchema,
    channels: ['trustGet'],
  },
  {
    name: 'trust-data',
    title: 'Trust data',
    about: 'Versions of the trust document, as signed, in rising order; `newest` says whether there are more.',
    schema: trustDataSchema,
    channels: ['trustData'],
  },
  {
    name: 'enrolment-token',
    title: 'Enrolment token',
    about:
      'What a person carries to a device, as `flotilla-enrol-1.` and the base64url of this JSON: where to enrol, a one-time secret, and everything the device will trust.',
    schema: enrolmentTokenSchema,
  },
  {
    name: 'enrolment-request',
    title: 'Enrolment request',
    about: 'Body of `POST /v1/enrol` on the device gateway.',
    schema: enrolmentRequestSchema,
  },
  {
    name: 'enrolment-response',
    title: 'Enrolment response',
    about: "Answer of `POST /v1/enrol`: the device's certificate and where its broker is.",
    schema: enrolmentResponseSchema,
  },
  {
    name: 'enrolment-pending',
    title: 'Enrolment pending',
    about: 'Answer of `POST /v1/enrol` with status 202: somebody must approve the device first; ask again.',
    schema: enrolmentPendingSchema,
  },
  {
    name: 'renewal-request',
    title: 'Renewal request',
    about:
      'Body of `POST /v1/renew` on the device gateway, over TLS with the certificate that the device has, even one that has ended.',
    schema: renewalRequestSchema,
  },
  {
    name: 'renewal-response',
    title: 'Renewal response',
    about: 'Answer of `POST /v1/renew`: another certificate, and where the broker is now.',
    schema: renewalResponseSchema,
  },
  {
    name: 'module-manifest',
    title: 'module.yaml',
    about: 'What a module is. Strict: a field that is accepted works.',
    schema: moduleManifestSchema,
    writtenAs: 'module.yaml',
  },
  {
    name: 'image-manifest',
    title: 'Image manifest',
    about: 'An OCI image manifest with the artifact type of the CNCF ModelPack specification.',
    schema: imageManifestSchema,
  },
  {
    name: 'chunk-map',
    title: 'Chunk map',
    about: 'Length and SHA-256 of every chunk of an image, in order; the last layer of the image.',
    schema: chunkMapSchema,
  },
  {
    name: 'image-statement',
    title: 'Image statement',
    about: 'What a publisher signs: this name is this digest.',
    schema: imageStatementSchema,
    signedAs: 'image',
  },
  {
    name: 'rollout-policy',
    title: 'Rollout policy',
    about: 'How a release goes over a fleet, as `flotilla rollout start --policy` reads it. Strict.',
    schema: rolloutPolicySchema,
  },
  {
    name: 'shift-policy',
    title: 'Policy of a shift of traffic',
    about:
      'How a deployment takes over the traffic of an endpoint, as `flotilla endpoint shift start --policy` reads it. Strict.',
    schema: shiftPolicySchema,
  },
  {
    name: 'release-file',
    title: 'Release file',
    about: 'A release, as `flotilla apply -f` reads it. Strict.',
    schema: releaseFile,
  },
  {
    name: 'layer-file',
    title: 'Layer file',
    about: 'A layer, as `flotilla apply -f` reads it, alone or beside releases and rollouts. Strict.',
    schema: layerFile,
  },
  {
    name: 'rollout-file',
    title: 'Rollout file',
    about: 'A rollout, as `flotilla apply -f` reads it, alone or beside releases as a document of its own. Strict.',
    schema: rolloutFile,
  },
  {
    name: 'simulation-profile',
    title: 'Profile of a simulated fleet',
    about: 'How simulated devices behave, as `flotilla simulate --profile` reads it. Strict.',
    schema: simulationProfileSchema,
  },
];
