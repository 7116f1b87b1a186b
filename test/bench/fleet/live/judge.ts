/** Times and proofs from rows and logs. Pure. */
import { firstByDevice, acceptedTimes, type Noted } from './device-logs.js';
import type { RolloutRow } from './rows.js';

export interface WaveTimes {
  readonly wave: number;
  readonly devices: number;
  /** Seconds from the wave's first commit to the last document's arrival, whose PUBACK is sent in the same turn. */
  readonly arrived: number;
  /** To the last that the control plane saw done: verified, loaded, reported, judged. */
  readonly done: number;
  /** Of one device, from the commit that asks it, 99 of 100 and the slowest. */
  readonly each: { readonly p99: number; readonly most: number };
}

export function waveTimes(rows: readonly RolloutRow[], noted: readonly Noted[], since: number): WaveTimes[] {
  const received = firstByDevice(noted, 'received', since);
  const waves = [...new Set(rows.map(({ wave }) => wave))].sort((a, b) => a - b);
  return waves.map((wave) => {
    const own = rows.filter((row) => row.wave === wave);
    const begun = smallest(own.map(({ assignedAt }) => assignedAt ?? Number.POSITIVE_INFINITY));
    const arrived = largest(own.map(({ device }) => received.get(device)?.at ?? Number.NaN));
    const done = largest(own.map(({ endedAt }) => endedAt ?? Number.NaN));
    const each = own
      .map(({ device, assignedAt }) => ((received.get(device)?.at ?? Number.NaN) - (assignedAt ?? Number.NaN)) / 1000)
      .sort((a, b) => a - b);
    return {
      ...{ wave, devices: own.length, arrived: (arrived - begun) / 1000, done: (done - begun) / 1000 },
      each: { p99: each[Math.ceil(each.length * 0.99) - 1] ?? Number.NaN, most: each.at(-1) ?? Number.NaN },
    };
  });
}

export interface Losses {
  /** Devices whose log has not exactly one acceptance of the release. */
  readonly acceptedOtherwise: readonly string[];
  /** Devices of which the history does not say once that they were asked. */
  readonly askedOtherwise: readonly string[];
  /** Devices whose row is not one success at the first attempt. */
  readonly endedOtherwise: readonly string[];
  readonly rows: number;
}

export function losses(
  release: string,
  rows: readonly RolloutRow[],
  asked: ReadonlyMap<string, number>,
  noted: readonly Noted[],
): Losses {
  const accepted = acceptedTimes(noted, release);
  const names = new Set([...rows.map(({ device }) => device), ...asked.keys(), ...accepted.keys()]);
  return {
    acceptedOtherwise: [...names].filter((name) => accepted.get(name) !== 1),
    askedOtherwise: [...names].filter((name) => asked.get(name) !== 1),
    endedOtherwise: rows
      .filter(({ standing, attempts }) => standing !== 'succeeded' || attempts !== 1)
      .map(({ device }) => device),
    rows: rows.length,
  };
}

/** Of many numbers: a spread call has a bound. */
export function largest(values: readonly number[]): number {
  return values.reduce((most, value) => (value > most || Number.isNaN(value) ? value : most), Number.NEGATIVE_INFINITY);
}

export function smallest(values: readonly number[]): number {
  return values.reduce((least, value) => (value < least ? value : least), Number.POSITIVE_INFINITY);
}
