import * as z from 'zod';

/** `?tag=stage=dev&tag=checked`: each must hold; without a value the tag must be there. */
export const tagQuery = z
  .union([z.string(), z.array(z.string()).max(16)])
  .default([])
  .transform((given) => (typeof given === 'string' ? [given] : given))
  .pipe(
    z.array(
      z
        .string()
        .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}(=.{0,256})?$/s, 'must be name or name=value')
        .transform((text) => {
          const equals = text.indexOf('=');
          return equals < 0
            ? { name: text, value: undefined }
            : { name: text.slice(0, equals), value: text.slice(equals + 1) };
        }),
    ),
  );
