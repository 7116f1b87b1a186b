/** Which provider ran how many nodes of a model, out of onnxruntime's profile of a run. Pure. */

/** Nodes by provider, for example `{webgpu: 117, cpu: 3}`. */
export type NodeCounts = Readonly<Record<string, number>>;

/**
 * @param profile onnxruntime's list of events: those of a node's kernel name its provider
 * @returns undefined when no node is in it
 */
export function countNodes(profile: unknown): NodeCounts | undefined {
  if (!Array.isArray(profile)) return undefined;
  const providers = new Map<string, string>();
  for (const event of profile as readonly unknown[]) {
    if (!isRecord(event) || event['cat'] !== 'Node' || !isRecord(event['args'])) continue;
    const { provider, node_index: index } = event['args'];
    if (typeof provider !== 'string' || provider === '') continue;
    // A node in a loop has an event for each turn.
    providers.set(`${String(event['name'])} ${String(index)}`, shortName(provider));
  }
  if (providers.size === 0) return undefined;
  const counts: Record<string, number> = {};
  for (const provider of providers.values()) counts[provider] = (counts[provider] ?? 0) + 1;
  return counts;
}

/** `WebGpuExecutionProvider` is what is asked for as `webgpu`. */
function shortName(provider: string): string {
  return provider.replace(/ExecutionProvider$/, '').toLowerCase();
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The reason when none of the nodes ran on the provider; undefined when some did. */
export function leftToOthers(provider: string, nodes: NodeCounts): string | undefined {
  if ((nodes[provider] ?? 0) > 0) return undefined;
  const total = Object.values(nodes).reduce((sum, count) => sum + count, 0);
  const others = Object.keys(nodes).join(' and ');
  return `it loads the model and runs none of its nodes: all ${String(total)} ran on ${others}`;
}
