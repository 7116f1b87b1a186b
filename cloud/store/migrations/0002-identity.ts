import type { Kysely } from 'kysely';
import { sql } from 'kysely';

/** Devices have certificates for keys of their own, and come by tokens with limits or by fleet claims. */
export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    // Passwords are gone: a device proves itself by its certificate.
    sql`alter table devices drop column secretHash`,
    sql`alter table devices add column sealingKey text not null default ''`,
    sql`create table deviceCertificates (
      workspace text not null, device text not null, serial text not null, fingerprint text not null unique,
      keyFingerprint text not null, authority text not null, certificate text not null,
      issuedAt text not null, notAfter text not null, revokedAt text, reason text,
      primary key (workspace, device, serial),
      foreign key (workspace, device) references devices(workspace, name))`,
    sql`create index deviceCertificatesRevoked on deviceCertificates (notAfter) where revokedAt is not null`,
    sql`alter table enrolmentTokens add column device text`,
    sql`alter table enrolmentTokens add column allowTagsJson text not null default '[]'`,
    sql`alter table enrolmentTokens add column replaces integer not null default 0`,
    sql`alter table enrolmentTokens add column usedKey text`,
    sql`create table fleetClaims (
      workspace text not null references workspaces(name), name text not null, secretHash text not null unique,
      tagsJson text not null, allowTagsJson text not null, nameTemplate text, maxDevices integer not null,
      approval integer not null, ratePerSecond real not null, hardwareListed integer not null,
      createdAt text not null, expiresAt text not null, revokedAt text,
      primary key (workspace, name))`,
    sql`create table claimHardware (
      workspace text not null, claim text not null, hardwareId text not null, keyFingerprint text,
      primary key (workspace, claim, hardwareId),
      foreign key (workspace, claim) references fleetClaims(workspace, name))`,
    sql`create table claimRequests (
      workspace text not null, claim text not null, keyFingerprint text not null, id text not null unique,
      device text not null, hardwareId text,
      state text not null, requestedAt text not null, decidedAt text, reason text,
      primary key (workspace, claim, keyFingerprint),
      foreign key (workspace, claim) references fleetClaims(workspace, name))`,
    sql`create index claimRequestsByState on claimRequests (workspace, claim, state)`,
  ];
  for (const statement of statements) await statement.execute(db);
}
