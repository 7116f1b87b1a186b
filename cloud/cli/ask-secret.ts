/** A question at the terminal whose answer is not shown. */
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { AppError } from '#shared/kernel/errors.js';

/** @throws AppError `request.aborted` on Ctrl-C and at the end of the input */
export function askSecret(question: string): Promise<string> {
  process.stderr.write(question);
  // A terminal of readline's shows what is typed on its output: this one shows nothing.
  const dark = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: dark, terminal: true });
  return new Promise<string>((resolve, reject) => {
    let answered = false;
    lines.question('', (answer) => {
      answered = true;
      lines.close();
      resolve(answer);
    });
    lines.once('SIGINT', () => lines.close());
    lines.once('close', () => {
      process.stderr.write('\n');
      if (!answered) reject(new AppError('request.aborted', 'no passphrase was given'));
    });
  });
}
