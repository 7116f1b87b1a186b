/** What `flotilla-agent check` looks at: each a question about the machine, answered by judge.ts. */
import { X509Certificate } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { stat, statfs } from 'node:fs/promises';
import { request } from 'node:http';
import { isIP } from 'node:net';
import type { Clock } from '#shared/kernel/clock.js';
import { errno, writeFileAtomic } from '#shared/platform/atomic-file.js';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DeviceTrust } from '#agent/identity/device-trust.js';
import type { Identity } from '#agent/identity/identity.js';
import type { ProxySettings } from '#agent/link/proxy-choice.js';
import { secureConnect } from '#agent/link/secure-connect.js';
import type { StatusView } from '#agent/local/explanation.js';
import type { StateFolder } from '#agent/store/state-folder.js';
import { controlPlaneServerName } from '#shared/protocol/enrolment.js';
import type { Check, Finding } from './finding.js';
import { judgeCertificate, judgeClock, judgeDisk, judgeMode } from './judge.js';

export interface CheckSubject {
  readonly folder: StateFolder;
  readonly reserveBytes: number;
  readonly identity: Identity | undefined;
  /** Of the identity's file before it was read, which closes it to others. */
  readonly identityMode: number | undefined;
  readonly trust: DeviceTrust | undefined;
  /** The latest signed time on disk, milliseconds since the epoch. */
  readonly signedAtMs: number | undefined;
  /** Of the running agent; undefined when none answers. */
  readonly status: StatusView | undefined;
  readonly proxy: ProxySettings;
  readonly clock: Clock;
}

const networkTimeoutMs = 8_000;
const notEnrolled: Finding = {
  outcome: 'error',
  message: 'this machine is not enrolled',
  remedy: 'get a token with "flotilla device token", then "flotilla-agent enroll"',
};
const enrolFirst: Finding = { outcome: 'skipped', message: 'needs an identity' };

export function deviceChecks(subject: CheckSubject): Check[] {
  return [
    { name: 'state folder', run: () => checkFolder(subject) },
    { name: 'identity', run: async () => checkIdentity(subject) },
    { name: 'certificate', run: async () => checkCertificate(subject) },
    { name: 'disk', run: () => checkDisk(subject) },
    { name: 'clock', run: (signal) => checkClock(subject, signal) },
    { name: 'name of the gateway', run: () => checkName(subject.identity?.gateway) },
    { name: 'name of the broker', run: () => checkName(subject.identity?.broker.url) },
    { name: 'TLS of the gateway', run: (signal) => checkTls(subject, 'gateway', signal) },
    { name: 'TLS of the broker', run: (signal) => checkTls(subject, 'broker', signal) },
    { name: 'agent', run: async () => checkAgent(subject) },
    { name: 'scoring', run: (signal) => checkScoring(subject, signal) },
  ];
}

async function checkFolder({ folder }: CheckSubject): Promise<Finding> {
  try {
    const { mode } = await stat(folder.root);
    const judged = judgeMode(folder.root, mode);
    if (judged.outcome === 'error') return judged;
    const probe = join(folder.root, 'check.probe');
    await writeFileAtomic(probe, 'x');
    await rm(probe, { force: true });
    return { outcome: 'ok', message: `${folder.root} can be written, and is for its owner alone` };
  } catch (error) {
    if (errno(error) === 'ENOENT') {
      return { ...notEnrolled, message: `there is no ${folder.root}` };
    }
    if (errno(error) === 'EACCES') {
      return {
        outcome: 'error',
        message: `this user may not write in ${folder.root}`,
        remedy: 'ask as the user that the agent runs as (root, where it was installed)',
      };
    }
    throw error;
  }
}

function checkIdentity({ folder, identity, identityMode }: CheckSubject): Finding {
  if (identity === undefined || identityMode === undefined) return notEnrolled;
  const judged = judgeMode(folder.identity, identityMode);
  return judged.outcome === 'ok'
    ? { outcome: 'ok', message: `${identity.workspace}/${identity.device}, enrolled ${identity.enrolledAt}` }
    : judged;
}

function checkCertificate({ identity, signedAtMs, clock }: CheckSubject): Finding {
  if (identity === undefined) return enrolFirst;
  const { validTo } = new X509Certificate(identity.certificate);
  return judgeCertificate(Date.parse(validTo), Math.max(clock.now(), signedAtMs ?? 0));
}

async function checkDisk({ folder, reserveBytes }: CheckSubject): Promise<Finding> {
  const { bavail, bsize, ffree, files } = await statfs(folder.root);
  if (files > 0 && ffree === 0) {
    return { outcome: 'error', message: 'no file can be made: no inode is free', remedy: 'remove files' };
  }
  return judgeDisk(bavail * bsize, reserveBytes);
}

