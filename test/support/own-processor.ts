/**
 * In the world a device has its own processor; in a test it shares a few with other devices, the test, and whatever else
 * the machine does. How long its rare slowest answers take is then told by the others: with ten busy processes on two
 * cores, the p99 of five milliseconds of work was 168, and of three times that work 258.
 */
import { spawnSync } from 'node:child_process';
import { findTool } from './outside-tool.js';

/**
 * What a program is started behind so that it, and what it starts, runs as soon as it has something to do. It must have
 * little to do. Empty where that is not to be had: on Linux, root may.
 */
export function ownProcessor(): readonly string[] {
  const chrt = findTool('chrt');
  if (chrt === undefined) return [];
  const prefix = [chrt, '--rr', '1'];
  return spawnSync(chrt, [...prefix.slice(1), 'true']).status === 0 ? prefix : [];
}
