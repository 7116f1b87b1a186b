/** From what is wanted to the steps that lead there. Pure: whoever prints the plan sees what would be done. */
import type { InstallationStep } from './installation-step.js';
import { commandLink, type CompanionUnit, type Product, programFolder, settingsPath, unitName } from './product.js';

export interface InstallationWish {
  /** Of the release that is installed, as a folder name. */
  readonly release: string;
  /** Where the release lies unpacked. */
  readonly from: string;
  /** The release in use until now, if there is one: it stays beside the new one. */
  readonly before: string | undefined;
  /** Whether systemd runs this machine, and is to be told. */
  readonly live: boolean;
}

const unitFolder = '/etc/systemd/system';
/** What `systemctl enable` makes, made without it: an image that is not booted has none to ask. */
const wantsFolder = `${unitFolder}/multi-user.target.wants`;

export function planInstallation(product: Product, wish: InstallationWish): InstallationStep[] {
  const { name, user, group, stateFolder, settings } = product;
  const top = programFolder(product);
  const releases = `${top}/releases`;
  const command = `${top}/current/bin/${name}`;
  const units = unitsOf(product);
  const root = {};
  const owner = { ...(user === undefined ? {} : { user, group }) };
  const kept = [wish.release, ...(wish.before === undefined ? [] : [wish.before])];
  return [
    { kind: 'group', name: group },
    ...(user === undefined ? [] : [{ kind: 'user' as const, name: user, group, home: stateFolder }]),
    { kind: 'folder', path: top, mode: 0o755, owner: root },
    { kind: 'folder', path: releases, mode: 0o755, owner: root },
    { kind: 'release', from: wish.from, to: `${releases}/${wish.release}` },
    { kind: 'folder', path: settings.folder, mode: 0o755, owner: root },
    // It may hold the password of a proxy.
    {
      kind: 'file',
      path: settingsPath(product),
      text: settings.text,
      mode: 0o640,
      owner: { group },
      keep: true,
    },
    { kind: 'folder', path: stateFolder, mode: 0o700, owner },
    // The one instant from which on the new programs are the ones that start.
    { kind: 'link', path: `${top}/current`, to: `releases/${wish.release}` },
    { kind: 'link', path: commandLink(product), to: command },
    ...units.map(({ name: unit, text }) => {
      return { kind: 'file' as const, path: `${unitFolder}/${unit}`, text, mode: 0o644, owner: root, keep: false };
    }),
    ...startingUnits(units).map((unit) => {
      return { kind: 'link' as const, path: `${wantsFolder}/${unit}`, to: `../${unit}` };
    }),
    // Installing the same once more says nothing about the one before it.
    ...(wish.before === wish.release ? [] : [{ kind: 'prune' as const, folder: releases, keep: kept }]),
    ...(wish.live ? told(['daemon-reload'], ...startingUnits(units).map((unit) => ['restart', unit])) : []),
  ];
}

/** Its own last: what it finds beside it is as new as it is. */
function unitsOf(product: Product): CompanionUnit[] {
  const programs = `${programFolder(product)}/current`;
  const own = product.unit(`${programs}/bin/${product.name}`);
  return [...(product.companions?.(programs) ?? []), { name: unitName(product), text: own, startsWithMachine: true }];
}

function startingUnits(units: readonly CompanionUnit[]): string[] {
  return units.flatMap(({ name, startsWithMachine }) => (startsWithMachine ? [name] : []));
}

export interface RemovalWish {
  /** Also what it knows: settings, state, user and group. */
  readonly purge: boolean;
  readonly live: boolean;
}

export function planRemoval(product: Product, wish: RemovalWish): InstallationStep[] {
  const { user, group } = product;
  const units = unitsOf(product);
  const names = units.map(({ name }) => name);
  const paths = [
    ...startingUnits(units).map((unit) => `${wantsFolder}/${unit}`),
    ...names.map((unit) => `${unitFolder}/${unit}`),
    commandLink(product),
    programFolder(product),
  ];
  const known = [product.settings.folder, product.stateFolder];
  return [
    ...(wish.live ? names.map((unit) => ({ kind: 'systemctl' as const, args: ['stop', unit], mayFail: true })) : []),
    ...[...paths, ...(wish.purge ? known : [])].map((path) => ({ kind: 'remove' as const, path })),
    ...(wish.purge && user !== undefined ? [{ kind: 'remove-user' as const, name: user }] : []),
    ...(wish.purge ? [{ kind: 'remove-group' as const, name: group }] : []),
    ...(wish.live ? told(['daemon-reload']) : []),
  ];
}

function told(...commands: readonly (readonly string[])[]): InstallationStep[] {
  return commands.map((args) => ({ kind: 'systemctl', args, mayFail: false }));
}
