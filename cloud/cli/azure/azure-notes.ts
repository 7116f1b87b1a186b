/** What becomes of fields of Azure ML that are not taken as they are, told to whoever applies the file. Pure. */
import { formatTable } from '../output.js';
import type { AppliedDocument } from '../rollout-file.js';
import type { FieldNote } from './azure-fields.js';

export function notesOf(document: AppliedDocument): readonly FieldNote[] {
  if (document.kind === 'endpoint') return document.endpoint.notes;
  return document.kind === 'deployment' ? document.deployment.notes : [];
}

export function describeNotes(document: AppliedDocument, notes: readonly FieldNote[]): string {
  const name =
    document.kind === 'endpoint'
      ? document.endpoint.name
      : document.kind === 'deployment'
        ? document.deployment.name
        : '';
  const rows = notes.map(({ field, note }) => [field, note]);
  return `${document.kind} ${name}: of these fields something else becomes than in Azure\n${formatTable(['FIELD', 'HERE'], rows)}`;
}
