/** What the command line takes from its environment; the only reader of it. */
import { homedir } from 'node:os';
import { join } from 'node:path';

export interface CliConfig {
  /** Contexts and keys lie here. */
  readonly home: string;
  readonly url: string | undefined;
  readonly token: string | undefined;
  readonly workspace: string | undefined;
  /** Its first line is the passphrase of publisher keys. */
  readonly passphraseFile?: string | undefined;
  /** SHA-256 of the authority that the control plane's certificate must chain to. */
  readonly authority?: string | undefined;
  /** As NO_COLOR asks for. */
  readonly colorless?: true | undefined;
  /** What TERM calls `dumb` cannot be painted, only written to. */
  readonly dumb?: true | undefined;
}

export function loadCliConfig(env: Readonly<Record<string, string | undefined>>): CliConfig {
  const set = (name: string): string | undefined => (env[name] === '' ? undefined : env[name]);
  const configHome = set('XDG_CONFIG_HOME') ?? join(set('HOME') ?? homedir(), '.config');
  return Object.freeze({
    home: set('FLOTILLA_HOME') ?? join(configHome, 'flotilla'),
    url: set('FLOTILLA_URL'),
    token: set('FLOTILLA_TOKEN'),
    workspace: set('FLOTILLA_WORKSPACE'),
    passphraseFile: set('FLOTILLA_KEYS_PASSPHRASE_FILE'),
    authority: set('FLOTILLA_AUTHORITY'),
    colorless: set('NO_COLOR') === undefined ? undefined : true,
    dumb: set('TERM') === 'dumb' ? true : undefined,
  });
}
