/**
 * Devices that answer commands as the agent does, by a journal of ids that outlives whatever befalls the control plane,
 * and control planes over one database that can be killed at any message.
 */
import { randomUUID } from 'node:crypto';
import type { CommandRequest, CommandResponse } from '#shared/protocol/commands.js';
import { parseTopic } from '#shared/protocol/topics.js';
import { CommandOffice, type CommandOrder } from '#cloud/commands/command-office.js';
import { CommandRepository } from '#cloud/commands/command-repository.js';
import { CommandRunner } from '#cloud/commands/command-runner.js';
import { CommandChannel } from '#cloud/fleet/command-channel.js';
import { Metrics } from '#cloud/http/metrics.js';
import { addressOf, FleetWorld, RecordingBroker, silent } from '#test/support/fleet-world.js';

type Outcome = CommandResponse['outcome'];
export type Does = (request: CommandRequest) => Outcome | 'silent';

export const pong: Outcome = { kind: 'done', result: { agentVersion: '0.1.0', uptimeSeconds: 7 } };

export class CommandFleet {
  readonly commands: CommandRepository;
  /** By device: ids of what it has done, in order, and what it answered. */
  readonly journals = new Map<string, Map<string, Outcome>>();
  /** How often each device carried something out. */
  readonly runs = new Map<string, number>();
  atWork = 0;
  mostAtWork = 0;
  does: Does = () => pong;
  private plane: { readonly runner: CommandRunner; readonly office: CommandOffice; dead: boolean } | undefined;

  private constructor(readonly world: FleetWorld) {
    this.commands = new CommandRepository(world.control);
  }

  static async open(): Promise<CommandFleet> {
    return new CommandFleet(await FleetWorld.open());
  }

  get runner(): CommandRunner {
    return this.current.runner;
  }

  get office(): CommandOffice {
    return this.current.office;
  }

  private get current(): NonNullable<CommandFleet['plane']> {
    if (this.plane === undefined) throw new Error('no control plane runs');
    return this.plane;
  }

  async close(): Promise<void> {
    await this.plane?.runner.stop();
    await this.world.close();
  }

  async addDevice(name: string, online = true): Promise<void> {
    await this.world.control
      .insertInto('devices')
      .values({
        ...{ workspace: 'w', name, sealingKey: '', tagsJson: '{}', enrolledAt: '2026-01-01T00:00:00.000Z' },
        ...{ presenceAt: null, presenceBootId: 0, desiredGeneration: 0, desiredEnvelope: null, desiredExpiresAt: null },
        ...{ reportedJson: '{}', reportedBootId: 0, reportedSequence: 0, reportedAt: null, retiredAt: null },
        ...{ online: online ? 1 : 0, factsVersion: 1 },
      })
      .execute();
  }

  /** It connects, or goes. */
  async presence(name: string, online: boolean): Promise<void> {
    const presenceAt = new Date(this.world.clock.nowMs).toISOString();
    await this.world.devices.update(addressOf(name), { online: online ? 1 : 0, presenceAt });
    this.world.live.deviceChanged(addressOf(name));
  }

  order(given: Partial<CommandOrder> = {}): CommandOrder {
    return {
      ...{ operation: 'restart', arguments: { module: 'digits' }, where: 'name ~ "d*"', concurrency: 50 },
      ...{ timeoutSeconds: 30, deadlineSeconds: 60, ...given },
    };
  }

  /**
   * A control plane over the same database, in the place of the one before.
   *
   * @param killedAt dies when it sends this message of its own: before, or after, the device has it
   */
  begin(killedAt?: { readonly message: number; readonly after: boolean }): void {
    const broker = new RecordingBroker();
    const { control: db, clock, live, signer } = this.world;
    const ignored = new Metrics().counter('ignored', 'ignored');
    const channel = new CommandChannel({ broker, director: signer, clock, ignored });
    const office = new CommandOffice({ db, channel, live, clock, newId: randomUUID, onChanged: () => runner.wake() });
    const runner = new CommandRunner({ commands: this.commands, channel, live, clock, logger: silent });
    const plane = { runner, office, dead: false };
    this.plane = plane;
    let sent = 0;
    broker.publish = async (topicText, payload) => {
      await new Promise((resolve) => setImmediate(resolve));
      if (plane.dead) throw new Error('killed');
      const dies = killedAt !== undefined && sent++ === killedAt.message;
      if (dies) plane.dead = true;
      if (dies && !killedAt.after) throw new Error('killed');
      await this.arrives(topicText, payload, (response) => {
        const topic = parseTopic(topicText);
        if (plane.dead || topic === undefined) return;
        channel.receive(topic, response.id, Buffer.from(JSON.stringify(response)));
      });
    };
    runner.start();
  }

  /** The process is gone: nothing that it had in memory is left. */
  async end(): Promise<void> {
    if (this.plane) this.plane.dead = true;
    await this.plane?.runner.stop();
  }

  get isDead(): boolean {
    return this.plane?.dead ?? false;
  }

  private async arrives(
    topicText: string,
    payload: Buffer,
    answer: (response: CommandResponse) => void,
  ): Promise<void> {
    const device = parseTopic(topicText)?.device ?? '';
    const row = await this.world.devices.find(addressOf(device));
    if (row?.online !== 1) return;
    const envelope = JSON.parse(payload.toString()) as { payload: string };
    const request = JSON.parse(Buffer.from(envelope.payload, 'base64').toString()) as CommandRequest;
    const journal = this.journals.get(device) ?? new Map<string, Outcome>();
    this.journals.set(device, journal);
    let outcome = journal.get(request.id);
    if (outcome === undefined) {
      const does = this.does(request);
      this.runs.set(device, (this.runs.get(device) ?? 0) + 1);
      if (does === 'silent') return;
      outcome = does;
      journal.set(request.id, does);
    }
    this.atWork += 1;
    this.mostAtWork = Math.max(this.mostAtWork, this.atWork);
    const response = { schema: 1 as const, id: request.id, outcome };
    setTimeout(() => {
      this.atWork -= 1;
      answer(response);
    }, 2);
  }
}
