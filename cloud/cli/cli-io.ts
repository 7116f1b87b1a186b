/** All that a command touches of the world, so that tests run commands in process. */
import type { Clock } from '#shared/kernel/clock.js';
import type { Random } from '#shared/kernel/ids.js';
import type { FlotillaClient } from '#cloud/client/flotilla-client.js';
import type { CliConfig } from './cli-config.js';
import type { SimulationCounts, SimulationOrder } from '#shared/protocol/simulation.js';
import type { SimulationEvents } from './simulation-processes.js';
import type { Target } from './context-file.js';
import type { TextSink } from './output.js';
import type { Terminal } from './screen/terminal-screen.js';
import type { ServeEvents, ServeRequest } from './serve-request.js';

export interface CliIo {
  readonly config: CliConfig;
  readonly stdout: TextSink;
  readonly stderr: TextSink;
  /** Read only by commands that were asked to, with `-`. */
  readonly stdin: AsyncIterable<Uint8Array>;
  /** Asks a person, without showing what they type; absent where nobody sits at a terminal. */
  readonly askSecret?: ((question: string) => Promise<string>) | undefined;
  /** Whether standard error is a terminal. */
  readonly isTty: boolean;
  /** Absent where standard output is none that can be painted. */
  readonly terminal?: Terminal | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly version: string;
  /** Aborts on the first Ctrl-C. */
  readonly signal: AbortSignal;
  openClient(target: Omit<Target, 'token' | 'pin'> & { readonly token: string | undefined }): FlotillaClient;
  /** The control plane daemon, given its own flags; `onReady` once it serves; ends when the signal aborts. */
  runCloud(args: readonly string[], onReady: (ready: CloudReady) => void): Promise<void>;
  /** A scoring host over local modules; ends when the signal aborts. */
  runServe(request: ServeRequest, events: ServeEvents): Promise<void>;
  /** What that request would serve, and how, as data. */
  describeServe(request: ServeRequest): Promise<object>;
  /** Processes of simulated devices; ends when the signal aborts, with what was counted. */
  runSimulation(
    orders: readonly SimulationOrder[],
    events: SimulationEvents,
    signal: AbortSignal,
  ): Promise<SimulationCounts>;
  /** The control plane's configuration as those flags make it, as text. */
  printCloudConfig(args: readonly string[]): Promise<string>;
}

/** What a started control plane tells the person who started it. */
export interface CloudReady {
  readonly version: string;
  /** Base URLs by what answers there; `http` is the operator API. */
  readonly addresses: Readonly<Record<string, string>> & { readonly http: string };
  /** SHA-256 of the authority of its certificates, hex. */
  readonly authority: string;
  /** At the first start of a data folder only; stored nowhere. */
  readonly ownerToken: string | undefined;
  /** Where it was written instead, where the settings say so. */
  readonly ownerTokenFile?: string;
}
