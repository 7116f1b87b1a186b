/** A gate over a module that the release does not have would hold for ever: it is refused at the start. */
import { AppError } from '#shared/kernel/errors.js';
import { nearest, parseReference } from '#shared/kernel/names.js';
import type { Database } from '#cloud/fleet/device-repository.js';
import type { Gates } from './gate-kinds.js';

/** @throws AppError `request.invalid` that names the nearest */
export async function requireGateModules(
  db: Database,
  workspace: string,
  release: string,
  gates: Gates,
): Promise<void> {
  const wanted = Object.entries(gates).flatMap(([gate, fields]) =>
    'module' in fields && fields.module !== undefined ? [{ gate, module: fields.module }] : [],
  );
  if (wanted.length === 0) return;
  const { name = '', version = 0 } = parseReference(release) ?? {};
  const rows = await db
    .selectFrom('releaseModules')
    .select('module')
    .where((where) => where.and({ workspace, name, version }))
    .execute();
  const modules = rows.map(({ module }) => module).sort();
  for (const { gate, module } of wanted) {
    if (modules.includes(module)) continue;
    const near = nearest(module, modules);
    const hint = near === undefined ? `it has ${modules.join(', ')}` : `did you mean "${near}"?`;
    throw new AppError(
      'request.invalid',
      `policy: gates.${gate}.module: ${release} has no module "${module}"; ${hint}`,
    );
  }
}
