import { afterAll, beforeAll, describe } from 'vitest';
import { addressAttacks } from './address-attacks.js';
import { apiAttacks } from './api-attacks.js';
import { brokerAttacks } from './broker-attacks.js';
import { canaries } from './canary.js';
import { deviceAttacks } from './device-attacks.js';
import { directorAttacks } from './director-attacks.js';
import { keyAttacks } from './key-attacks.js';
import { AttackSite } from './site.js';

describe('attacks on an installation as it comes', () => {
  let site: AttackSite;
  beforeAll(async () => {
    site = await AttackSite.open('embedded');
  });
  afterAll(() => site.close());

  brokerAttacks('embedded', () => site);
  apiAttacks(() => site);
  keyAttacks(() => site);
  deviceAttacks(() => site);
  addressAttacks(() => site);
  canaries(() => site);
  // The last: it ends the control plane.
  directorAttacks(() => site);
});
