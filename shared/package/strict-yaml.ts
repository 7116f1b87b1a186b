/** YAML that somebody else wrote: one document, every key a text and given once, without aliases, of bounded depth. */
import { type Document, LineCounter, parseAllDocuments, parseDocument } from 'yaml';
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

/** More are no file that a person wrote. */
const mostDocuments = 64;

/**
 * The same of a file with several documents. Empty ones are left out.
 *
 * @throws what `refuse` makes of a problem; the caller has bounded the length
 */
export function readStrictDocuments(text: string, refuse: (problem: YamlProblem) => Error): unknown[] {
  if (isNestedTooDeep(text)) throw refuse({ what: beyond });
  const values: unknown[] = [];
  let problem: YamlProblem | undefined;
  try {
    const options = { uniqueKeys: true, stringKeys: true, logLevel: 'silent', lineCounter: new LineCounter() } as const;
    const documents = parseAllDocuments(text, options);
    if (!Array.isArray(documents)) return [];
    if (documents.length > mostDocuments) problem = { what: `more than ${String(mostDocuments)} documents` };
    for (const document of documents.slice(0, mostDocuments)) {
      problem ??= problemOf(document);
      if (problem !== undefined) break;
      const value: unknown = document.toJS({ maxAliasCount: 0 });
      if (value !== null) values.push(value);
    }
  } catch (cause) {
    throw refuse({ what: beyond, cause });
  }
  if (problem !== undefined) throw refuse(problem);
  return values;
}

function problemOf({ errors: [first] }: Pick<Document, 'errors'>): YamlProblem | undefined {
  if (first === undefined) return undefined;
  const what = first.message.split('\n', 1)[0]?.replace(/ at line \d+, column \d+:?$/, '') ?? '';
  return { what, line: first.linePos?.[0].line };
}

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
  const problem = problemOf(document);
  if (problem === undefined) return { value, document, lines };
  throw refuse(problem);
}
