/**
 * A control database as it is after a year with so many devices: rows are written by SQL, as enrolment, reports, rollouts
 * and commands would in hours. What has ended is what there is: nothing in it is carried on when a control plane starts.
 */
import { sql } from 'kysely';
import { restartPolicySchema } from '#shared/protocol/desired.js';
import { emptyReportedState } from '#shared/protocol/reported.js';
import { rolloutPolicySchema } from '#cloud/rollout/policy.js';
import type { ControlStore } from '#cloud/store/control-database.js';
import { parseQuery } from '#cloud/fleet/query/parse-query.js';
import { capabilities } from './fleet-world.js';

const at = '2026-01-01T00:00:00.000Z';

export interface ManyDevices {
  readonly devices: number;
  /** Rollouts over all of them that are over, and commands. */
  readonly rollouts: number;
  readonly commands: number;
}

/** d00000, d00001 … in the workspace `default`, every tenth of them away, every hundredth retired. */
export async function fillWithDevices(db: ControlStore, { devices, rollouts, commands }: ManyDevices): Promise<void> {
  const n = sql`with recursive n(i) as (select 0 union all select i + 1 from n where i < ${devices - 1})`;
  const name = sql`printf('d%05d', i)`;
  const digest = `sha256:${'0'.repeat(64)}`;
  const restart = JSON.stringify(restartPolicySchema.parse({}));
  const module = { active: { digest, version: 1, state: 'running' } };
  const reported = { ...emptyReportedState, generation: 1, converged: true, capabilities };
  const reportedJson = JSON.stringify({ ...reported, modules: { detector: module }, padding: ' '.repeat(3_000) });
  const policy = JSON.stringify(rolloutPolicySchema.parse({ waves: [{ percent: 1 }, { percent: 100 }] }));
  const state = { state: 'succeeded', wave: 1, waves: 2, waveStartedAt: 0, approvedBefore: 0, countedFrom: 0 };
  const where = 'name ~ "d*"';
  const queryJson = JSON.stringify(parseQuery(where));
  const rule = {
    name: 'slow',
    severity: 'warning',
    notify: [],
    atLeast: 1,
    over: '5m',
    for: '0s',
    metric: 'cpu',
    above: 2,
  };
  // Seen in days to come: it goes on firing, though nothing is told.
  const firing = JSON.stringify({ state: 'firing', sinceMs: 1, seenMs: 4e12, value: 1, incident: 'i' });
  const hash = '0'.repeat(64);
  const statements = [
    sql`insert or ignore into workspaces values ('default', ${at})`,
    sql`insert into images (workspace, name, version, digest, manifestSize, flavor, signatureDigest, signatureSize,
        keyIdsJson, tagsJson, size, createdAt)
      values ('default', 'detector', 1, ${digest}, 1, 'onnx', ${digest}, 1, '[]', '{}', 1, ${at})`,
    // A row is some kilobytes, by its documents: what need not read it must not.
    sql`insert into devices (workspace, name, sealingKey, tagsJson, enrolledAt, retiredAt, online, presenceAt,
        desiredGeneration, desiredEnvelope, desiredExpiresAt, reportedJson, convergedGeneration, desiredRelease, factsVersion)
      ${n} select 'default', ${name}, '', printf('{"site":"s%d","line":"%d"}', i % 50, i % 7), ${at},
        iif(i % 100 = 7, ${at}, null), i % 10 <> 3, ${at}, 1, null, null,
        ${reportedJson}, 1, 'vision:1', 1 from n`,
    sql`insert into deviceFacts ${n} select 'default', ${name}, 'tags.site', printf('s%d', i % 50), null from n`,
    sql`insert into deviceFacts ${n} select 'default', ${name}, 'tags.line', printf('%d', i % 7), i % 7 from n`,
    sql`insert into deviceFacts ${n} select 'default', ${name}, 'capabilities.cpus', null, 2 + i % 3 from n`,
    sql`insert into deviceFacts ${n} select 'default', ${name}, 'capabilities.platform', 'linux-x64', null from n`,
    sql`insert into deviceFacts ${n} select 'default', ${name}, 'modules.detector.version', null, 1 from n`,
    sql`insert into deployments (id, workspace, kind, device, module, imageDigest, settingsJson, policyJson, updateJson,
        generation, createdAt)
      ${n} select printf('p%d', i), 'default', 'iot-module', ${name}, 'detector', ${digest}, '{}',
        ${restart}, '{}', 1, ${at} from n`,
    sql`insert into fleets values ('default', 'all', '', ${where}, ${queryJson}, ${at}, ${at})`,
    sql`insert into auditEntries ${n} select i + 1, ${at}, iif(i % 2, 'default', null), 'token', printf('t%d', i % 9),
        null, null, 'device.tag', 'd', 'done', '{}', ${hash}, ${hash} from n`,
    sql`insert into alertRules values ('default', 'slow', ${JSON.stringify(rule)}, ${at}, ${at})`,
    sql`insert into alertStates ${n} select 'default', 'slow', ${name}, 1, ${firing} from n`,
  ];
  for (let number = 1; number <= rollouts; number++) {
    statements.push(
      sql`insert into rollouts values ('default', ${number}, 'vision:1', 'all', ${queryJson}, ${policy}, 'succeeded',
        ${JSON.stringify({ ...state, id: String(number) })}, 1, ${at}, 'somebody', ${at}, ${at})`,
      sql`insert into rolloutDevices (workspace, rollout, device, wave, standing, attempts, generation, askedRelease,
          assignedAt, endedAt, claimed, previousJson)
        ${n} select 'default', ${number}, ${name}, i % 100 > 0, iif(i % 200, 'succeeded', 'failed'), 1, 1, 'vision:1',
          1, 2, 0, printf('{"release":"","modules":[],"padding":"%300s"}', ' ') from n`,
      sql`insert into rolloutHistory (workspace, rollout, at, kind, device, text)
        ${n} select 'default', ${number}, ${at}, 'assigned', ${name}, 'vision:1' from n`,
    );
  }
  for (let number = 1; number <= commands; number++) {
    statements.push(
      sql`insert into commandJobs values ('default', ${number}, 'ping', '{}', 'all', ${where}, 50, 1000, 1, 'n', 'done',
        ${devices}, 0, null, ${at}, 'somebody', ${at})`,
      sql`insert into commandJobDevices ${n} select 'default', ${number}, ${name}, iif(i % 50, 'done', 'failed'),
        1, null, 2, '{"ok":true}', null from n`,
    );
  }
  await db.transaction().execute(async (transaction) => {
    for (const statement of statements) await statement.execute(transaction);
    await transaction.updateTable('auditChain').set({ headSequence: devices, headHash: hash }).execute();
  });
}

