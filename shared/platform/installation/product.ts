/** What is installed on a machine as a service: its names, its places, and its unit. */

/** A unit beside the one of the product, with its suffix. */
export interface CompanionUnit {
  readonly name: string;
  readonly text: string;
  /** Otherwise another unit starts it. */
  readonly startsWithMachine: boolean;
}

export interface Product {
  /** Of the folder below /opt, of the unit, and of the command. */
  readonly name: string;
  /** System group of its own; its members may read the settings. */
  readonly group: string;
  /** System user of its own that the service runs as; absent: root. */
  readonly user?: string;
  readonly stateFolder: string;
  readonly settings: { readonly folder: string; readonly file: string; readonly text: string };
  /** Text of the unit, for a command at this path. */
  unit(command: string): string;
  /** For the programs of a release in this folder. Those that start with the machine are told first. */
  companions?(programs: string): readonly CompanionUnit[];
}

export const programFolder = (product: Product): string => `/opt/${product.name}`;
export const commandLink = (product: Product): string => `/usr/local/bin/${product.name}`;
export const settingsPath = ({ settings }: Product): string => `${settings.folder}/${settings.file}`;
export const unitName = (product: Product): string => `${product.name}.service`;
