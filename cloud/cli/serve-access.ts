/** Who may ask `flotilla serve`: its flags as the rules that its host goes by, and the secrets that it makes. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Command } from 'commander';
import { AppError, messageOf } from '#shared/kernel/errors.js';
import { accessMode, hostAccess, readHostName, readOrigin } from '#shared/scoring/access/access-settings.js';
import { secretDigest } from '#shared/scoring/access/bearer.js';
import type { HostAccess } from '#shared/scoring/access/host-access.js';
import { collect } from './argument-parsers.js';

export interface AccessOptions {
  readonly access?: 'open' | 'keys';
  readonly scoringKey: readonly string[];
  readonly hostName: readonly string[];
  readonly corsOrigin: readonly string[];
}

const remedy =
  'give one with --scoring-key auto (it is shown) or --scoring-key @file, or say --access open to serve whoever reaches it';

export function withAccessOptions(command: Command): Command {
  return command
    .option('--access <who>', 'open or keys; without it open on loopback, with a key elsewhere', (text) => {
      if (text === 'open' || text === 'keys') return text;
      throw invalid(`--access ${text}: it is open or keys`);
    })
    .option('--scoring-key <key>', 'who may score; @file reads it, auto makes one and prints it once', collect, [])
    .option('--host-name <name>', 'a name by which the port may be asked, besides localhost', collect, [])
    .option('--cors-origin <origin>', 'whose pages may read answers: https://app.example, or *', collect, []);
}

/** @param keys in clear; only their digests go on */
export function accessOf(address: string, options: AccessOptions, keys: readonly string[]): HostAccess {
  const { access } = options;
  const hostNames = options.hostName.map((text) => read('--host-name', text, readHostName, 'edge-1.example'));
  const corsOrigins = options.corsOrigin.map((text) => read('--cors-origin', text, readOrigin, 'https://app.example'));
  const settings = { address, access, hostNames, corsOrigins };
  const mode = accessMode({ address, access: access ?? (keys.length > 0 ? 'keys' : undefined) }, false, remedy);
  if (mode === 'keys' && keys.length === 0) throw invalid(`--access keys needs one: ${remedy}`);
  const digests = keys.map((key) => secretDigest(key).toString('hex'));
  return hostAccess(settings, mode, digests, hostname());
}

export function newSecret(): string {
  return randomBytes(32).toString('base64url');
}

/**
 * A secret that a flag gives. What stands in a command line every user of the machine can read, hence `@file`.
 *
 * @throws AppError `request.invalid` for what is no secret, or a file that cannot be read
 */
export function secretOf(flag: string, text: string): string {
  const secret = text.startsWith('@') ? readSecret(flag, text.slice(1)) : text;
  // What a header can carry, and nobody guesses.
  if (/^[\x21-\x7e]{8,256}$/.test(secret)) return secret;
  throw invalid(`${flag}: 8 to 256 letters, digits or signs without spaces; @file, or auto, which makes one`);
}

function readSecret(flag: string, path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw invalid(`${flag}: ${messageOf(error)}`);
  }
}

function read(flag: string, text: string, reader: (text: string) => string | undefined, example: string): string {
  const value = reader(text);
  if (value !== undefined) return value;
  throw invalid(`${flag} ${text.slice(0, 100)} is none; write for example ${example}`);
}

function invalid(message: string): AppError {
  return new AppError('request.invalid', message);
}
