import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { collectRuleSchema } from '#shared/protocol/collect.js';
import { type Desired, restartPolicySchema } from '#shared/protocol/desired.js';
import { emptyReportedState } from '#shared/protocol/reported.js';
import { CollectionTwin } from '#cloud/fleet/collection-twin.js';
import { openStoredDesired } from '#cloud/fleet/desired-envelope.js';
import { errorCodeOf } from '#test/support/agent/error-code.js';
import { addressOf, bytesOf, capabilities, FleetWorld } from '#test/support/fleet-world.js';

const d = addressOf('d');
const policy = restartPolicySchema.parse({});
const rule = collectRuleSchema.parse({ rate: 0.1, redact: ['iban'] });
let world: FleetWorld;
let collections: CollectionTwin;

beforeEach(async () => {
  world = await FleetWorld.open();
  await world.enrol('d');
  await world.addImage('digits', 1, [bytesOf(10, 1)]);
  await world.addImage('digits', 2, [bytesOf(10, 2)]);
  const { control: db, twin, clock } = world;
  collections = new CollectionTwin({ db, twin, clock, onCommitted: () => undefined });
});
afterEach(() => world.close());

const says = (features: string[]): Promise<unknown> =>
  world.devices.update(d, {
    reportedJson: JSON.stringify({ ...emptyReportedState, capabilities: { ...capabilities, features } }),
  });
const document = async (): Promise<Desired> => openStoredDesired((await world.twin.storedDesired(d)) ?? '');
const deploy = (image: string) => world.twin.deploy(d, 'digits', { image, settings: {}, policy });

describe('what a device is to collect', () => {
  it('is asked only of an agent that says that it can', async () => {
    await deploy('digits:1');
    expect(await errorCodeOf(collections.put(d, 'digits', rule))).toBe('device.unsupported');
    await says(['shadow']);
    expect(await errorCodeOf(collections.put(d, 'digits', rule))).toBe('device.unsupported');
    expect((await document()).modules['digits']).not.toHaveProperty('collect');
  });

  it('is a generation of its own, stays with the module whatever version comes, and ends when it is told', async () => {
    await says(['collect']);
    await collections.put(d, 'digits', rule);
    await deploy('digits:1');
    expect((await document()).modules['digits']).toMatchObject({ image: { version: 1 }, collect: rule });
    await deploy('digits:2');
    const { generation, modules } = await document();
    expect(modules['digits']).toMatchObject({ image: { version: 2 }, collect: rule });
    expect(await collections.end(d, 'digits')).toBe(generation + 1);
    expect((await document()).modules['digits']).not.toHaveProperty('collect');
    expect(await errorCodeOf(collections.end(d, 'digits'))).toBe('data.not-collected');
  });
});
