/** What TypeScript, in its strictest form, says of a module's script. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

/** @param source of the script, in the module's folder beside the files that it imports */
export function typeErrors(folder: string, source: string): string[] {
  const path = join(folder, 'checked.ts');
  writeFileSync(path, source);
  const program = ts.createProgram([path], {
    strict: true,
    noUncheckedIndexedAccess: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2023,
    lib: ['lib.es2023.d.ts'],
    module: ts.ModuleKind.NodeNext,
    types: [],
  });
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '));
}
