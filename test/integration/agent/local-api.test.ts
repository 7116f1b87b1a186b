/** The agent's socket for this machine: who may open it, from the first moment on, and what stands in its way. */
import { lstat, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type LocalFace, openLocalApi } from '#agent/local/local-api.js';
import { askAgent } from '#agent/local/local-client.js';

const face: Partial<LocalFace> = { explain: () => ({ waiting: [] }) };
const open = (socket: string, group?: number) => openLocalApi(socket, face as LocalFace, group);
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777;

describe('the socket of an agent', () => {
  let folder: string;
  let socket: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fs-'));
    socket = join(folder, 'agent.sock');
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it("is its user's alone, whatever the umask is, and answers", async () => {
    const before = process.umask(0);
    const api = await open(socket).finally(() => process.umask(before));
    expect(await modeOf(socket)).toBe(0o600);
    expect(await askAgent(socket, '/explain')).toEqual({ waiting: [] });
    await api.close();
    await expect(lstat(socket)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it("is a group's where one is named, and nobody else's", async () => {
    const group = process.getgid?.() ?? 0;
    const api = await open(socket, group);
    expect(await modeOf(socket)).toBe(0o660);
    expect((await stat(socket)).gid).toBe(group);
    await api.close();
  });

  it('takes no place of a file that somebody may need', async () => {
    await writeFile(socket, 'mine');
    await expect(open(socket)).rejects.toMatchObject({ code: 'config.invalid' });
    expect((await lstat(socket)).size).toBe(4);
  });
});
