import { execFile } from 'node:child_process';
import { cp, link, mkdir, readdir, readFile, rename, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { type BuildInput, type BuiltImage, buildImage } from '#shared/package/build-image.js';
import { checkChunkMap, checkManifest } from '#shared/package/check-image.js';
import { flattenChunks } from '#shared/package/chunk-map.js';
import { digestFile } from '#shared/package/digest.js';
import { blobPath, listIndex } from '#shared/package/oci-layout.js';
import { unpackImage } from '#shared/package/unpack-image.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const digits = fileURLToPath(new URL('../../../modules/digits/', import.meta.url));
const models = fileURLToPath(new URL('../../fixtures/models/', import.meta.url));
const folder = temporaryFolder();
let count = 0;
const fresh = (): string => folder(String(count++));

async function moduleOf(yaml: string, files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  const path = fresh();
  await mkdir(path, { recursive: true });
  await writeFile(join(path, 'module.yaml'), yaml);
  for (const [name, content] of Object.entries(files)) {
    await mkdir(join(path, name, '..'), { recursive: true });
    await writeFile(join(path, name), content);
  }
  return path;
}

const build = async (moduleFolder: string, more: Partial<BuildInput> = {}): Promise<BuiltImage> =>
  buildImage({ moduleFolder, layout: fresh(), log: () => undefined, ...more });

/** Node itself, since the test runner gives modules a `require` of its own. */
async function runInNode(path: string, input: unknown): Promise<unknown> {
  const program =
    'const { run } = await import(process.argv[1]); console.log(JSON.stringify(run(JSON.parse(process.argv[2]))));';
  const { stdout } = await promisify(execFile)(process.execPath, [
    '--input-type=module',
    '-e',
    program,
    pathToFileURL(path).href,
    JSON.stringify(input),
  ]);
  return JSON.parse(stdout);
}

async function failure(act: () => Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await act();
  } catch (error) {
    if (error instanceof AppError) return { code: error.code, message: error.message };
    throw error;
  }
  return { code: 'built', message: '' };
}

async function unpacked(image: BuiltImage): Promise<string> {
  const paths = new Map(image.blobs.map(({ digest, path }) => [digest, path]));
  const target = fresh();
  await unpackImage({ manifest: image.manifest, blobPath: (digest) => paths.get(digest) ?? '', target });
  return target;
}

const addOne = await readFile(`${models}add-one.onnx`);
const withExternal = await readFile(`${models}external/model.onnx`);
const yaml = 'schema: 1\nname: adder\nflavor: onnx\nmodels: [{name: add, file: add.onnx}]\n';
const nodeYaml = `${yaml.replace('onnx\n', 'node\n')}entry: score.ts\n`;
const script = 'export const init = () => {};\nexport const run = (input: unknown) => input;\n';

