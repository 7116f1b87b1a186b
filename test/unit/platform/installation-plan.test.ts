import { describe, expect, it } from 'vitest';
import { agentProduct } from '#agent/installation/agent-product.js';
import { cloudProduct } from '#cloud/installation/cloud-product.js';
import { servicesUnits } from '#cloud/installation/services-units.js';
import { describeStep, type InstallationStep } from '#shared/platform/installation/installation-step.js';
import { planInstallation, planRemoval } from '#shared/platform/installation/plan-installation.js';
import { unitText } from '#shared/platform/installation/unit-text.js';

const wish = { release: '0.2.0-bbb', from: '/srv/unpacked', before: '0.1.0-aaa', live: false };
const kinds = (steps: readonly InstallationStep[]): string[] => steps.map(({ kind }) => kind);
const at = (steps: readonly InstallationStep[], text: string): number =>
  steps.findIndex((step) => describeStep(step).includes(text));

describe('an installation', () => {
  it('turns to the new programs once they are there whole, and settings and state before them', () => {
    const steps = planInstallation(agentProduct, wish);
    const turn = at(steps, 'current -> releases/0.2.0-bbb');
    for (const before of ['programs', 'folder /var/lib/flotilla-agent', 'file /etc/flotilla-agent/agent.yaml'])
      expect(at(steps, before)).toBeLessThan(turn);
  });

  it('never writes over settings, and always the unit', () => {
    const files = planInstallation(agentProduct, wish).filter((step) => step.kind === 'file');
    expect(files.map(({ path, keep }) => [path, keep])).toEqual([
      ['/etc/flotilla-agent/agent.yaml', true],
      ['/etc/systemd/system/flotilla-agent.service', false],
    ]);
  });

  it('keeps the release before, and says nothing about it when the same is installed again', () => {
    expect(planInstallation(agentProduct, wish)).toContainEqual({
      kind: 'prune',
      folder: '/opt/flotilla-agent/releases',
      keep: ['0.2.0-bbb', '0.1.0-aaa'],
    });
    expect(kinds(planInstallation(agentProduct, { ...wish, before: wish.release }))).not.toContain('prune');
  });

  it('speaks to systemd only where it runs', () => {
    expect(kinds(planInstallation(agentProduct, wish))).not.toContain('systemctl');
    const steps = planInstallation(agentProduct, { ...wish, live: true }).map(describeStep);
    expect(steps.slice(-2)).toEqual(['systemctl daemon-reload', 'systemctl restart flotilla-agent.service']);
  });

  it('starts what waits for web services before the control plane, which asks for them', () => {
    const steps = planInstallation(cloudProduct, { ...wish, live: true }).map(describeStep);
    expect(steps.slice(-3)).toEqual([
      ...['systemctl daemon-reload', 'systemctl restart flotilla-services.path', 'systemctl restart flotilla.service'],
    ]);
    const links = steps.filter((step) => step.includes('multi-user.target.wants'));
    expect(links.join()).not.toContain('flotilla-services.service');
  });

  it('makes a user for what does not run as root, to whom its state belongs', () => {
    const steps = planInstallation(cloudProduct, wish).map(describeStep);
    expect(steps).toContain('system user flotilla');
    expect(steps).toContain('folder /var/lib/flotilla 0700 flotilla:flotilla');
    expect(planInstallation(agentProduct, wish).map(describeStep).join()).not.toContain('system user');
  });
});

describe('a removal', () => {
  it('leaves settings and state, unless they are to go', () => {
    const kept = planRemoval(agentProduct, { purge: false, live: false }).map(describeStep);
    expect(kept.filter((step) => /var\/lib|\/etc\/flotilla|group/.test(step))).toEqual([]);
    const purged = planRemoval(cloudProduct, { purge: true, live: false }).map(describeStep);
    for (const gone of ['remove /var/lib/flotilla', 'remove /etc/flotilla', 'remove system user flotilla'])
      expect(purged).toContain(gone);
  });

  it('stops the service before its files go', () => {
    const steps = planRemoval(agentProduct, { purge: false, live: true }).map(describeStep);
    expect(steps[0]).toBe('systemctl stop flotilla-agent.service');
  });

  it('stops what would start web services again before it stops them', () => {
    const steps = planRemoval(cloudProduct, { purge: false, live: true }).map(describeStep);
    expect(steps.slice(0, 3)).toEqual([
      ...['systemctl stop flotilla-services.path', 'systemctl stop flotilla-services.service'],
      'systemctl stop flotilla.service',
    ]);
    expect(steps).toContain('remove /etc/systemd/system/flotilla-services.service');
  });
});

describe('the units', () => {
  const agent = agentProduct.unit('/opt/flotilla-agent/current/bin/flotilla-agent');
  const cloud = cloudProduct.unit('/opt/flotilla/current/bin/flotilla');

  it('give the agent the control groups that its sandbox makes, and let no module take it along', () => {
    for (const line of ['Delegate=yes', 'OOMPolicy=continue', 'ProtectSystem=strict', 'NoNewPrivileges=yes'])
      expect(agent.split('\n')).toContain(line);
    // Any of these would break what docs/sandbox.md promises.
    for (const setting of ['User=', 'ProtectControlGroups', 'RestrictNamespaces', 'PrivateDevices', 'MemoryDenyWrite'])
      expect(agent).not.toContain(setting);
  });

  it('leave the control plane no privileges', () => {
    for (const line of ['User=flotilla', 'CapabilityBoundingSet=', 'RestrictNamespaces=yes', 'PrivateDevices=yes'])
      expect(cloud.split('\n')).toContain(line);
  });

  it('leave web services no privileges either, but what bounds their user code, out of sight of other keys', () => {
    const services = servicesUnits('/opt/flotilla/current').find(({ name }) => name.endsWith('.service'))?.text ?? '';
    for (const line of ['User=flotilla', 'CapabilityBoundingSet=', 'NoNewPrivileges=yes', 'Delegate=yes'])
      expect(services.split('\n')).toContain(line);
    expect(services).toContain('InaccessiblePaths=-/var/lib/flotilla/keys/at-rest.key');
    for (const setting of ['ProtectControlGroups', 'RestrictNamespaces', 'PrivateDevices', 'PartOf=', 'BindsTo='])
      expect(services).not.toContain(setting);
  });

  it('have one section after another', () => {
    expect(unitText('About.', { Unit: { After: 'a' }, Service: { Environment: ['A=1', 'B=2'] } })).toBe(
      '# About.\n[Unit]\nAfter=a\n\n[Service]\nEnvironment=A=1\nEnvironment=B=2\n',
    );
  });
});
