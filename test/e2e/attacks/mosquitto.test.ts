import { afterAll, beforeAll, describe } from 'vitest';
import { hasOutsideTools } from '../../support/outside-tool.js';
import { brokerAttacks } from './broker-attacks.js';
import { AttackSite } from './site.js';

describe.skipIf(!hasOutsideTools('mosquitto'))('attacks with Mosquitto as the broker', () => {
  let site: AttackSite;
  beforeAll(async () => {
    site = await AttackSite.open('mosquitto');
  });
  afterAll(() => site.close());

  brokerAttacks('mosquitto', () => site);
});
