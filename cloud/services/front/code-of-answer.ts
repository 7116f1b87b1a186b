/** What a replica's answer failed with, by the codes of the one registry: those that devices tell of the same failures. */
import type { ErrorCode } from '#shared/kernel/errors.js';

const codes: ReadonlyMap<number, ErrorCode> = new Map([
  [400, 'score.invalid-input'],
  [404, 'request.not-found'],
  [405, 'request.method-not-allowed'],
  [408, 'request.timeout'],
  [413, 'request.too-large'],
  [415, 'request.unsupported-type'],
  // On V2 overload and a run that took too long are 503 both.
  [429, 'score.overloaded'],
  [503, 'score.overloaded'],
  [504, 'score.timeout'],
]);

/** @param status none of success; a script may choose any */
export function codeOfAnswer(status: number): ErrorCode {
  return codes.get(status) ?? (status >= 400 && status <= 499 ? 'request.invalid' : 'score.failed');
}
