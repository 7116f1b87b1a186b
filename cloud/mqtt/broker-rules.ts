/** The rules of `broker-access.ts` in aedes: who may connect, and what each may publish and subscribe. */
import type { Aedes, AuthenticateError, Client } from 'aedes';
import { messageOf } from '#shared/kernel/errors.js';
import type { Logger } from '#shared/platform/logger.js';
import { TokenBuckets } from '#cloud/gateway/token-bucket.js';
import { type ConnectClaim, type Identity, mayPublish, maySubscribe, type RefusalReason } from './broker-access.js';
import type { BrokerAuthenticator } from './broker-authenticator.js';
import type { ClientCertificate } from './client-certificate.js';

export interface RulesOptions {
  readonly authenticator: BrokerAuthenticator;
  /** Accepted connections of one client: two that take over from each other must not keep the broker busy. */
  readonly takeovers: { readonly burst: number; readonly perSecond: number };
  /** Milliseconds, monotonic. */
  readonly now: () => number;
  readonly logger: Logger;
}

/** What the agent subscribes to is a handful; topics of commands that never were must not fill our memory. */
const maxFiltersPerClient = 64;

const returnCodes = { identifier: 2, unavailable: 3, credentials: 4, 'not-authorized': 5 } as const satisfies Record<
  RefusalReason,
  number
>;

interface Connection {
  readonly certificate: ClientCertificate;
  readonly onAccepted: () => void;
  /** Every filter that it was ever granted. */
  readonly filters: Set<string>;
  connect?: Omit<ConnectClaim, 'certificateName'>;
  identity?: Identity;
}

export class BrokerRules {
  /** By client id. */
  readonly sessions = new Map<string, Client>();
  private readonly connections = new WeakMap<Client, Connection>();
  private readonly connects: TokenBuckets;

  constructor(
    private readonly aedes: Aedes,
    private readonly options: RulesOptions,
  ) {
    this.connects = new TokenBuckets({ ...options.takeovers, maxAddresses: 50_000 });
    this.install();
  }

  /** Called in the same turn in which aedes got the client: before anything of it was read. */
  admit(client: Client, certificate: ClientCertificate, onAccepted: () => void): void {
    this.connections.set(client, { certificate, onAccepted, filters: new Set() });
  }

  fingerprintOf(client: Client): string | undefined {
    return this.connections.get(client)?.certificate.fingerprint;
  }

  private install(): void {
    const { aedes } = this;
    const { logger } = this.options;
    aedes.preConnect = (client, packet, done) => {
      const connection = this.connections.get(client);
      const { clientId, username, clean, will } = packet;
      if (connection) {
        connection.connect = {
          clientId,
          userName: username,
          clean: clean ?? false,
          will: will && {
            topic: will.topic,
            retain: will.retain ?? false,
            qos: will.qos ?? 0,
            bytes: will.payload.length,
          },
        };
      }
      done(null, connection !== undefined);
    };
    aedes.authenticate = (client, _userName, _password, done) => {
      this.judge(client).then(
        (refused) => {
          if (refused === undefined) done(null, true);
          else done(refusal(refused), false);
        },
        (error: unknown) => {
          logger.error({ err: error }, 'cannot judge a connection');
          done(refusal('unavailable'), false);
        },
      );
    };
    aedes.authorizePublish = (client, packet, done) => {
      const identity = client ? this.connections.get(client)?.identity : undefined;
      const message = { ...packet, bytes: packet.payload.length };
      if (identity && mayPublish(identity, message)) {
        done(null);
        return;
      }
      logger.warn({ clientId: client?.id, topic: packet.topic }, 'publish refused');
      done(new Error('not authorised to publish this'));
    };
    aedes.authorizeSubscribe = (client, subscription, done) => {
      if (this.maySubscribe(client, subscription.topic)) {
        done(null, subscription);
        return;
      }
      logger.warn({ clientId: client.id, filter: subscription.topic }, 'subscription refused');
      done(null, null);
    };
    aedes.on('client', (client) => {
      this.sessions.set(client.id, client);
      void this.judgeAgain(client);
    });
    aedes.on('clientDisconnect', (client) => {
      if (this.sessions.get(client.id) === client) this.sessions.delete(client.id);
    });
    aedes.on('clientError', (client, error) => {
      logger.debug({ clientId: client.id, reason: error.message }, 'connection ended');
    });
    aedes.on('connectionError', (_client, error) => {
      logger.debug({ reason: error.message }, 'connection ended before it was accepted');
    });
  }

  private async judge(client: Client): Promise<RefusalReason | undefined> {
    const connection = this.connections.get(client);
    if (connection?.connect === undefined) return 'unavailable';
    const { certificate, connect } = connection;
    const answer = await this.options.authenticator.authenticate(certificate, connect);
    let refused = answer.kind === 'refused' ? answer.reason : undefined;
    // Only whom we know is counted: a stranger with a device's name must not use its connections up.
    if (answer.kind === 'accepted' && this.connects.take(connect.clientId, this.options.now()) > 0) {
      refused = 'unavailable';
    }
    if (refused !== undefined) {
      this.options.logger.info(
        { client: certificate.name, clientId: connect.clientId, reason: refused },
        'connection refused',
      );
      return refused;
    }
    if (answer.kind === 'accepted') connection.identity = answer.identity;
    connection.onAccepted();
    return undefined;
  }

  /** It may have been revoked while it was let in, when there was no session to end yet. */
  private async judgeAgain(client: Client): Promise<void> {
    const connection = this.connections.get(client);
    if (connection?.identity === undefined) return;
    try {
      const { authenticator } = this.options;
      if (await authenticator.stillAccepts(connection.identity, connection.certificate.fingerprint)) return;
    } catch (error) {
      this.options.logger.error({ reason: messageOf(error) }, 'cannot judge a connection');
    }
    client.close();
  }

  private maySubscribe(client: Client, filter: string): boolean {
    const connection = this.connections.get(client);
    if (connection?.identity === undefined || !maySubscribe(connection.identity, filter)) return false;
    const { filters } = connection;
    if (filters.size < maxFiltersPerClient) filters.add(filter);
    return filters.has(filter);
  }
}

function refusal(reason: RefusalReason): AuthenticateError {
  return Object.assign(new Error(), { returnCode: returnCodes[reason] });
}
