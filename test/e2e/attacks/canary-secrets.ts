/** Every secret that an installation has, each in the forms in which it could be written down. */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decryptKey, readEncryptedKey } from '#cloud/cli/keys/encrypted-key.js';
import type { SealedKey } from '#cloud/trust/sealed-key.js';
import type { World } from '../../support/world.js';
import { type AttackSite, documentIn } from './site.js';

export interface Canary {
  readonly what: string;
  /** Parts of it that are long enough to be nothing else, of which none may be found. */
  readonly secrets: readonly string[];
  /** Files that it must be in, relative to the folder of the installation. */
  readonly home: readonly string[];
}

const passphrase = 'canary in a passphrase 8c27';

export function passphraseFileOf(world: World): string {
  return join(world.folder, 'passphrase-of-the-publisher');
}

export async function plantCanaries(site: AttackSite): Promise<Canary[]> {
  const { world } = site;
  const flotilla = async (...args: readonly string[]): Promise<string> =>
    ((await world.flotillaJson(...args)) as { token: string }).token.slice(-20);
  const api = await flotilla('token', 'create', '--name', 'canary', '--role', 'reader');
  const enrolment = await flotilla('device', 'token');
  const made = await world.agentCommand('cam-1', 'keys', 'create', 'canary', '--output', 'json');
  const { key: scoring } = JSON.parse(made) as { key: string };
  const identity = await documentIn(join(world.folder, 'cam-1/identity.json'));
  const control = (await readFile(join(world.folder, 'cam-1/control-token'), 'utf8')).trim();
  const own = ['cam-1/identity.json', 'cam-1/identity.json.previous'];
  return [
    { what: 'the owner token', secrets: [world.ownerToken.slice(-20)], home: ['operator/context.json'] },
    { what: 'an API token', secrets: [api], home: [] },
    { what: 'an enrolment token', secrets: [enrolment], home: [] },
    { what: 'a scoring key', secrets: [scoring.slice(-20)], home: [] },
    { what: 'the control token of a device', secrets: [control], home: ['cam-1/control-token'] },
    { what: "a device's private key", secrets: formsOf(String(identity['privateKey'])), home: own },
    { what: "a device's sealing key", secrets: formsOf(String(identity['sealingKey'])), home: own },
    { what: 'a secret in a header', secrets: ['canary-in-a-header-4f9d'], home: [] },
    { what: 'a secret in a query', secrets: ['canary-in-a-query-7b31'], home: [] },
    { what: 'a secret in the user part of a URL', secrets: ['canary-in-a-url-92c4'], home: [] },
    { what: 'a secret in a command line that fails', secrets: ['canary-in-a-flag-51aa'], home: [] },
    ...(await ofThePublisher(world)),
    ...(await ofTheControlPlane(site)),
  ];
}

async function ofThePublisher(world: World): Promise<Canary[]> {
  await writeFile(passphraseFileOf(world), `${passphrase}\n`, { mode: 0o600 });
  await world.flotilla('keys', 'init', '--name', 'sealed', '--passphrase-file', passphraseFileOf(world));
  const path = join(world.folder, 'operator/keys/sealed.key');
  const sealed = decryptKey(readEncryptedKey(await readFile(path), path), passphrase, path);
  const plain = await readFile(join(world.folder, 'operator/keys/publisher.pem'), 'utf8');
  return [
    { what: "a publisher's passphrase", secrets: [passphrase], home: ['passphrase-of-the-publisher'] },
    { what: "a publisher's key under a passphrase", secrets: formsOf(sealed.privateKey), home: [] },
    { what: "a publisher's key in the clear", secrets: formsOf(plain), home: ['operator/keys/publisher.pem'] },
  ];
}

async function ofTheControlPlane({ world, identity: { director, seal, server } }: AttackSite): Promise<Canary[]> {
  const { sealed } = JSON.parse(await readFile(join(world.dataDir, 'keys/authority.json'), 'utf8')) as {
    sealed: SealedKey;
  };
  const atRest = (await readFile(join(world.dataDir, 'keys/at-rest.key'), 'utf8')).trim();
  /** The site has a copy of them. */
  const keys = (...names: readonly string[]): string[] =>
    ['cloud/keys', 'keys-of-the-control-plane'].flatMap((folder) => names.map((name) => `${folder}/${name}`));
  return [
    { what: "the director's key", secrets: formsOf(director.privateKey), home: [] },
    { what: "the authority's key", secrets: formsOf(await seal.open('authority', sealed)), home: [] },
    { what: 'what seals them', secrets: [atRest, hexOf(atRest)], home: keys('at-rest.key') },
    {
      what: "the server's key",
      secrets: formsOf(server.privateKey),
      home: keys('server.key', 'server.json'),
    },
  ];
}

/** As lines of PEM, which no wrapping breaks, as in a JWK, in base64 and in hexadecimal. */
function formsOf(key: string | KeyObject): string[] {
  const object = typeof key === 'string' ? createPrivateKey(key) : key;
  const pem = object.export({ format: 'pem', type: 'pkcs8' }).toString();
  const { d = '' } = object.export({ format: 'jwk' });
  const bytes = Buffer.from(d, 'base64url');
  return [pem.split('\n')[1]?.slice(0, 60) ?? '', d, bytes.toString('base64'), bytes.toString('hex')];
}

function hexOf(base64: string): string {
  return Buffer.from(base64, 'base64').toString('hex');
}
