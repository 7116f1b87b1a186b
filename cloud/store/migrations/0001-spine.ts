import type { Kysely } from 'kysely';
import { sql } from 'kysely';

export async function up(db: Kysely<unknown>): Promise<void> {
  const statements = [
    sql`create table workspaces (name text primary key, createdAt text not null)`,
    sql`create table tokens (
      id text primary key, workspace text, role text not null, secretHash text not null unique, createdAt text not null)`,
    sql`create table blobs (
      workspace text not null references workspaces(name), digest text not null, size integer not null, createdAt text not null,
      primary key (workspace, digest))`,
    sql`create index blobsByDigest on blobs (digest)`,
    sql`create table models (
      workspace text not null references workspaces(name), name text not null, version integer not null,
      description text not null, tagsJson text not null, propertiesJson text not null, signatureJson text not null,
      size integer not null, createdAt text not null, deletedAt text,
      primary key (workspace, name, version))`,
    sql`create index modelsByAge on models (workspace, createdAt)`,
    sql`create table modelFiles (
      workspace text not null, name text not null, version integer not null, position integer not null,
      path text not null, digest text not null, size integer not null,
      primary key (workspace, name, version, position),
      foreign key (workspace, name, version) references models(workspace, name, version))`,
    sql`create index modelFilesByDigest on modelFiles (workspace, digest)`,
    sql`create table images (
      workspace text not null references workspaces(name), name text not null, version integer not null,
      digest text not null, manifestSize integer not null, flavor text not null,
      signatureDigest text not null, signatureSize integer not null, keyIdsJson text not null,
      tagsJson text not null, size integer not null, createdAt text not null, deletedAt text,
      primary key (workspace, name, version))`,
    sql`create unique index imagesByDigest on images (workspace, digest)`,
    sql`create table imageBlobs (
      workspace text not null, imageDigest text not null, digest text not null, mediaType text not null,
      path text not null, size integer not null, position integer not null,
      primary key (workspace, imageDigest, position))`,
    sql`create index imageBlobsByDigest on imageBlobs (workspace, digest)`,
    sql`create table activities (
      id text primary key, workspace text not null references workspaces(name), kind text not null, state text not null,
      subject text not null, inputJson text not null, resource text, problemJson text,
      cancelRequested integer not null default 0, createdAt text not null, startedAt text, endedAt text)`,
    sql`create index activitiesByWorkspace on activities (workspace, createdAt)`,
    sql`create index activitiesByState on activities (state, createdAt)`,
    sql`create table activityLog (
      id integer primary key, activity text not null references activities(id), at text not null, text text not null)`,
    sql`create index activityLogByActivity on activityLog (activity, id)`,
    sql`create table enrolmentTokens (
      secretHash text primary key, workspace text not null references workspaces(name), tagsJson text not null,
      createdAt text not null, expiresAt text not null, usedAt text, usedBy text)`,
    sql`create table devices (
      workspace text not null references workspaces(name), name text not null, secretHash text not null,
      tagsJson text not null, enrolledAt text not null, retiredAt text,
      online integer not null default 0, presenceAt text, presenceBootId integer not null default 0,
      desiredGeneration integer not null default 0, desiredEnvelope text, desiredExpiresAt text,
      reportedJson text not null, reportedBootId integer not null default 0, reportedSequence integer not null default 0,
      reportedAt text,
      primary key (workspace, name))`,
    sql`create table deployments (
      id text primary key, workspace text not null, kind text not null, device text not null, module text not null,
      imageDigest text not null, settingsJson text not null, policyJson text not null,
      generation integer not null, removedGeneration integer, createdAt text not null,
      foreign key (workspace, device) references devices(workspace, name))`,
    sql`create unique index currentDeployments on deployments (workspace, device, module) where removedGeneration is null`,
    sql`create index deploymentsByImage on deployments (workspace, imageDigest)`,
    sql`create table outbox (
      id integer primary key, workspace text not null, topic text not null, payload text not null,
      qos integer not null, retain integer not null, createdAt text not null)`,
  ];
  for (const statement of statements) await statement.execute(db);
}
