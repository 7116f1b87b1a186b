/** What must hold between the tables and the files of a control plane that stands still. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import Database from 'libsql';
import { digestOf } from '#shared/package/digest.js';
import type { Digest } from '#shared/protocol/primitives.js';

export interface CloudFaults {
  /** Named by a row and not there, or not what its name says. */
  readonly lost: readonly string[];
  /** There without anyone who wants it, or left under way. */
  readonly orphans: readonly string[];
}

/** @param dataDir of a control plane that has been stopped */
export async function inspectCloud(dataDir: string): Promise<CloudFaults> {
  const lost: string[] = [];
  const orphans: string[] = [];
  const database = new Database(join(dataDir, 'control.db'), { readonly: true });
  const rows = <T>(text: string): T[] => database.prepare(text).all() as T[];
  try {
    const granted = rows<{ digest: Digest }>('select distinct digest from blobs').map(({ digest }) => digest);
    const folder = join(dataDir, 'blobs', 'blobs', 'sha256');
    const onDisk = new Set((await readdir(folder)).map((name) => `sha256:${name}`));
    for (const digest of granted) {
      if (!onDisk.has(digest)) lost.push(`blob ${digest}`);
      else if (digestOf(await readFile(join(folder, digest.slice('sha256:'.length)))) !== digest) {
        lost.push(`the bytes of ${digest}`);
      }
    }
    // A blob whose grant did not come is left to garbage collection, which the test runs before.
    for (const digest of onDisk) if (!granted.includes(digest as Digest)) orphans.push(`blob ${digest}`);
    for (const { digest } of rows<{ digest: Digest }>(
      `select digest from modelFiles union select digest from imageBlobs
       union select digest from images union select signatureDigest from images`,
    )) {
      if (!granted.includes(digest)) lost.push(`the grant of ${digest}`);
    }
    for (const { name } of rows<{ name: string }>(
      `select m.name || ':' || m.version as name from models m
       where not exists (select 1 from modelFiles f where f.name = m.name and f.version = m.version)`,
    )) {
      lost.push(`the files of model ${name}`);
    }
    for (const { what } of rows<{ what: string }>(
      `select kind || ' of ' || subject || ' is ' || state as what from activities where endedAt is null`,
    )) {
      orphans.push(what);
    }
    for (const { topic } of rows<{ topic: string }>('select topic from outbox')) orphans.push(`unsent ${topic}`);
    for (const { device } of rows<{ device: string }>(
      `select d.device from deployments d join devices v on v.workspace = d.workspace and v.name = d.device
       where d.generation > v.desiredGeneration`,
    )) {
      lost.push(`the generation of ${device}`);
    }
  } finally {
    database.close();
  }
  for (const name of await readdir(join(dataDir, 'blobs', 'uploads'))) orphans.push(`upload ${name}`);
  return { lost, orphans };
}
