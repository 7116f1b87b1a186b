/** `rollout.yaml`: releases, layers, rollouts and web services as one file of several documents, checked as the server will. Pure. */
import * as z from 'zod';
import { describeIssues } from '#shared/protocol/decode.js';
import { nameSchema } from '#shared/protocol/primitives.js';
import { rolloutPolicySchema } from '#cloud/rollout/policy.js';
import type { ReleaseContents } from '#cloud/http/schemas/releases.js';
import type { LayerContents } from '#cloud/http/schemas/layers.js';
import { type AzureDocument, readAzureDocument } from './azure/azure-document.js';
import { readLayerFile } from './layer-file.js';
import { readPolicyFile } from './policy-file.js';
import { readReleaseFile } from './release-file.js';
import { invalidFile, isMapping, refuseUnknownFields } from './yaml-fields.js';

export const rolloutFile = z.strictObject({
  kind: z.literal('rollout'),
  /** name:version; or a name: the version that this file makes, or the newest. */
  release: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]{0,62}(:[1-9][0-9]{0,8})?$/, 'names no release; write vision or vision:2'),
  fleet: nameSchema,
  policy: rolloutPolicySchema.prefault({}),
  /** Rollouts that hold devices of the fleet end. */
  supersede: z.boolean().default(false),
});
export type RolloutOrder = Omit<z.output<typeof rolloutFile>, 'kind'>;

export type AppliedDocument =
  | { readonly kind: 'release'; readonly contents: ReleaseContents }
  | { readonly kind: 'layer'; readonly contents: LayerContents }
  | { readonly kind: 'rollout'; readonly order: RolloutOrder }
  | AzureDocument;

const rolloutKeys = Object.keys(rolloutFile.shape);

/** @throws AppError `request.invalid`, naming the document, the field and the nearest valid one */
export function readAppliedFile(values: readonly unknown[], where: string): AppliedDocument[] {
  const documents = values.map((value, index): AppliedDocument => {
    const at = values.length === 1 ? where : `${where}, document ${String(index + 1)}`;
    const azure = readAzureDocument(value, at);
    if (azure !== undefined) return azure;
    if (isMapping(value) && value['kind'] === 'rollout') return { kind: 'rollout', order: readRollout(value, at) };
    if (isMapping(value) && value['kind'] === 'layer') return { kind: 'layer', contents: readLayerFile(value, at) };
    return { kind: 'release', contents: readReleaseFile(value, at) };
  });
  refuseTwins(documents, where);
  return documents;
}

function readRollout(value: Record<string, unknown>, where: string): RolloutOrder {
  refuseUnknownFields(value, rolloutKeys, where);
  if (value['policy'] !== undefined) readPolicyFile(value['policy'], `${where}: policy`);
  const parsed = rolloutFile.safeParse(value);
  if (!parsed.success) throw invalidFile(where, describeIssues(parsed.error));
  const { kind: _kind, ...order } = parsed.data;
  return order;
}

/** Of two that say different things about one, the last would win today and another tomorrow. */
function refuseTwins(documents: readonly AppliedDocument[], where: string): void {
  const seen = new Set<string>();
  for (const one of documents) {
    const what = subjectOf(one);
    if (seen.has(what)) throw invalidFile(where, `${what} stands in two documents: leave one out`);
    seen.add(what);
  }
}

function subjectOf(one: AppliedDocument): string {
  switch (one.kind) {
    case 'rollout':
      return `a rollout over fleet ${one.order.fleet}`;
    case 'endpoint':
      return `endpoint ${one.endpoint.name}`;
    case 'deployment':
      return `deployment ${one.deployment.endpoint ?? ''}/${one.deployment.name}`;
    case 'release':
    case 'layer':
      return `${one.kind} ${one.contents.name}`;
  }
}
