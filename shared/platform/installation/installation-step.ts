/** One step of an installation, as data. Paths are as the installed machine has them. Each does nothing where it is done. */

export interface Owner {
  /** Names; absent: root. */
  readonly user?: string;
  readonly group?: string;
}

export type InstallationStep =
  | { readonly kind: 'group'; readonly name: string }
  | { readonly kind: 'user'; readonly name: string; readonly group: string; readonly home: string }
  | { readonly kind: 'folder'; readonly path: string; readonly mode: number; readonly owner: Owner }
  /** A checked copy of a whole release. `from` is a path of this machine. */
  | { readonly kind: 'release'; readonly from: string; readonly to: string }
  | { readonly kind: 'link'; readonly path: string; readonly to: string }
  /** `keep`: what stands there stays. */
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly text: string;
      readonly mode: number;
      readonly owner: Owner;
      readonly keep: boolean;
    }
  /** Removes all in a folder but these. */
  | { readonly kind: 'prune'; readonly folder: string; readonly keep: readonly string[] }
  | { readonly kind: 'remove'; readonly path: string }
  | { readonly kind: 'remove-user'; readonly name: string }
  | { readonly kind: 'remove-group'; readonly name: string }
  | { readonly kind: 'systemctl'; readonly args: readonly string[]; readonly mayFail: boolean };

/** For `--print`, and beside what became of it. */
export function describeStep(step: InstallationStep): string {
  switch (step.kind) {
    case 'group':
      return `system group ${step.name}`;
    case 'user':
      return `system user ${step.name}`;
    case 'folder':
      return `folder ${step.path} ${modeText(step.mode)} ${ownerText(step.owner)}`;
    case 'release':
      return `programs ${step.to}`;
    case 'link':
      return `link ${step.path} -> ${step.to}`;
    case 'file':
      return `file ${step.path} ${modeText(step.mode)} ${ownerText(step.owner)}`;
    case 'prune':
      return `older programs in ${step.folder}: remove`;
    case 'remove':
      return `remove ${step.path}`;
    case 'remove-user':
      return `remove system user ${step.name}`;
    case 'remove-group':
      return `remove system group ${step.name}`;
    case 'systemctl':
      return `systemctl ${step.args.join(' ')}`;
  }
}

function modeText(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

function ownerText({ user = 'root', group = 'root' }: Owner): string {
  return `${user}:${group}`;
}
