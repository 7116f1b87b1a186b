/** The programs that the agent starts, found from here: this file lies where they are looked for from. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { AppError } from '#shared/kernel/errors.js';
import { findHostEntries, type HostEntries } from '#shared/supervisor/host-entries.js';

export function programFiles(): HostEntries {
  return findHostEntries(import.meta.url);
}

/** What decodes pictures: in the bundle, in the build, and in the build seen from the sources. */
const decoderPlaces = ['./route-codec/main.js', './routes/codec/main.js', '../dist/agent/routes/codec/main.js'];

/** @throws AppError `process.failed` when it was not built */
export function pictureDecoderFile(): string {
  const paths = decoderPlaces.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  const found = paths.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new AppError(
    'process.failed',
    `what decodes pictures is missing (looked for ${paths.join(', ')}): build first`,
  );
}
