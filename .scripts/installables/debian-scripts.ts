// What dpkg runs around the files of the package; in the manner of debhelper's snippets for a unit.
import { agentProduct } from '#agent/installation/agent-product.js';
import { programFolder, settingsPath } from '#shared/platform/installation/product.js';

const { group, stateFolder } = agentProduct;
const unit = 'flotilla-agent.service';

export const preinst = `#!/bin/sh
set -e
if [ -e ${programFolder(agentProduct)}/current ]; then
  echo 'flotilla-agent was installed from an archive: run "flotilla-agent uninstall" first; settings and state stay.' >&2
  exit 1
fi
`;

export const postinst = `#!/bin/sh
set -e
if [ "$1" = configure ]; then
  getent group ${group} >/dev/null || groupadd --system ${group}
  # The settings may hold the password of a proxy: for root and the group.
  if [ -e ${settingsPath(agentProduct)} ]; then chgrp ${group} ${settingsPath(agentProduct)}; fi
  if [ ! -d ${stateFolder} ]; then mkdir -m 0700 ${stateFolder}; fi
  if command -v deb-systemd-helper >/dev/null; then
    deb-systemd-helper unmask ${unit} >/dev/null || true
    if deb-systemd-helper --quiet was-enabled ${unit}; then
      deb-systemd-helper enable ${unit} >/dev/null || true
    else
      deb-systemd-helper update-state ${unit} >/dev/null || true
    fi
  fi
  if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
    deb-systemd-invoke restart ${unit} >/dev/null || true
  fi
fi
`;

export const prerm = `#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  deb-systemd-invoke stop ${unit} >/dev/null || true
fi
`;

export const postrm = `#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl --system daemon-reload >/dev/null || true; fi
if [ "$1" = remove ] && command -v deb-systemd-helper >/dev/null; then deb-systemd-helper mask ${unit} >/dev/null || true; fi
if [ "$1" = purge ]; then
  if command -v deb-systemd-helper >/dev/null; then
    deb-systemd-helper purge ${unit} >/dev/null || true
    deb-systemd-helper unmask ${unit} >/dev/null || true
  fi
  rm -rf ${stateFolder}
  if getent group ${group} >/dev/null; then groupdel ${group} || true; fi
fi
`;
