/** Images of replicas in an engine: found by what they were made of, made where they are not there, removed when nobody needs them. */
import { mkdir } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { AppError } from '#shared/kernel/errors.js';
import { digestOf } from '#shared/package/digest.js';
import { canonicalJson } from '#shared/protocol/canonical-json.js';
import type { ImageReference } from '#shared/protocol/desired.js';
import { type Base, type BaseChoice, findBase } from './base-image.js';
import { coreLayer, imageFolder } from './core-layer.js';
import type { Engine } from './engine.js';
import { folderEntries, plainMode } from './folder-entries.js';
import { type Layer, layerOf } from './layer.js';
import { archiveOf, type ReplicaImage } from './replica-image.js';

export interface ReplicaImagesPorts {
  readonly engine: Engine;
  readonly base: BaseChoice;
  /** The service host's own. */
  readonly folder: string;
  readonly version: string;
  /** Tells its tags from those of other service hosts at the same engine. */
  readonly owner: string;
}

const recipeLabel = 'flotilla.recipe';
const moduleLabel = 'flotilla.module';
const maxModuleBytes = 64 * 1024 ** 3;

export class ReplicaImages {
  /** Hashed once a process. */
  private parts: Promise<{ base: Base; core: Layer }> | undefined;
  private readonly making = new Map<string, Promise<string>>();

  constructor(private readonly ports: ReplicaImagesPorts) {}

  /**
   * @param folder where the verified image of the module is unpacked
   * @returns the id of the image in the engine
   */
  async of(image: ImageReference, folder: string, onLog: (line: string) => void): Promise<string> {
    const { digest } = image;
    const making = this.making.get(digest) ?? this.find(image, folder, onLog).finally(() => this.making.delete(digest));
    this.making.set(digest, making);
    return making;
  }

  /** Takes our tags from the images of other modules; what then has none, is removed. Containers keep theirs. */
  async collect(keep: readonly string[]): Promise<void> {
    const { engine } = this.ports;
    const [kept, own] = [new Set(keep), this.repository];
    for (const { Labels, RepoTags } of await engine.images(recipeLabel)) {
      const module = Labels[moduleLabel] ?? '';
      if (kept.has(module) || this.making.has(module)) continue;
      for (const tag of RepoTags.filter((name) => isOf(name, own))) await engine.removeImage(tag);
    }
  }

  private get repository(): string {
    return `flotilla/replica-${this.ports.owner}`;
  }

  private async find(image: ImageReference, folder: string, onLog: (line: string) => void): Promise<string> {
    const { engine } = this.ports;
    const { base, core } = await this.known();
    const recipe = digestOf(
      Buffer.from(canonicalJson({ form: 1, base: base.key, core: core.digest, module: image.digest })),
    );
    const label = `${recipeLabel}=${recipe}`;
    const tag = recipe.slice('sha256:'.length, 'sha256:'.length + 24);
    const [there] = await engine.images(label);
    if (there !== undefined) {
      if (!there.RepoTags.some((name) => isOf(name, this.repository))) await engine.tag(there.Id, this.repository, tag);
      return there.Id;
    }
    const parts = await base.open();
    try {
      const labels = { [recipeLabel]: recipe, [moduleLabel]: image.digest };
      const module = await moduleLayer(folder);
      const layers: ReplicaImage['layers'] = [
        ...parts.layers.map((layer) => ({ what: 'base', layer })),
        { what: 'scoring core', layer: core },
        { what: `module ${image.name}:${String(image.version)}`, layer: module },
      ];
      const archive = archiveOf({ layers, env: parts.env, labels, tag: `${this.repository}:${tag}` });
      await engine.loadImage(Readable.from(archive.open()));
      const [loaded] = await engine.images(label);
      if (loaded === undefined)
        throw new AppError('engine.refused', 'the container engine took an image and does not have it');
      onLog(`its image was made: ${loaded.Id.slice(0, 19)}, ${String(Math.round(archive.size / 1e6))} MB`);
      return loaded.Id;
    } finally {
      await parts.close();
    }
  }

  private async known(): Promise<{ base: Base; core: Layer }> {
    this.parts ??= this.prepare().catch((error: unknown) => {
      this.parts = undefined;
      throw error;
    });
    return this.parts;
  }

  private async prepare(): Promise<{ base: Base; core: Layer }> {
    const { engine, base, folder, version } = this.ports;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return { base: await findBase(base, engine, folder), core: await coreLayer(version) };
  }
}

async function moduleLayer(folder: string): Promise<Layer> {
  const rules = { prefix: `${imageFolder}/module`, modeOf: plainMode, maxBytes: maxModuleBytes };
  return layerOf(await folderEntries(folder, rules));
}

/** Engines put a registry before names that have none. */
function isOf(name: string, repository: string): boolean {
  return name.slice(0, name.lastIndexOf(':')).endsWith(repository);
}
