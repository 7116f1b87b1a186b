/** Pieces as scoring hosts leave them, and a control plane that stores what comes to it once. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { judgeSequence } from '#shared/protocol/stream.js';
import { pieceFileOf } from '#shared/scoring/collect/piece-name.js';

const at = '2026-11-26T11:30:00.000Z';

export function collectedLine(id: string): string {
  return `${JSON.stringify({
    ...{ specversion: '1.0', id, type: 'azureml.inference.inputs', datacontenttype: 'application/json', time: at },
    ...{ data: [], correlationid: id, xrequestid: id, modelversion: '1', collectdatatype: 'tensors' },
    ...{ modeldigest: `sha256:${'0'.repeat(64)}`, agent: 'flotilla', contentrange: 'bytes 0-1/2' },
  })}\n`;
}

export async function leavePiece(folder: string, number: number, text: string, module = 'digits'): Promise<void> {
  const name = { beginMs: Date.parse(at) + number, collection: 'model_inputs', module, instance: 'i', number } as const;
  await writeFile(join(folder, pieceFileOf(name)), text);
}

export class CollectedStore {
  readonly ids: string[] = [];
  private readonly upTo = new Map<number, number>();

  /** @returns up to where it has stored */
  take(message: Readonly<Record<string, unknown>>): { bootId: number; upTo: number } {
    const batch = message as { bootId: number; sequence: number; droppedFrom?: number; events: { id: string }[] };
    const before = this.upTo.get(batch.bootId) ?? 0;
    if (judgeSequence(batch, before) === 'store') {
      this.ids.push(...batch.events.map(({ id }) => id));
      this.upTo.set(batch.bootId, batch.sequence);
    }
    return { bootId: batch.bootId, upTo: this.upTo.get(batch.bootId) ?? 0 };
  }
}
