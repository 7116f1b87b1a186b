/**
 * Docker Engine or podman, by the part of the Docker API that both have and that replicas need (decision 0046). What is
 * already as it is asked to be is no failure.
 */
import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import type * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import {
  containerSchema,
  containersSchema,
  type ContainerState,
  createdSchema,
  imageSchema,
  imagesSchema,
  loadLineSchema,
  statsSchema,
  versionSchema,
  waitedSchema,
} from './engine-answers.js';
import { type EngineCall, EngineHttp } from './engine-http.js';
import { apiVersionOf, nameOf, residentOf } from './engine-facts.js';

export interface EngineAbout {
  readonly name: 'docker' | 'podman';
  readonly version: string;
  readonly api: string;
}

export type Labels = Readonly<Record<string, string>>;

/** A load of gigabytes is unpacked before it is answered. */
const loadPatienceMs = 600_000;
const statsPatienceMs = 5_000;

export class Engine {
  private readonly http: EngineHttp;
  private known: Promise<EngineAbout> | undefined;

  constructor(socket: string) {
    this.http = new EngineHttp(socket);
  }

  /** @throws AppError `engine.unreachable`, `engine.refused` */
  about(): Promise<EngineAbout> {
    this.known ??= this.askAbout().catch((error: unknown) => {
      this.known = undefined;
      throw error;
    });
    return this.known;
  }

  /** @throws AppError `image.not-found` */
  async image(name: string): Promise<z.infer<typeof imageSchema>> {
    return this.ask(imageSchema, {
      method: 'GET',
      path: `/images/${encodeURI(name)}/json`,
      what: `look at the image ${name}`,
    });
  }

  /** Ids by label. */
  async images(label: string): Promise<z.infer<typeof imagesSchema>> {
    return this.ask(imagesSchema, { method: 'GET', path: `/images/json?${filter(label)}`, what: 'list images' });
  }

  /** @returns a tar in the form of `docker save` */
  async saveImage(name: string): Promise<IncomingMessage> {
    const path = await this.path(`/images/${encodeURI(name)}/get`);
    return this.http.open({ method: 'GET', path, what: `hand out the image ${name}`, patienceMs: loadPatienceMs });
  }

  async loadImage(archive: Readable): Promise<void> {
    const what = 'load an image';
    const path = await this.path('/images/load?quiet=1');
    const bytes = await this.http.text({ method: 'POST', path, what, stream: archive, patienceMs: loadPatienceMs });
    for (const line of bytes.toString('utf8').split('\n')) {
      const parsed = loadLineSchema.safeParse(parseJson(line));
      const error = parsed.success ? parsed.data.error : undefined;
      if (error !== undefined) {
        const full = /no space left/i.test(error);
        throw new AppError(
          full ? 'disk.full' : 'engine.refused',
          `the container engine cannot load an image: ${error}`,
        );
      }
    }
  }

  async tag(id: string, repository: string, tag: string): Promise<void> {
    const query = new URLSearchParams({ repo: repository, tag }).toString();
    await this.unless([], { method: 'POST', path: `/images/${id}/tag?${query}`, what: 'name an image' });
  }

  /** By its id, or one of its names. @returns false where a container uses it, or it is gone */
  async removeImage(name: string): Promise<boolean> {
    return this.unless([404, 409], {
      method: 'DELETE',
      path: `/images/${encodeURI(name)}?force=false`,
      what: 'remove an image',
    });
  }

  async create(name: string, options: unknown): Promise<z.infer<typeof createdSchema>> {
    const path = `/containers/create?name=${encodeURIComponent(name)}`;
    return this.ask(createdSchema, { method: 'POST', path, what: 'create a container', json: options });
  }

  async start(id: string): Promise<void> {
    await this.unless([], { method: 'POST', path: `/containers/${id}/start`, what: 'start a container' });
  }

  /** Resolves when it has ended. */
  async wait(id: string, signal?: AbortSignal): Promise<void> {
    const call = {
      method: 'POST',
      path: `/containers/${id}/wait`,
      what: 'wait for a container',
      patienceMs: 0,
    } as const;
    await this.ask(waitedSchema, { ...call, ...(signal && { signal }) });
  }

  async inspect(id: string): Promise<ContainerState> {
    const call = { method: 'GET', path: `/containers/${id}/json`, what: 'look at a container' } as const;
    return (await this.ask(containerSchema, call)).State;
  }

  async containers(label: string): Promise<z.infer<typeof containersSchema>> {
    return this.ask(containersSchema, {
      method: 'GET',
      path: `/containers/json?all=1&${filter(label)}`,
      what: 'list containers',
    });
  }

  /** From its first line, until it ends: frames, see `LogFrames`. */
  async logs(id: string, signal?: AbortSignal): Promise<IncomingMessage> {
    const path = await this.path(`/containers/${id}/logs?follow=1&stdout=1&stderr=1`);
    return this.http.open({
      method: 'GET',
      path,
      what: 'follow the output of a container',
      patienceMs: 0,
      ...(signal && { signal }),
    });
  }

  /** Bytes that count to its limit, less what is only cache; undefined where it does not run. */
  async residentBytes(id: string): Promise<number | undefined> {
    const path = `/containers/${id}/stats?stream=false&one-shot=true`;
    try {
      return residentOf(
        await this.ask(statsSchema, { method: 'GET', path, what: 'measure a container', patienceMs: statsPatienceMs }),
      );
    } catch (error) {
      if (error instanceof AppError) return undefined;
      throw error;
    }
  }

  async kill(id: string, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    await this.unless([404, 409], {
      method: 'POST',
      path: `/containers/${id}/kill?signal=${signal}`,
      what: 'end a container',
    });
  }

  /** Ends it where it runs. */
  async remove(id: string): Promise<void> {
    await this.unless([404], {
      method: 'DELETE',
      path: `/containers/${id}?force=true&v=true`,
      what: 'remove a container',
    });
  }

  private async askAbout(): Promise<EngineAbout> {
    const found = await this.http.ask({ method: 'GET', path: '/version', what: 'say its version' }, versionSchema);
    return { name: nameOf(found), version: found.Version, api: apiVersionOf(found) };
  }

  private async ask<S extends z.ZodType>(schema: S, call: EngineCall): Promise<z.output<S>> {
    return this.http.ask({ ...call, path: await this.path(call.path) }, schema);
  }

  /** @returns whether it was done; false: what these statuses say stands in the way */
  private async unless(statuses: readonly number[], call: EngineCall): Promise<boolean> {
    try {
      await this.http.text({ ...call, path: await this.path(call.path) });
      return true;
    } catch (error) {
      if (error instanceof AppError && statuses.some((status) => error.details['status'] === status)) return false;
      throw error;
    }
  }

  private async path(rest: string): Promise<string> {
    return `/v${(await this.about()).api}${rest}`;
  }
}

function filter(label: string): string {
  return `filters=${encodeURIComponent(JSON.stringify({ label: [label] }))}`;
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}