/** Everything in the API that lists or counts, beneath a workspace; `device` is one of those. */
export function listsOf(device: string): readonly (readonly [what: string, path: string])[] {
  const by = (where: string): string => encodeURIComponent(where);
  return [
    ['devices', '/devices'],
    ['devices, from one on', `/devices?cursor=${device}`],
    ['devices by a tag', `/devices?where=${by('site = "s3"')}`],
    ['devices by a tag, from one on', `/devices?cursor=${device}&where=${by('site = "s3"')}`],
    [
      'devices by tags or a number',
      `/devices?where=${by('line in (3, 4) and (capabilities.cpus > 3 or site = "s5")')}`,
    ],
    ['devices that are away', `/devices?where=${by('not online')}`],
    ['how many by a tag', `/device-count?where=${by('site = "s3"')}`],
    ['how many by what all have', `/device-count?where=${by('capabilities.cpus >= 2 and online')}`],
    ['how many do not run what they should', `/device-count?where=${by('not converged')}`],
    ['fleets', '/fleets'],
    ['a fleet, counted', '/fleets/all'],
    ['members of a fleet', '/fleets/all/members'],
    ['members of a fleet, from one on', `/fleets/all/members?cursor=${device}`],
    ['fleets of a device', `/devices/${device}/fleets`],
    ['rollouts', '/rollouts'],
    ['a rollout', '/rollouts/1'],
    ['history of a rollout', '/rollouts/1/history'],
    ['commands', '/commands'],
    ['a command', '/commands/1'],
    ['devices of a command', '/commands/1/devices'],
    ['devices of a command, from one on', `/commands/1/devices?cursor=${cursorOf(device)}`],
    ['devices of a command by standing', '/commands/1/devices?standing=failed'],
    ['alerts', '/alerts'],
    ['rules of alerts', '/alert-rules'],
    ['the audit log', '/audit'],
    ['the audit log of somebody', '/audit?actor=t3'],
    ['the audit log of nobody', '/audit?actor=nobody'],
    ['the audit log by action', '/audit?action=device.tag'],
    ['images', '/images'],
    ['models', '/models'],
    ['releases', '/releases'],
    ['activities', '/activities'],
    ['tokens', '/tokens'],
    ['fleet claims', '/fleet-claims'],
    ['schedules', '/schedules'],
    ['schedules of rollouts', '/rollout-schedules'],
    ['freeze periods', '/freezes'],
    ['telemetry of a device', `/devices/${device}/telemetry`],
    ['events of a device', `/devices/${device}/events`],
  ];
}

function cursorOf(device: string): string {
  return Buffer.from(JSON.stringify([device])).toString('base64url');
}
