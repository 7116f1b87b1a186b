/**
 * Where notices of alerts can be sent: webhooks that whoever runs the control plane wrote into a file, by name. A rule can
 * only name one, so nobody who may write rules can make this machine ask an address of theirs.
 */
import * as z from 'zod';
import { AppError } from '#shared/kernel/errors.js';
import { isName, nearest } from '#shared/kernel/names.js';
import { isLoopback } from '#cloud/config.js';
import { readPrivateYaml } from '#cloud/private-yaml.js';

export interface Destination {
  readonly name: string;
  readonly url: string;
  /** Key of the signature. */
  readonly secret: Uint8Array;
}

const secretPattern = /^whsec_([A-Za-z0-9+/]+={0,2})$/;
const secretBytes = { least: 24, most: 64 } as const;
const fields = ['url', 'secret'] as const;
const entrySchema = z.strictObject({ url: z.string().max(2048), secret: z.string().max(128) });

/** @throws AppError `config.invalid` that names file and entry, and quotes no secret */
export async function readDestinations(path: string | undefined): Promise<Destination[]> {
  if (path === undefined) return [];
  const document = await readPrivateYaml(path, 'names to url and secret');
  return Object.entries(document).map(([name, entry]) => {
    const refuse = (what: string): AppError => new AppError('config.invalid', `${path}: ${name.slice(0, 64)}: ${what}`);
    if (!isName(name)) throw refuse('a name is 1 to 63 of a-z, 0-9 and "-"');
    const unknown = Object.keys(entry ?? {}).find((key) => !fields.some((field) => field === key));
    if (unknown !== undefined) {
      const near = nearest(unknown, fields);
      throw refuse(`unknown field "${unknown.slice(0, 64)}"${near === undefined ? '' : `, did you mean "${near}"?`}`);
    }
    const parsed = entrySchema.safeParse(entry);
    if (!parsed.success) throw refuse('it needs url and secret, both text');
    return { name, url: checkedUrl(parsed.data.url, refuse), secret: secretOf(parsed.data.secret, refuse) };
  });
}

function checkedUrl(text: string, refuse: (what: string) => AppError): string {
  if (!URL.canParse(text)) throw refuse('url is none');
  const { protocol, hostname, username, password } = new URL(text);
  const local = isLoopback(hostname.replace(/^\[|\]$/g, ''));
  if (protocol !== 'https:' && !(protocol === 'http:' && local)) throw refuse('url must be https, or http on loopback');
  if (username !== '' || password !== '') throw refuse('url must not carry a password: notices are signed by secret');
  return text;
}

function secretOf(text: string, refuse: (what: string) => AppError): Uint8Array {
  const bytes = Buffer.from(secretPattern.exec(text)?.[1] ?? '', 'base64');
  if (bytes.length >= secretBytes.least && bytes.length <= secretBytes.most) return bytes;
  throw refuse('secret must be whsec_ and base64 of 24 to 64 bytes: echo "whsec_$(openssl rand -base64 32)"');
}
