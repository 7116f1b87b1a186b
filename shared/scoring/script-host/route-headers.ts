/** What a request says besides its body where a route brings it. */
import { AppError } from '#shared/kernel/errors.js';
import { defaultInput } from '#shared/protocol/route.js';

/** The module's input that it is for. */
export const inputHeader = 'flotilla-input';
/** What it came from, such as a topic or the name of a file; percent-encoded. */
export const sourceHeader = 'flotilla-source';

type Header = string | string[] | undefined;

/** @throws AppError `score.invalid-input` for an input that the module does not have */
export function inputOf(header: Header, inputs: readonly string[]): string {
  if (header === undefined) return defaultInput;
  if (typeof header === 'string' && inputs.includes(header)) return header;
  throw new AppError(
    'score.invalid-input',
    `the module has no input "${String(header).slice(0, 64)}"; it has ${inputs.join(', ')}`,
  );
}

/** Absent, or not as we write it: none. */
export function sourceOf(header: Header): string | undefined {
  if (typeof header !== 'string' || header.length > 4096) return undefined;
  try {
    return decodeURIComponent(header);
  } catch {
    return undefined;
  }
}
