import { afterAll, beforeAll, describe } from 'vitest';
import { apiAttacks } from './api-attacks.js';
import { brokerAttacks } from './broker-attacks.js';
import { canaries } from './canary.js';
import { AttackSite } from './site.js';

describe('attacks on an installation as it comes', () => {
  let site: AttackSite;
  beforeAll(async () => {
    site = await AttackSite.open('embedded');
  });
  afterAll(() => site.close());

  brokerAttacks('embedded', () => site);
  apiAttacks(() => site);
  canaries(() => site);
});
