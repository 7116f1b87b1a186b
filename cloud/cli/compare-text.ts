/** One image in two places, side by side, for a person. Pure. */
import type { ComparedSideBody, CompareBody } from '#cloud/http/schemas/compare.js';
import { formatFields, formatTable, shortDigest } from './output.js';
import { shareText } from './shadow-text.js';

const releases: Readonly<Record<CompareBody['release'], string>> = {
  same: 'the very same on both sides',
  different: 'not the same on both sides',
  unknown: 'cannot be told: one side has answered nothing',
};

export function describeComparison(body: CompareBody): string {
  const { image, from, to, sides, release, drift, notes } = body;
  const head = formatFields([
    ['image', image],
    ['span', `${from} to ${to}`],
    ['release', releases[release]],
  ]);
  const [endpoint, devices] = sides;
  const row = (title: string, of: (side: ComparedSideBody) => string): string[] => [title, of(endpoint), of(devices)];
  const table = formatTable(
    ['', endpoint.name, devices.name],
    [
      row('told', toldText),
      row('digests', ({ images }) => images.map(digestText).join(', ') || '-'),
      row('requests', ({ requests }) => String(requests)),
      row('errors', errorText),
      row('p50', ({ latencyMs }) => ms(latencyMs.p50)),
      row('p99', ({ latencyMs }) => ms(latencyMs.p99)),
      row('model p50', ({ computeMs }) => ms(computeMs?.p50)),
      row('model p99', ({ computeMs }) => ms(computeMs?.p99)),
      row('agreement', agreementText),
    ],
  );
  const tensors = drift.map(({ tensor, psi, elements, text }) => [
    ...[tensor, psi === null ? '-' : psi.toFixed(3), String(elements.endpoint), String(elements.devices), text],
  ]);
  const apart = tensors.length === 0 ? '' : formatTable(['DRIFT OF', 'PSI', 'ENDPOINT', 'DEVICES', ''], tensors);
  return [head, table, apart, notes.map((note) => `${note}\n`).join('')].filter((part) => part !== '').join('\n');
}

function toldText({ kind, told, asked }: ComparedSideBody): string {
  const noun = kind === 'endpoint' ? 'deployment' : 'device';
  return `${String(told)} of ${String(asked)} ${noun}${asked === 1 ? '' : 's'}`;
}

function digestText({ digest, requests }: ComparedSideBody['images'][number]): string {
  return `${shortDigest(digest)} (${String(requests)})`;
}

function errorText({ requests, errors, errorShare }: ComparedSideBody): string {
  const parts = Object.entries(errors).map(([code, count]) => `${code} ${String(count)}`);
  if (requests === 0 || errorShare === null) return '-';
  return `${(errorShare * 100).toFixed(2)} %${parts.length === 0 ? '' : ` (${parts.join(', ')})`}`;
}

function agreementText({ copies }: ComparedSideBody): string {
  if (copies === undefined) return '-';
  const alone = copies.errors === 0 ? '' : `, failed alone on ${String(copies.errors)}`;
  return `${shareText(copies.agreed, copies.compared)} of ${String(copies.compared)} copies${alone}`;
}

function ms(value: number | null | undefined): string {
  return value === null || value === undefined ? '-' : `${value.toFixed(value < 10 ? 2 : 1)} ms`;
}
