/** `kind: layer` of a file that is applied, checked as the server will. Pure. */
import * as z from 'zod';
import { describeIssues } from '#shared/protocol/decode.js';
import { type LayerContents, layerContents, layerModule } from '#cloud/http/schemas/layers.js';
import { invalidFile, isMapping, refuseUnknownFields } from './yaml-fields.js';

export const layerFile = layerContents.extend({ kind: z.literal('layer') });

const topKeys = Object.keys(layerFile.shape);
const moduleKeys = Object.keys(layerModule.shape);

/** @throws AppError `request.invalid`, naming the field and the nearest valid one */
export function readLayerFile(value: Record<string, unknown>, where: string): LayerContents {
  refuseUnknownFields(value, topKeys, where);
  if (isMapping(value['modules'])) {
    for (const [name, module] of Object.entries(value['modules'])) {
      if (isMapping(module)) refuseUnknownFields(module, moduleKeys, where, `modules.${name}.`);
    }
  }
  const parsed = layerFile.safeParse(value);
  if (!parsed.success) throw invalidFile(where, describeIssues(parsed.error));
  const { kind: _kind, ...contents } = parsed.data;
  return contents;
}
