/** Where libraries to install come from: a file, or an HTTPS address without credentials in it. Pure. */
import { AppError } from '#shared/kernel/errors.js';

export type LibrarySource =
  | { readonly kind: 'file'; readonly path: string; readonly shown: string; readonly sha256: string }
  | { readonly kind: 'url'; readonly url: URL; readonly shown: string; readonly sha256: string };

/** @throws AppError `request.invalid` */
export function librarySources(from: readonly string[], sha256: readonly string[]): LibrarySource[] {
  if (from.length === 0 || from.length !== sha256.length) {
    throw invalid(
      `give one --sha256 for each --from, in the same order (there are ${String(from.length)} and ${String(sha256.length)})`,
    );
  }
  return from.map((text, index) => sourceOf(text, digestOf(sha256[index] ?? '')));
}

function sourceOf(text: string, sha256: string): LibrarySource {
  if (!/^[a-z][a-z0-9+.-]*:/i.test(text)) return { kind: 'file', path: text, shown: text, sha256 };
  if (!URL.canParse(text)) throw invalid('--from is neither a path nor an address');
  const url = new URL(text);
  checkAddress(url);
  return { kind: 'url', url, shown: shownAddress(url), sha256 };
}

/**
 * Of the first address and of each that it leads on to.
 *
 * @throws AppError `request.invalid`; the message has no part of the address that could be a secret
 */
export function checkAddress(url: URL): void {
  if (url.protocol !== 'https:') {
    throw invalid(`${url.protocol}// is not fetched: give an https:// address, or fetch the file and give its path`);
  }
  if (url.username !== '' || url.password !== '') {
    throw invalid(
      `an address with a user or password in it is not fetched, as it would be recorded: fetch the file from ${url.host} and give its path`,
    );
  }
}

/** For logs and records: a query may be a signature that lets anybody in. */
export function shownAddress(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

function digestOf(text: string): string {
  const digest = text.toLowerCase().replace(/^sha256:/, '');
  if (!/^[0-9a-f]{64}$/.test(digest)) throw invalid('--sha256 is 64 hexadecimal digits');
  return digest;
}

function invalid(message: string): AppError {
  return new AppError('request.invalid', message);
}
