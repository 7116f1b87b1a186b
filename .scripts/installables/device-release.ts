// The agent for one platform: Node, the bundle, and of onnxruntime what that platform needs.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { agentProduct, agentUnit } from '#agent/installation/agent-product.js';
import { commandLink, programFolder, settingsPath } from '#shared/platform/installation/product.js';
import { isRuntimeFile, onnxruntimePackages } from '#shared/platform/installation/onnxruntime-files.js';
import { addFile, addFolder, addText, type FileSet } from './file-set.js';
import { installedSources, noticesOf } from './notices.js';
import type { Platform } from './platforms.js';
import { addInstallers, launcher, sealRelease } from './release.js';

const unbundled = onnxruntimePackages.map((name) => `node_modules/${name}`);

/** @param node folder of the package of Node for that platform */
export function deviceRelease(root: string, version: string, platform: Platform, node: string): FileSet {
  const files: FileSet = new Map();
  const settings = settingsPath(agentProduct);
  const findSettings = `if [ -z "\${FLOTILLA_AGENT_CONFIG:-}" ] && [ -e ${settings} ]; then
  export FLOTILLA_AGENT_CONFIG=${settings}
fi
`;
  addText(files, 'bin/flotilla-agent', launcher('app/flotilla-agent.js', findSettings), true);
  addFile(files, 'runtime/node', join(node, 'bin/node'), true);
  addText(files, 'app/package.json', `${JSON.stringify({ name: 'flotilla', version, type: 'module' })}\n`);
  addFolder(files, 'app', join(root, 'dist/agent-bundle'), (file) => file.endsWith('.js'));
  for (const name of onnxruntimePackages) {
    const path = `node_modules/${name}`;
    addFolder(files, `app/${path}`, join(root, path), (file) => isRuntimeFile(name, file, platform));
  }
  const bundled = JSON.parse(readFileSync(join(root, 'dist/agent-bundle-packages.json'), 'utf8')) as string[];
  const sources = installedSources(root, [...unbundled, ...bundled]);
  addText(files, 'THIRD-PARTY-NOTICES.txt', noticesOf([{ folder: node }, ...sources]));
  addFile(files, 'LICENSE', join(root, 'LICENSE'));
  addText(files, 'flotilla-agent.service', agentUnit(`${programFolder(agentProduct)}/current/bin/flotilla-agent`));
  addText(files, 'README.txt', readme(version, platform));
  addInstallers(files, 'flotilla-agent');
  sealRelease(files, { name: 'flotilla-agent', version, platform: platform.name, node: platform.node.version });
  return files;
}

function readme(version: string, { name }: Platform): string {
  return `The Flotilla agent ${version} for ${name}. It needs Linux with glibc 2.28 or later, and nothing of Node or npm.

  sudo ./install.sh               # a service; --print shows what would be done, --root DIR installs into an image
  sudo flotilla-agent enroll --token ... --name cam-1
  sudo systemctl start flotilla-agent

Or without installing: bin/flotilla-agent --help. ${commandLink(agentProduct)} is what install.sh makes.
sha256sum -c SHA256SUMS checks what was unpacked. Licences: LICENSE, THIRD-PARTY-NOTICES.txt.
`;
}
