import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildImage } from '#shared/package/build-image.js';
import { verifyEnvelope } from '#shared/package/dsse.js';
import { payloadTypes, envelopeSchema } from '#shared/protocol/envelope.js';
import type { ImageBody } from '#cloud/http/schemas/images.js';
import { KeyFolder } from '#cloud/cli/keys/key-folder.js';
import { CliHarness } from '#test/support/cli/cli-harness.js';

const digits = resolve('modules/digits');
const at = '2026-01-01T00:00:00.000Z';

/** What its answers say an image is, and what it was sent to register. */
class LyingControlPlane {
  readonly registered: { digest: string; envelope: unknown }[] = [];
  image!: ImageBody;
  private constructor(private readonly server: Server) {}

  static async start(): Promise<LyingControlPlane> {
    const server = createServer();
    const plane = new LyingControlPlane(server);
    server.on('request', (request, response) => {
      void plane.answer(request).then((body) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
        response.end(request.method === 'HEAD' ? undefined : body);
      });
    });
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    return plane;
  }

  get url(): string {
    return `http://127.0.0.1:${String((this.server.address() as AddressInfo).port)}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }

  private async answer(request: IncomingMessage): Promise<string> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const path = request.url ?? '';
    const activity = {
      id: 'a',
      workspace: 'default',
      kind: 'image.register',
      state: 'succeeded',
      subject: 'x',
      createdAt: at,
    };
    if (path.split('?')[0]?.endsWith('/log') === true) return '{"lines":[]}';
    if (path.includes('/activities/')) return JSON.stringify(activity);
    if (request.method === 'POST') {
      this.registered.push(JSON.parse(Buffer.concat(pieces).toString('utf8')) as { digest: string; envelope: unknown });
      return JSON.stringify(activity);
    }
    return JSON.stringify(this.image);
  }
}

describe('a control plane that says an image is another than it is', () => {
  let folder: string;
  let plane: LyingControlPlane;
  let cli: CliHarness;
  let own: ImageBody;
  const run = (...args: string[]) => cli.run(args, { url: plane.url, token: 'flt_a', workspace: 'default' });

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'flotilla-lying-'));
    plane = await LyingControlPlane.start();
    cli = await CliHarness.make();
    await cli.run(['keys', 'init', '--plain']);
    own = await imageOf(digits);
  });
  afterEach(async () => {
    await plane.close();
    await cli.remove();
    await rm(folder, { recursive: true, force: true });
  });

  async function imageOf(module: string): Promise<ImageBody> {
    const built = await buildImage({ moduleFolder: module, layout: join(folder, 'layout'), log: () => undefined });
    const layers = built.blobs.map(({ mediaType, digest, size, filepath }) => ({
      mediaType,
      digest,
      size,
      path: filepath ?? '',
    }));
    const signature = { digest: built.digest, size: 1, keyIds: [] };
    const { name, flavor, digest } = built;
    return { name, flavor, digest, version: 3, signature, layers, models: [], size: 1, tags: {}, createdAt: at };
  }

  /** The statements that were sent, each with a signature of this machine's key that holds. */
  async function signed(): Promise<string[]> {
    const key = await new KeyFolder(cli.home).require('publisher');
    return plane.registered.map(({ envelope }) => {
      const verified = verifyEnvelope(envelopeSchema.parse(envelope), payloadTypes.image, [key.publicKey]);
      if (!verified.ok) throw new Error(verified.error.message);
      return (JSON.parse(Buffer.from(verified.value.payload).toString('utf8')) as { digest: string }).digest;
    });
  }

  it('gets no signature from a second publisher, who is told in which files the two differ', async () => {
    const theirs = join(folder, 'theirs');
    await cp(digits, theirs, { recursive: true });
    await cp(join(digits, 'model-v2.onnx'), join(theirs, 'model.onnx'));
    await cp(join(digits, 'golden-v2.json'), join(theirs, 'golden.json'));
    plane.image = await imageOf(theirs);
    const { exit, stderr } = await run('image', 'sign', 'digits:3', '--from', digits);
    expect(exit).toBe(3);
    expect(stderr).toMatch(/nothing was signed: .*They differ in .*model\.onnx \(registered sha256:/);
    expect(stderr).not.toContain('module.yaml (');
    expect(stderr).not.toContain('only in');
    expect(plane.registered).toEqual([]);
  });

  it('gets none under a digest of its choice for files that are the same', async () => {
    plane.image = { ...own, digest: `sha256:${'a'.repeat(64)}` };
    expect((await run('image', 'sign', 'digits:3', '--from', digits)).exit).toBe(3);
    expect(plane.registered).toEqual([]);
  });

  it('gets that of the very image when it tells the truth', async () => {
    plane.image = own;
    const { exit, stdout, stderr } = await run('image', 'sign', 'digits:3', '--from', digits);
    expect(exit, stderr).toBe(0);
    expect(stdout).toContain(own.digest);
    expect(await signed()).toEqual([own.digest]);
  });

  it('gets of a build the digest that was built here, and its other answer is refused', async () => {
    plane.image = { ...own, digest: `sha256:${'a'.repeat(64)}` };
    const copy = join(folder, 'copy');
    await cp(digits, copy, { recursive: true });
    const manifest = await readFile(join(copy, 'module.yaml'), 'utf8');
    await writeFile(join(copy, 'module.yaml'), manifest.replace('Recognises', 'Truly recognises'));
    const { exit, stderr } = await run('image', 'build', copy);
    expect(exit).toBe(1);
    expect(stderr).toContain('what was built and signed here is');
    expect(await signed()).toEqual([(await imageOf(copy)).digest]);
  });
});