/** By what the gateway tells where it can be asked, else by the last signed time. */
async function checkClock(subject: CheckSubject, signal: AbortSignal): Promise<Finding> {
  const { clock, signedAtMs } = subject;
  const told = await gatewayTime(subject, signal).catch(() => undefined);
  if (told !== undefined) return judgeClock(clock.now(), told, true);
  if (signedAtMs === undefined) return { outcome: 'skipped', message: 'nothing to compare with yet' };
  return judgeClock(clock.now(), signedAtMs, false);
}

async function gatewayTime(subject: CheckSubject, signal: AbortSignal): Promise<number | undefined> {
  const { identity } = subject;
  if (identity === undefined) return undefined;
  const socket = await connectTo(subject, new URL(identity.gateway), 443, controlPlaneServerName);
  return new Promise((resolve, reject) => {
    const sent = request(
      { method: 'HEAD', path: '/', headers: { host: controlPlaneServerName }, signal, createConnection: () => socket },
      (response) => {
        response.resume();
        const at = Date.parse(response.headers.date ?? '');
        resolve(Number.isNaN(at) ? undefined : at);
        socket.destroy();
      },
    );
    sent.on('error', reject);
    sent.end();
  });
}

async function checkName(url: string | undefined): Promise<Finding> {
  if (url === undefined) return enrolFirst;
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
  if (isIP(host) !== 0) return { outcome: 'ok', message: `${host} is an address, no name to look up` };
  try {
    const found = await lookup(host, { all: true });
    return { outcome: 'ok', message: `${host} is ${found.map(({ address }) => address).join(', ')}` };
  } catch {
    return {
      outcome: 'error',
      message: `${host} cannot be looked up`,
      remedy: 'see that this machine has a name server (/etc/resolv.conf), and that the name is right',
    };
  }
}

async function checkTls(subject: CheckSubject, which: 'gateway' | 'broker', signal: AbortSignal): Promise<Finding> {
  const { identity } = subject;
  if (identity === undefined) return enrolFirst;
  const url = new URL(which === 'gateway' ? identity.gateway : identity.broker.url);
  const name = which === 'gateway' ? controlPlaneServerName : identity.broker.serverName;
  try {
    const socket = await connectTo(subject, url, url.protocol === 'mqtts:' ? 8883 : 443, name);
    signal.throwIfAborted();
    const { protocol } = { protocol: socket.getProtocol() };
    socket.destroy();
    return {
      outcome: 'ok',
      message: `${url.host} speaks ${protocol ?? 'TLS'} with a certificate that this device trusts`,
    };
  } catch (error) {
    return {
      outcome: 'error',
      message: error instanceof Error ? error.message : String(error),
      remedy: `see that ${url.host} is reached from here (firewall, proxy), and that it is this device's control plane`,
    };
  }
}

function connectTo({ identity, trust, proxy, signedAtMs }: CheckSubject, url: URL, port: number, name: string) {
  const authorities = trust?.authorities ?? [];
  const own = url.href === identity?.broker.url ? identity.broker.authority : undefined;
  return secureConnect(
    {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? port : Number(url.port),
      expected: {
        authorities: own === undefined ? authorities : [own],
        name,
        trustedNow: signedAtMs ?? Number.NEGATIVE_INFINITY,
      },
      ...(identity === undefined ? {} : { client: identity }),
    },
    proxy,
    { timeoutMs: networkTimeoutMs },
  );
}

function checkAgent({ status }: CheckSubject): Finding {
  if (status === undefined) {
    return { outcome: 'warning', message: 'no agent runs here', remedy: 'start it: flotilla-agent run' };
  }
  const { link, reported } = status;
  if (!link.connected) {
    return {
      outcome: 'error',
      message: `the agent has no connection: ${link.problem ?? 'it is trying'}`,
      remedy: 'the checks of names and TLS say how far it comes; it tries again by itself',
    };
  }
  return reported.converged
    ? { outcome: 'ok', message: 'the agent is connected and runs what is desired' }
    : {
        outcome: 'warning',
        message: 'the agent is connected and does not run what is desired yet',
        remedy: 'flotilla-agent explain',
      };
}

async function checkScoring({ status }: CheckSubject, signal: AbortSignal): Promise<Finding> {
  const scoring = status?.reported.scoring;
  if (scoring === undefined) return { outcome: 'skipped', message: 'no agent runs here' };
  const host = scoring.address === '0.0.0.0' ? '127.0.0.1' : scoring.address === '::' ? '::1' : scoring.address;
  const where = `${host}:${String(scoring.port)}`;
  if (Object.keys(status?.reported.modules ?? {}).length === 0) {
    return { outcome: 'skipped', message: 'no module is deployed' };
  }
  return new Promise((resolve, reject) => {
    const sent = request({ host, port: scoring.port, path: '/v2/health/ready', signal, agent: false }, (response) => {
      response.resume();
      const { statusCode } = response;
      resolve(
        statusCode === 200
          ? { outcome: 'ok', message: `${where} is ready` }
          : {
              outcome: 'error',
              message: `${where} answers ${String(statusCode)}`,
              remedy: 'flotilla-agent explain tells what the modules wait for',
            },
      );
    });
    sent.on('error', reject);
    sent.end();
  });
}
