/**
 * What desired documents may ask beyond what every agent understands. An agent names those it knows in
 * `capabilities.features`; a document that asks for another it refuses, and with it whatever else that asks.
 */
export const agentFeatures = [
  'shadow',
  /** `startAfter` of modules. */
  'startAfter',
  /** `variants` of modules and of what is to be prefetched. */
  'variants',
  /** `collect` of modules. */
  'collect',
] as const;
export type AgentFeature = (typeof agentFeatures)[number];
