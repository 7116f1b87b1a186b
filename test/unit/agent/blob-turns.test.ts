import { describe, expect, it } from 'vitest';
import type { Digest } from '#shared/protocol/primitives.js';
import { BlobTurns } from '#agent/store/blob-turns.js';

const digest = (letter: string): Digest => `sha256:${letter.repeat(64)}`;
const [a, b, c] = [digest('a'), digest('b'), digest('c')];
const never = new AbortController().signal;

/** A task that ends when it is told to. */
class Task {
  begun = false;
  end: () => void = () => undefined;
  readonly work = (): Promise<void> => {
    this.begun = true;
    return new Promise((resolve) => {
      this.end = resolve;
    });
  };
}
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('downloads that take turns on blobs', () => {
  it('wait for those that need one of theirs, and for no other', async () => {
    const turns = new BlobTurns();
    const [first, second, apart] = [new Task(), new Task(), new Task()];
    const ends = [turns.run([a, b], never, first.work), turns.run([b], never, second.work)];
    ends.push(turns.run([c], never, apart.work));
    await settle();
    expect([first.begun, second.begun, apart.begun]).toEqual([true, false, true]);
    first.end();
    await settle();
    expect(second.begun).toBe(true);
    second.end();
    apart.end();
    await Promise.all(ends);
  });

  it('go on after one that failed, whose caller is told', async () => {
    const turns = new BlobTurns();
    const failed = turns.run([a], never, () => Promise.reject(new Error('no room')));
    const next = turns.run([a], never, () => Promise.resolve('done'));
    await expect(failed).rejects.toThrow('no room');
    expect(await next).toBe('done');
  });

  it('that are given up while they wait end at once, and let nobody overtake the one in front', async () => {
    const turns = new BlobTurns();
    const [first, third] = [new Task(), new Task()];
    const giveUp = new AbortController();
    const ends = [turns.run([a], never, first.work)];
    const second = turns.run([a], giveUp.signal, () => Promise.resolve());
    ends.push(turns.run([a], never, third.work));
    giveUp.abort(new Error('given up'));
    await expect(second).rejects.toThrow('given up');
    await settle();
    expect(third.begun).toBe(false);
    first.end();
    await settle();
    expect(third.begun).toBe(true);
    third.end();
    await Promise.all(ends);
  });
});
