// Owns a scoring host, says its pid, and is killed by the test.
import { bindHandle } from '#shared/supervisor/listen-handle.js';
import { ScoringHostProcess } from '#shared/supervisor/scoring-host-process.js';

const [port, entry, folder] = process.argv.slice(2);
const handle = bindHandle('127.0.0.1', Number(port));
const host = ScoringHostProcess.spawn({ entry, onLog: () => undefined });
const digits = {
  name: 'digits',
  version: 1,
  digest: 'sha256:0',
  folder,
  models: [{ name: 'digits', file: 'model.onnx' }],
  accelerators: ['cpu'],
  instances: 1,
};
await host.load({ modules: [digits], labels: {}, maxBodyBytes: 4096 });
await host.listen(handle.handle);
process.send(host.pid);
