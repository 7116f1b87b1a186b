/** What travels on routes. */

/** A value that a module gave. */
export interface Payload {
  readonly bytes: Buffer;
  /** JSON text; else bytes as the script gave them. */
  readonly json: boolean;
  /** What it came from: a topic, a file's name. */
  readonly source?: string | undefined;
}

/** Why something did not come through. */
export const lossReasons = [
  /** The queue was full. */
  'full',
  /** Larger than the route, the module or the target takes. */
  'too-large',
  /** Not what its codec says. */
  'undecodable',
  /** The module said that the input is wrong. */
  'refused',
  /** The module, or the target, did not manage. */
  'failed',
  /** More than the cloud is to get. */
  'rate',
  /** The module that it was for is not there. */
  'no-module',
  /** The route is no more. */
  'gone',
] as const;
export type LossReason = (typeof lossReasons)[number];

/** Something on its way to an input. What waits in a folder holds no memory until it is loaded. */
export interface RouteItem {
  readonly bytes: number;
  readonly source: string | undefined;
  /** @throws RouteFault */
  load(): Promise<Buffer>;
  /** Told once what became of it. */
  settled(outcome: 'answered' | LossReason): void;
}

/** It will never come through; `message` for people. */
export class RouteFault extends Error {
  override readonly name = 'RouteFault';

  constructor(
    readonly reason: LossReason,
    message: string,
  ) {
    super(message);
  }
}

export function bytesItem(bytes: Buffer, source: string | undefined): RouteItem {
  return { bytes: bytes.length, source, load: () => Promise.resolve(bytes), settled: () => undefined };
}
