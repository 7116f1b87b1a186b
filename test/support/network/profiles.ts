/** Links that devices really have, as data. The first eight are those that Azure's edge runtime is tested with, less one. */
import { type LinkQuality, perfectLink } from './fault-proxy.js';

export interface NetworkProfile {
  readonly name: string;
  readonly quality: LinkQuality;
  /** Packets of a hundred that the kernel loses, each way; needs a network namespace. */
  readonly lossPercent: number;
  /** Seconds with and without a link, so many times; it ends with a link. */
  readonly cycles: { readonly onSeconds: number; readonly offSeconds: number; readonly times: number };
  /** Goes on after its cycles while the device settles. */
  readonly endless: boolean;
  /** Seconds that it takes in reality for one here. */
  readonly timeScale: number;
}

/** What the long ones are shortened by: a minute to a second. */
const minutesToSeconds = 60;

const always = { onSeconds: 20, offSeconds: 0, times: 1 };

function link(name: string, more: Partial<NetworkProfile>): NetworkProfile {
  return {
    name,
    quality: perfectLink,
    lossPercent: 0,
    cycles: always,
    endless: false,
    timeScale: 1,
    ...more,
  };
}

function cycles(onMinutes: number, offMinutes: number, times: number): NetworkProfile {
  return link(`${String(onMinutes)} min on, ${String(offMinutes)} min off, ${String(times)} times`, {
    cycles: { onSeconds: onMinutes, offSeconds: offMinutes, times },
    timeScale: minutesToSeconds,
  });
}

const megabit = 125_000;

/** The round trip has the delay once in each direction, half of it each. */
function quality(roundTripMs: number, jitterMs: number, megabits: number): LinkQuality {
  return { delayMs: roundTripMs / 2, jitterMs: jitterMs / 2, bytesPerSecond: megabits * megabit };
}

export const profiles: readonly NetworkProfile[] = [
  link('online', {}),
  cycles(5, 5, 5),
  cycles(10, 10, 3),
  cycles(30, 30, 2),
  cycles(5, 20, 3),
  link('satellite: 600±50 ms, 2 % lost, 25 Mbit', {
    quality: quality(600, 50, 25),
    lossPercent: 2,
    cycles: { onSeconds: 60, offSeconds: 0, times: 1 },
  }),
  link('3G: 100±10 ms, 1 Mbit', {
    quality: quality(100, 10, 1),
    cycles: { onSeconds: 60, offSeconds: 0, times: 1 },
  }),
  link('flapping every 3 s', { cycles: { onSeconds: 3, offSeconds: 3, times: 10 }, endless: true }),
  link('5 min on, 5 min off, in real time', { cycles: { onSeconds: 300, offSeconds: 300, times: 1 } }),
];