describe('building an image', () => {
  it('of the digits module gives what a checked image needs', async () => {
    const image = await build(digits);
    expect([image.name, image.flavor]).toEqual(['digits', 'onnx']);
    for (const { digest, size, path } of image.blobs) expect(await digestFile(path)).toEqual({ digest, size });
    const last = image.blobs.at(-1);
    expect(last?.digest).toBe(image.digest);
    const manifest = checkManifest(await readFile(last?.path ?? ''), image.digest);
    const map = image.blobs.find(({ digest }) => digest === image.chunkMap);
    const chunks = flattenChunks(checkChunkMap(manifest, await readFile(map?.path ?? '')));
    expect(chunks.length).toBeGreaterThan(6);
  });

  it('in two folders, at other times, in another order of files, gives one digest', async () => {
    const first = fresh();
    const second = join(fresh(), 'deeper', 'down');
    await cp(digits, first, { recursive: true });
    await mkdir(second, { recursive: true });
    for (const name of (await readdir(digits)).reverse()) {
      await cp(join(digits, name), join(second, name), { recursive: true });
      await utimes(join(second, name), 0, 1);
    }
    const digests = [await build(digits), await build(first), await build(second)].map(({ digest }) => digest);
    expect(new Set(digests).size).toBe(1);
  });

  it('never changes a digest from one release to the next', async () => {
    expect((await build(await moduleOf(yaml, { 'add.onnx': addOne }))).digest).toBe(
      'sha256:ec071b4592f27fad11dcf7b29af1057a536043d0bc627ac8d5cc53c47d9d55ef',
    );
  });

  it('takes models and golden vectors from elsewhere when told to', async () => {
    const image = await build(digits, {
      models: { digits: join(digits, 'model-v2.onnx') },
      goldenFile: join(digits, 'golden-v2.json'),
    });
    const target = await unpacked(image);
    const same = async (a: string, b: string): Promise<boolean> =>
      (await digestFile(a)).digest === (await digestFile(b)).digest;
    expect(await same(join(target, 'models/digits/model.onnx'), join(digits, 'model-v2.onnx'))).toBe(true);
    expect(await same(join(target, 'golden.json'), join(digits, 'golden-v2.json'))).toBe(true);
    expect(image.digest).not.toBe((await build(digits)).digest);
  });

  it('gives the same digest whether the model lay in the folder or came from elsewhere', async () => {
    const own = await moduleOf(yaml, { 'add.onnx': addOne });
    const other = await moduleOf(yaml, {});
    const given = await build(other, { models: { add: `${models}add-one.onnx` } });
    expect(given.digest).toBe((await build(own)).digest);
  });

  it('takes external data along', async () => {
    const image = await build(await moduleOf(yaml, {}), { models: { add: `${models}external/model.onnx` } });
    const target = await unpacked(image);
    expect((await stat(join(target, 'models/add/weights.bin'))).isFile()).toBe(true);
    expect((await stat(join(target, 'models/add/add.onnx'))).isFile()).toBe(true);
  });

  it('stores the same model of two names once, and unpacks it twice', async () => {
    const two = yaml.replace(']', ', {name: plus, file: plus.onnx}]');
    const image = await build(await moduleOf(two, { 'add.onnx': addOne, 'plus.onnx': addOne }));
    const target = await unpacked(image);
    expect((await readdir(join(target, 'models'))).sort()).toEqual(['add', 'plus']);
  });

  it('lists the image in the index of the layout, and a later one in its place', async () => {
    const layout = fresh();
    await build(digits, { layout });
    const later = await build(digits, { layout, models: { digits: join(digits, 'model-v2.onnx') } });
    await build(await moduleOf(yaml, { 'add.onnx': addOne }), { layout, refName: 'adder:7' });
    const index = await listIndex(layout);
    expect(index.map(({ refName }) => refName)).toEqual(['adder:7', 'digits']);
    expect(index[1]?.descriptor.digest).toBe(later.digest);
    expect((await readdir(layout)).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
  });

  it.each<[string, string, Record<string, string | Uint8Array>, string, RegExp]>([
    ['a model missing', yaml, {}, 'module.invalid', /model "add": there is no file/],
    ['a model that is none', yaml, { 'add.onnx': 'hello' }, 'model.not-onnx', /add\.onnx is not an ONNX model/],
    ['a model cut short', yaml, { 'add.onnx': addOne.subarray(0, 60) }, 'model.invalid', /add\.onnx is no valid/],
    [
      'the golden file missing',
      `${yaml}golden: {file: g.json}\n`,
      { 'add.onnx': addOne },
      'module.invalid',
      /golden vectors: there is no file/,
    ],
    [
      'a golden file of another form',
      `${yaml}golden: {file: g.json}\n`,
      { 'add.onnx': addOne, 'g.json': '[{"x":1}]' },
      'module.invalid',
      /g\.json: not golden vectors/,
    ],
    [
      'a flavor that is not yet built',
      yaml.replace('flavor: onnx', 'flavor: python'),
      {},
      'module.not-yet',
      /"python" is not built yet/,
    ],
    [
      'external data missing',
      yaml,
      { 'add.onnx': withExternal },
      'module.invalid',
      /external data of model "add": there is no file .*weights\.bin/,
    ],
    ['the entry missing', nodeYaml, { 'add.onnx': addOne }, 'module.invalid', /the entry: there is no file/],
  ])('with %s is refused, and the message says where', async (_what, manifest, files, code, message) => {
    const refused = await failure(async () => build(await moduleOf(manifest, files)));
    expect(refused).toEqual({ code, message: expect.stringMatching(message) as string });
  });

  it('without a folder, without a manifest, or of a file is refused', async () => {
    expect(await failure(() => build(fresh()))).toMatchObject({ code: 'module.invalid' });
    expect(await failure(() => build(models))).toMatchObject({
      message: expect.stringMatching(/module\.yaml/) as string,
    });
    expect(await failure(() => build(join(digits, 'model.onnx')))).toMatchObject({ code: 'module.invalid' });
  });

  it('with a model given that the module does not have is refused', async () => {
    const refused = await failure(() => build(digits, { models: { letters: join(digits, 'model.onnx') } }));
    expect(refused.message).toBe('the module has no model "letters"; it has digits');
  });

  it.each(['add.onnx', 'module.yaml'])('with %s a link that leads out is refused', async (name) => {
    const path = await moduleOf(yaml, { 'add.onnx': addOne });
    await rm(join(path, name));
    await symlink(name === 'add.onnx' ? `${models}add-one.onnx` : join(digits, 'module.yaml'), join(path, name));
    expect(await failure(() => build(path))).toMatchObject({
      code: 'module.invalid',
      message: expect.stringMatching(/is a link that leads out/) as string,
    });
  });

  it('with a folder that is a link which leads out is refused', async () => {
    const path = await moduleOf(yaml.replace('add.onnx', 'models/add-one.onnx'), {});
    await symlink(models, join(path, 'models'));
    expect(await failure(() => build(path))).toMatchObject({ code: 'module.invalid' });
  });

  it('with external data that is a link which leads out is refused', async () => {
    const path = await moduleOf(yaml, { 'add.onnx': withExternal });
    await symlink('/etc/hostname', join(path, 'weights.bin'));
    expect(await failure(() => build(path))).toMatchObject({ code: 'module.invalid' });
  });

  it('through links that stay in the folder is allowed', async () => {
    const path = await moduleOf(yaml, { 'real.onnx': addOne });
    await symlink('real.onnx', join(path, 'add.onnx'));
    expect(await failure(() => build(path))).toMatchObject({ code: 'built' });
  });

  it('of a folder that is itself reached by a link is allowed', async () => {
    const path = fresh();
    await symlink(digits, path);
    expect((await build(path)).digest).toBe((await build(digits)).digest);
  });

  it('with a model over the limit is refused before it is copied', async () => {
    const layout = fresh();
    const refused = await failure(() => build(digits, { layout, maxModelBytes: 1000 }));
    expect(refused.code).toBe('archive.too-large');
  });
});

describe('the script of a node module', () => {
  const moduleWith = async (files: Record<string, string>): Promise<string> =>
    moduleOf(nodeYaml, { 'add.onnx': addOne, 'score.ts': script, ...files });

  it('is bundled with its dependencies, and runs where nothing else is', async () => {
    const path = await moduleWith({
      'package.json': '{"type":"module"}',
      'score.ts': `import { join } from 'node:path';
import twice from 'twice';
import labels from './labels.json';
const require = 5;
export function init(): void {}
export const run = (input: number): unknown => ({ label: labels[twice(input)], path: join('a', 'b'), require });
`,
      'labels.json': '["zero","one","two"]',
      'node_modules/twice/package.json': '{"name":"twice","main":"index.js"}',
      'node_modules/twice/index.js':
        "const os = require('os'); module.exports = (x) => (os.EOL.length > 0 ? 2 * x : 0);\n",
    });
    const target = await unpacked(await build(path));
    expect(await runInNode(join(target, 'script.mjs'), 1)).toEqual({ label: 'two', path: join('a', 'b'), require: 5 });
    const manifest = z
      .looseObject({ entry: z.string() })
      .parse(JSON.parse(await readFile(join(target, 'module.yaml'), 'utf8')));
    expect(manifest.entry).toBe('script.mjs');
  });

  it('is the same bytes in two folders, and names neither', async () => {
    const dependency = {
      'package.json': '{}',
      'node_modules/dep/package.json': '{"name":"dep","main":"index.js"}',
      'node_modules/dep/index.js': 'exports.one = 1;\n',
      'score.ts': `import { one } from 'dep';\nclass Counter {\n  count = one;\n}\n${script}console.log(new Counter());\n`,
    };
    const first = await moduleWith(dependency);
    const second = join(fresh(), 'a', 'b', 'c');
    await mkdir(join(second, '..'), { recursive: true });
    // Configuration above the folder has no say.
    await writeFile(
      join(second, '..', 'tsconfig.json'),
      '{"compilerOptions":{"target":"ES5","useDefineForClassFields":false}}',
    );
    await writeFile(join(second, '..', 'package.json'), '{"type":"module"}');
    await cp(first, second, { recursive: true });
    const images = [await build(first), await build(second)];
    expect(images[0]?.digest).toBe(images[1]?.digest);
    const bundle = await readFile(join(await unpacked(await build(second)), 'script.mjs'), 'utf8');
    expect(bundle).not.toContain(first);
    expect(bundle).not.toContain(folder());
  });

  it.each<[string, Record<string, string>, RegExp]>([
    ['a syntax error', { 'score.ts': 'export const run = (' }, /score\.ts:1: /],
    [
      'a dependency that is not installed',
      { 'score.ts': `import 'absent';\n${script}` },
      /score\.ts:1: Could not resolve "absent"/,
    ],
    ['no run', { 'score.ts': 'export const init = () => {};\n' }, /exports init; it must export run/],
    ['nothing exported', { 'score.ts': 'console.log(1);\n' }, /exports nothing/],
    [
      'a native addon',
      { 'score.ts': `import './fast.node';\n${script}`, 'fast.node': '' },
      /the native addon \.\/fast\.node/,
    ],
    ['onnxruntime-node', { 'score.ts': `import 'onnxruntime-node';\n${script}` }, /onnxruntime-node cannot be part/],
    [
      'a package that loads machine code',
      {
        'package.json': '{}',
        'score.ts': `import bindings from 'bindings';\nbindings('x');\n${script}`,
        'node_modules/bindings/package.json': '{"name":"bindings","main":"b.js"}',
        'node_modules/bindings/b.js': 'module.exports = () => 1;\n',
      },
      /depends on a native addon \(by node_modules\/bindings\/b\.js\)/,
    ],
    [
      'CommonJS and no package.json',
      { 'score.ts': `import x from './c.cjs';\nconsole.log(x);\n${script}`, 'c.cjs': 'module.exports = 1;\n' },
      /package\.json/,
    ],
  ])('with %s is refused, and the message says where', async (_what, files, message) => {
    const refused = await failure(async () => build(await moduleWith(files)));
    expect(refused).toEqual({ code: 'module.invalid', message: expect.stringMatching(message) as string });
    expect(refused.message).not.toContain(folder());
  });

  it('that imports a file outside its folder is refused', async () => {
    const path = await moduleWith({ 'score.ts': `import '../outside.js';\n${script}` });
    await writeFile(join(path, '..', 'outside.js'), 'export {};\n');
    expect((await failure(() => build(path))).message).toMatch(/outside the module's folder/);
  });

  it('that is a link which leads out is refused', async () => {
    const path = await moduleWith({});
    await rename(join(path, 'score.ts'), join(path, '..', 'elsewhere.ts'));
    await symlink(join(path, '..', 'elsewhere.ts'), join(path, 'score.ts'));
    expect((await failure(() => build(path))).message).toMatch(/leads out/);
  });
});

describe('unpacking an image', () => {
  it('gives a read-only folder whose weights share their bytes with the blobs', async () => {
    const image = await build(digits);
    const target = await unpacked(image);
    expect((await readdir(target)).sort()).toEqual(['golden.json', 'models', 'module.yaml']);
    for (const name of ['golden.json', 'module.yaml', 'models/digits/model.onnx']) {
      expect((await stat(join(target, name))).mode & 0o777).toBe(0o444);
    }
    const blob = image.blobs.find(({ filepath }) => filepath === 'models/digits/model.onnx');
    expect((await stat(join(target, 'models/digits/model.onnx'))).ino).toBe((await stat(blob?.path ?? '')).ino);
  });

  it('twice leaves the first as it is', async () => {
    const image = await build(digits);
    const target = await unpacked(image);
    const before = await stat(target);
    const layout = join(image.blobs[0]?.path ?? '', '..', '..', '..');
    const again = await unpackImage({
      manifest: image.manifest,
      blobPath: (digest) => blobPath(layout, digest),
      target,
    });
    expect(again.manifest.name).toBe('digits');
    expect((await stat(target)).ino).toBe(before.ino);
  });

  it('clears away what an interrupted attempt left', async () => {
    const image = await build(digits);
    const target = fresh();
    await mkdir(`${target}.unpacking`);
    await writeFile(join(`${target}.unpacking`, 'leftover'), 'x');
    const paths = new Map(image.blobs.map(({ digest, path }) => [digest, path]));
    await unpackImage({ manifest: image.manifest, blobPath: (digest) => paths.get(digest) ?? '', target });
    expect((await readdir(target)).sort()).toEqual(['golden.json', 'models', 'module.yaml']);
    await expect(stat(`${target}.unpacking`)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it.each([
    ['a missing blob', 'blob.not-found', async (path: string) => rm(path)],
    ['a blob of another size', 'blob.corrupt', async (path: string) => writeFile(path, 'x')],
  ])('with %s is refused, and leaves nothing', async (_what, code, damage) => {
    for (const index of [1, 2, 3]) {
      const image = await build(digits);
      await damage(image.blobs[index]?.path ?? '');
      const target = fresh();
      const paths = new Map(image.blobs.map(({ digest, path }) => [digest, path]));
      const refused = await failure(() =>
        unpackImage({ manifest: image.manifest, blobPath: (digest) => paths.get(digest) ?? '', target }),
      );
      expect(refused.code).toBe(code);
      await expect(stat(target)).rejects.toMatchObject({ code: 'ENOENT' });
      await expect(stat(`${target}.unpacking`)).rejects.toMatchObject({ code: 'ENOENT' });
    }
  });

  it('with a changed code archive of the same size is refused', async () => {
    const image = await build(digits);
    const code = image.blobs[2]?.path ?? '';
    const bytes = await readFile(code);
    bytes[600] = (bytes[600] ?? 0) ^ 1;
    await rm(code);
    await writeFile(code, bytes);
    expect((await failure(() => unpacked(image))).code).toBe('blob.corrupt');
  });

  it('whose archive has a file in the place of a model is refused', async () => {
    const image = await build(digits);
    const layers = image.manifest.layers.map((layer) =>
      layer.annotations === undefined
        ? layer
        : {
            ...layer,
            annotations: Object.fromEntries(
              Object.entries(layer.annotations).map(([key, path]) => [key, path.replace('module.yaml', 'GOLDEN.json')]),
            ),
          },
    );
    const clash = { ...image, manifest: { ...image.manifest, layers } };
    expect((await failure(() => unpacked(clash))).code).toBe('archive.unsafe');
  });

  it('that lacks what its manifest names is refused', async () => {
    const image = await build(digits);
    const layers = image.manifest.layers.filter((_layer, index) => index !== 1);
    const lacking = { ...image, manifest: { ...image.manifest, layers } };
    expect((await failure(() => unpacked(lacking))).message).toBe(
      'the image lacks golden.json, which its manifest names',
    );
  });

  it('copies weights where a hard link cannot be made', async () => {
    const image = await build(await moduleOf(yaml, { 'add.onnx': addOne }));
    const paths = new Map(image.blobs.map(({ digest, path }) => [digest, path]));
    // Where the machine has a second file system, links to it fail with EXDEV.
    const elsewhere = await stat('/dev/shm').catch(() => undefined);
    const here = await stat(folder());
    if (elsewhere?.isDirectory() !== true || elsewhere.dev === here.dev) return;
    const target = join('/dev/shm', `flotilla-test-${String(process.pid)}`);
    try {
      await expect(link(image.blobs[0]?.path ?? '', `${target}.probe`)).rejects.toMatchObject({ code: 'EXDEV' });
      await unpackImage({ manifest: image.manifest, blobPath: (digest) => paths.get(digest) ?? '', target });
      expect(addOne.equals(await readFile(join(target, 'models/add/add.onnx')))).toBe(true);
      expect((await stat(join(target, 'models/add/add.onnx'))).mode & 0o777).toBe(0o444);
    } finally {
      await rm(target, { recursive: true, force: true });
    }
  });
});
