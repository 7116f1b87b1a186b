import { AppError } from '#shared/kernel/errors.js';

/** `tolerance:0.01`, `top-1:label`. @throws AppError `request.invalid` */
export function parseComparison(text: string) {
  const [kind = '', ...rest] = text.split(':');
  const argument = rest.join(':');
  if (kind === 'top-1') return { kind: 'top-1', ...(argument === '' ? {} : { output: argument }) } as const;
  const absolute = Number(argument === '' ? 1e-4 : argument);
  if (kind === 'tolerance' && absolute >= 0) return { kind: 'tolerance', absolute } as const;
  throw new AppError(
    'request.invalid',
    `--compare: "${text}" is no rule: write tolerance, tolerance:0.01, top-1 or top-1:<output>`,
  );
}
