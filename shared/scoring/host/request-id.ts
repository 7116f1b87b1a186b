/** Anything else would break our headers or logs: it gets an id of ours instead. */
export function acceptableId(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' && /^[\x21-\x7e]{1,100}$/.test(header) ? header : undefined;
}
