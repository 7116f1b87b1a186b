/** YAML that somebody else wrote: one document, every key a text and given once, without aliases, of bounded depth. */
import { type Document, LineCounter, parseDocument } from 'yaml';
import { isNestedTooDeep } from '#shared/kernel/nesting.js';

export interface StrictYaml {
  readonly value: unknown;
  /** For who tells where something stands. */
  readonly document: Document;
  readonly lines: LineCounter;
}

/** Why a text is not taken: for people, without its place, and the line where there is one. */
export interface YamlProblem {
  readonly what: string;
  readonly line?: number | undefined;
  readonly cause?: unknown;
}

const beyond = 'it has aliases, or is nested too deep';

/** @throws what `refuse` makes of a problem; the caller has bounded the length */
export function readStrictYaml(text: string, refuse: (problem: YamlProblem) => Error): StrictYaml {
  if (isNestedTooDeep(text)) throw refuse({ what: beyond });
  const lines = new LineCounter();
  let value: unknown;
  let document: Document;
  try {
    document = parseDocument(text, { uniqueKeys: true, stringKeys: true, logLevel: 'silent', lineCounter: lines });
    if (document.errors.length === 0) value = document.toJS({ maxAliasCount: 0 });
  } catch (cause) {
    // The library throws on aliases and, by recursion, on deep nesting.
    throw refuse({ what: beyond, cause });
  }
  const [first] = document.errors;
  if (first === undefined) return { value, document, lines };
  const what = first.message.split('\n', 1)[0]?.replace(/ at line \d+, column \d+:?$/, '') ?? '';
  throw refuse({ what, line: first.linePos?.[0].line });
}
