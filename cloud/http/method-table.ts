/** Which methods a path answers, to tell 405 from 404: fastify's router knows only method and path together. */
export class MethodTable {
  private readonly rows = new Map<string, { readonly pattern: RegExp; readonly methods: Set<string> }>();

  add(method: string | string[], route: string): void {
    const row = this.rows.get(route) ?? { pattern: toPattern(route), methods: new Set() };
    for (const name of typeof method === 'string' ? [method] : method) row.methods.add(name);
    this.rows.set(route, row);
  }

  allowed(path: string): string[] {
    const found = new Set<string>();
    for (const { pattern, methods } of this.rows.values()) {
      if (pattern.test(path)) for (const name of methods) found.add(name);
    }
    return [...found].sort();
  }
}

function toPattern(route: string): RegExp {
  const parts = route.split('/').map((part) => {
    if (part.startsWith(':')) return '[^/]+';
    if (part === '*') return '.*';
    return part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  });
  return new RegExp(`^${parts.join('/')}$`);
}
