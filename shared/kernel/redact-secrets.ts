/**
 * Lines of programs on their way off the device, without what looks like a secret. Pure. It finds the
 * usual forms; a program that prints secrets in a form of its own is not saved by it.
 */
const gone = '[redacted]';

const forms: readonly (readonly [pattern: RegExp, replacement: string])[] = [
  // name = value, name: value, "name": "value"
  [
    /((?:authorization|cookie|passw(?:or)?d|passphrase|secret|token|credential|(?:api|access|private)[-_ ]?key)["']?\s{0,8}[:=]\s{0,8})(?:(?:bearer|basic)\s{1,8})?(?:"[^"]{0,8192}"|'[^']{0,8192}'|[^\s,;"'}&]{1,8192})/gi,
    `$1${gone}`,
  ],
  [/\b(bearer|basic)\s{1,8}[\w.~+/=-]{8,8192}/gi, `$1 ${gone}`],
  // https://user:password@host
  [/(:\/\/[^\s:/@]{0,256}:)[^\s/@]{1,256}(?=@)/g, `$1${gone}`],
  // Tokens that say what they are: ours, cloud keys, signed JSON.
  [/\b(?:flt_|fle_|ghp_|xox[abp]-|AKIA)[\w-]{8,8192}/g, gone],
  [/\beyJ[\w-]{8,8192}\.[\w-]{8,8192}\.[\w-]{0,8192}/g, gone],
  [/-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----.*/g, gone],
  // A line of nothing but base64, as in the middle of a key.
  [/^\s*[A-Za-z0-9+/]{48,}={0,2}\s*$/g, gone],
];

export function redactSecrets(line: string): string {
  return forms.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), line);
}
