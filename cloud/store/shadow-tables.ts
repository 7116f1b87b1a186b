/** The table of shadows, as Kysely sees it; in the control database, by the rules of `tables.ts`. */

/** A version beside a deployed module, as long as it is to be there. */
export interface ShadowTable {
  workspace: string;
  device: string;
  module: string;
  imageDigest: string;
  settingsJson: string;
  /** A ShadowRule. */
  ruleJson: string;
  /** The rollout that asks for it; null: a person. */
  rollout: number | null;
  /** The first desired generation that carries it. */
  generation: number;
  createdAt: string;
}

export interface ShadowDatabase {
  shadows: ShadowTable;
}
