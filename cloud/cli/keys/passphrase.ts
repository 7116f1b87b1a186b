/** Where a passphrase comes from: a file that the caller names, or the terminal; never an argument, which others can see. */
import { readFile, stat } from 'node:fs/promises';
import { AppError } from '#shared/kernel/errors.js';
import type { CliIo } from '../cli-io.js';
import { fileError } from '../input.js';
import { minPassphraseLength } from './encrypted-key.js';

const howToGive = 'give it with --passphrase-file, or FLOTILLA_KEYS_PASSPHRASE_FILE, or work at a terminal';

export class Passphrases {
  constructor(
    private readonly io: CliIo,
    /** From `--passphrase-file`; the environment's counts where there is none. */
    private readonly file: string | undefined = io.config.passphraseFile,
  ) {}

  /** Whether one can be had without a person. */
  get fromFile(): boolean {
    return this.file !== undefined;
  }

  get available(): boolean {
    return this.fromFile || this.io.askSecret !== undefined;
  }

  /** For a key that there is. */
  async of(name: string): Promise<string> {
    if (this.file !== undefined) return readPassphraseFile(this.file);
    if (this.io.askSecret === undefined) {
      throw new AppError('key.locked', `the key ${name} needs its passphrase: ${howToGive}`);
    }
    return this.io.askSecret(`Passphrase of the key ${name}: `);
  }

  /** For a key that is about to be encrypted. */
  async fresh(name: string): Promise<string> {
    const { askSecret } = this.io;
    const passphrase =
      this.file === undefined && askSecret !== undefined
        ? await askSecret(`New passphrase for the key ${name}: `)
        : await this.of(name);
    if (passphrase.length < minPassphraseLength) {
      throw new AppError(
        'request.invalid',
        `a passphrase has at least ${String(minPassphraseLength)} characters; several words make a good one`,
      );
    }
    if (this.file === undefined && askSecret !== undefined && (await askSecret('Once more: ')) !== passphrase) {
      throw new AppError('request.invalid', 'the two passphrases differ; nothing was written');
    }
    return passphrase;
  }
}

/** The first line. */
async function readPassphraseFile(path: string): Promise<string> {
  let text: string;
  try {
    const { mode } = await stat(path).then((found) => (found.isFile() ? found : { mode: 0o600 }));
    if (process.platform !== 'win32' && (mode & 0o077) !== 0) {
      throw new AppError('config.invalid', `${path} can be read by others than its owner; chmod 600 ${path}`);
    }
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw fileError(error, path);
  }
  const [line = ''] = text.split(/\r?\n/, 1);
  if (line === '') throw new AppError('request.invalid', `${path} holds no passphrase: its first line is empty`);
  return line;
}
