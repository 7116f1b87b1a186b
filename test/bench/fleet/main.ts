/**
 * `npm run bench:fleet`: what the control plane's work costs at 1,000, 2,000, 5,000 and 10,000 devices, as a table, with
 * what follows for 50,000; `--svg <file>` draws it. Other sizes: `npm run bench:fleet -- 500 1000`. With `--live --devices
 * 10000` a whole simulated fleet over the network instead: see `live/main.ts`.
 */
import { writeFile } from 'node:fs/promises';
import { printTable } from '../report.js';
import { type Cost, costsOf } from './costs.js';
import { extrapolate } from './extrapolate.js';
import { runLive } from './live/main.js';
import { plotSvg } from './plot.js';

const usual = [1_000, 2_000, 5_000, 10_000];
const beyond = 50_000;

const args = process.argv.slice(2);
if (args[0] === '--live') {
  await runLive(args.slice(1));
  process.exit();
}
const at = args.indexOf('--svg');
const svg = at < 0 ? undefined : args[at + 1];
const given = (at < 0 ? args : args.toSpliced(at, 2)).map(Number);
if (given.some((size) => !Number.isSafeInteger(size) || size < 10) || (at >= 0 && svg === undefined)) {
  console.error('npm run bench:fleet -- [sizes of fleets, 10 or more] [--svg <file>]');
  process.exit(2);
}
const sizes = given.length === 0 ? usual : given;

// Unmeasured: the first one pays for what is compiled when it is first used.
await costsOf(200);
const measured = new Map<number, readonly Cost[]>();
for (const size of sizes) {
  console.error(`${String(size)} devices …`);
  measured.set(size, await costsOf(size));
}
const [first = []] = [...measured.values()];
const costAt = (what: string, size: number): number =>
  measured.get(size)?.find((cost) => cost.what === what)?.ms ?? Number.NaN;

console.log('milliseconds of CPU; a device: for each device once, as the fleet has that size');
printTable(
  ['what', ...sizes.map((size) => size.toLocaleString('en-US')), `${beyond.toLocaleString('en-US')} (expected)`],
  first.map(({ what, each }) => {
    const points = sizes.map((size) => [size, costAt(what, size)] as const);
    const expected = sizes.length < 2 ? '-' : extrapolate(points, beyond).toPrecision(3);
    return [each ? `${what}, a device` : what, ...points.map(([, ms]) => ms.toPrecision(3)), expected];
  }),
);
if (svg !== undefined) {
  const lines = first.map(({ what }) => ({
    name: what,
    points: sizes.map((size) => [size, costAt(what, size)] as const),
  }));
  await writeFile(svg, plotSvg('milliseconds of CPU over devices', lines));
}
