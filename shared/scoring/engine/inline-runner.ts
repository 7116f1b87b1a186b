/**
 * Runs tiny models on this very thread, where handing them to another costs more than the run: bodies,
 * runs and groups are small enough that the loop that accepts requests is not held up.
 */
import { answerGroup, type GroupResult, type RunnableModel } from '../worker/answer-group.js';
import type { Group, Runner } from './runner.js';

export interface InlineModel extends RunnableModel {
  release(): Promise<void>;
}

export class InlineRunner implements Runner {
  readonly limit = 1;
  readonly busySinceMs = undefined;
  busy = 0;

  constructor(
    private readonly model: InlineModel,
    private readonly onBug: (error: unknown) => void,
  ) {}

  async run(group: Group): Promise<GroupResult> {
    this.busy = 1;
    try {
      return await answerGroup(this.model, group.identity, group.requests, this.onBug);
    } finally {
      this.busy = 0;
    }
  }

  close(): Promise<void> {
    return this.model.release();
  }
}
