/** The logarithm of the gamma function and of the beta function, for counts of any size. Pure. */

/** Coefficients of Lanczos for g = 7, n = 9: good to fifteen digits. */
const lanczos = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
];

/** @param x above 0 */
export function logGamma(x: number): number {
  // Near 0 the series is poor: one step up, where it is good.
  if (x < 0.5) return logGamma(x + 1) - Math.log(x);
  const z = x - 1;
  const base = z + 7.5;
  let sum = lanczos[0] ?? 1;
  for (let index = 1; index < lanczos.length; index++) sum += (lanczos[index] ?? 0) / (z + index);
  return 0.5 * Math.log(2 * Math.PI) + (z + 0.5) * Math.log(base) - base + Math.log(sum);
}

export function logBeta(a: number, b: number): number {
  return logGamma(a) + logGamma(b) - logGamma(a + b);
}
