/** What really runs a module, as lines of its log: said where it is not the first preference, or not all of it. */
import type { LoadedModule } from '#shared/scoring/host-protocol.js';

export function ranOnLines({ models, fallbacks }: LoadedModule): string[] {
  return [
    ...fallbacks.map(({ provider, reason }) => `not on ${provider}: ${reason}`),
    ...models.flatMap(({ name, provider, nodes }) =>
      nodes === undefined ? [] : [`model ${name} runs on ${provider}: ${nodesText(nodes)}`],
    ),
  ];
}

/** For example "117 of 120 nodes on webgpu, 3 on cpu". */
export function nodesText(nodes: Readonly<Record<string, number>>): string {
  const counts = Object.entries(nodes).sort(([, a], [, b]) => b - a);
  const total = counts.reduce((sum, [, count]) => sum + count, 0);
  return counts
    .map(([provider, count], index) =>
      index === 0 ? `${String(count)} of ${String(total)} nodes on ${provider}` : `${String(count)} on ${provider}`,
    )
    .join(', ');
}
