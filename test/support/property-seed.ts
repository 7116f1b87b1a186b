/** Properties draw anew at each run; where FLOTILLA_PROPERTY_SEED is set, as CI does, they draw the same (decision 0037). */
import fc from 'fast-check';

const text = process.env.FLOTILLA_PROPERTY_SEED;
if (text !== undefined) {
  const seed = Number(text);
  if (!Number.isSafeInteger(seed)) throw new Error(`FLOTILLA_PROPERTY_SEED is no whole number: ${text}`);
  fc.configureGlobal({ ...fc.readConfigureGlobal(), seed });
}
