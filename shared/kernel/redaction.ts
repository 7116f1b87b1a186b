/** Texts for others to read, without what must stay here: secrets that are known, and what looks like one of ours. */

const hidden = '[hidden]';
/** A shorter one would hide half of every text, and protects nothing. */
const shortestSecret = 4;

const secretForms = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  /\bflotilla-enrol-\d+\.[A-Za-z0-9_-]+/g,
  /\bflt_[A-Za-z0-9_.-]+/g,
  /\b(Bearer|Basic) +[A-Za-z0-9._~+/=-]{8,}/gi,
  // Credentials in a URL.
  /(?<=:\/\/)[^/?#\s"'@]+(?=@)/g,
];

/** @param secrets hidden wherever they stand, also as JSON writes them; the longest first */
export function redact(text: string, secrets: readonly string[] = []): string {
  const known = [...new Set(secrets.flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)]))]
    .filter((secret) => secret.length >= shortestSecret)
    .sort((a, b) => b.length - a.length);
  const withoutKnown = known.reduce((left, secret) => left.replaceAll(secret, hidden), text);
  return secretForms.reduce((left, form) => left.replace(form, hidden), withoutKnown);
}

/** Every text in a value, however deep: for example the values of a module's settings. */
export function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.values(value).flatMap(textsIn);
}
