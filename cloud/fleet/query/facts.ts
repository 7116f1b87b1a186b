/** What is known of a device, property by property: what queries are answered from, here and in SQL. Pure. */
import { providersOn } from '#shared/protocol/accelerators.js';
import type { Tags } from '#shared/protocol/primitives.js';
import type { Capabilities, ReportedState } from '#shared/protocol/reported.js';
import { sandboxAspects } from '#shared/protocol/sandbox.js';

export interface Fact {
  readonly text: string | null;
  /** Of a version: its place in the order of versions. Of what is yes or no: 1. */
  readonly number: number | null;
}

/** By canonical property. What is not known, or is no, is not there. */
export type Facts = ReadonlyMap<string, Fact>;

/** Facts change in meaning with this number: those of before are made anew at a start. */
export const factsVersion = 1;

const yes: Fact = { text: null, number: 1 };

const askedKinds = ['gpu', 'npu', 'fpga'] as const;

/** What a device's own row says, beside its tags and its report. */
export interface DeviceStanding {
  readonly name: string;
  readonly online: boolean;
  /** It runs what the newest generation asks. */
  readonly converged: boolean;
  /** As name:version; empty where its modules are no release. */
  readonly release: string;
  readonly tags: Tags;
  readonly reported: ReportedState;
}

/** All that can be asked of one device. */
export function factsOf({ name, online, converged, release, tags, reported }: DeviceStanding): Facts {
  const facts = new Map<string, Fact>([...tagFacts(tags), ...reportedFacts(reported), ['name', text(name)]]);
  if (online) facts.set('online', yes);
  if (converged) facts.set('converged', yes);
  if (release !== '') facts.set('release', text(release));
  return facts;
}

export function tagFacts(tags: Tags): Map<string, Fact> {
  return new Map(Object.entries(tags).map(([name, value]) => [`tags.${name}`, tagFact(value)]));
}

export function reportedFacts({ capabilities, modules, refused }: ReportedState): Map<string, Fact> {
  const facts = capabilities === undefined ? new Map<string, Fact>() : capabilityFacts(capabilities);
  if (refused) facts.set('refused', text(refused.problem.code));
  for (const [name, { active, candidate }] of Object.entries(modules)) {
    const prefix = `modules.${name}`;
    if (active) {
      facts.set(prefix, yes);
      facts.set(`${prefix}.version`, { text: null, number: active.version });
      facts.set(`${prefix}.state`, text(active.state));
      if (active.provider !== undefined) facts.set(`${prefix}.provider`, text(active.provider));
    }
    if (candidate) facts.set(`${prefix}.candidate`, text(candidate.state));
  }
  return facts;
}

function capabilityFacts(capabilities: Capabilities): Map<string, Fact> {
  const { agentVersion, platform, hostname, cpus, memoryBytes, accelerators, sandbox } = capabilities;
  const facts = new Map<string, Fact>([
    ['capabilities.agentVersion', { text: storable(agentVersion), number: versionOrder(agentVersion) }],
    ['capabilities.platform', text(platform)],
    ['capabilities.hostname', text(hostname)],
    ['capabilities.cpus', { text: null, number: cpus }],
    ['capabilities.memoryBytes', { text: null, number: memoryBytes }],
  ]);
  for (const provider of accelerators) facts.set(`capabilities.accelerators.${provider}`, yes);
  for (const kind of askedKinds) {
    if (providersOn(kind, accelerators).length > 0) facts.set(`capabilities.${kind}`, yes);
  }
  for (const aspect of sandboxAspects) {
    if (sandbox?.[aspect].enforced === true) facts.set(`capabilities.sandbox.${aspect}`, yes);
  }
  return facts;
}

function text(value: string): Fact {
  return { text: storable(value), number: null };
}

function tagFact(value: string): Fact {
  return { text: storable(value), number: /^-?\d{1,15}(\.\d{1,15})?$/.test(value) ? Number(value) : null };
}

/** As a database keeps it whole: without NUL, and without halves of characters. */
export function storable(value: string): string {
  return value.replaceAll('\0', '\ufffd').replace(/\p{Surrogate}/gu, '\ufffd');
}

/** `1.2.3` as a number that rises with it; null where it is no such version. What follows `-` or `+` does not count. */
export function versionOrder(version: string): number | null {
  const match = /^(\d{1,5})(?:\.(\d{1,5}))?(?:\.(\d{1,5}))?(?:[-+].*)?$/.exec(version);
  if (!match) return null;
  const [major = 0, minor = 0, patch = 0] = [match[1], match[2], match[3]].map((part) => Number(part ?? 0));
  return major * 1e10 + minor * 1e5 + patch;
}
