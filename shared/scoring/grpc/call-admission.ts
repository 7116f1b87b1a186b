/** Who may not call is told so before a message is read. */
import {
  Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  ServerListenerBuilder,
} from '@grpc/grpc-js';
import { AppError } from '#shared/kernel/errors.js';
import type { AccessGate } from '../access/access-gate.js';
import { type GrpcFailure, grpcFailureOf } from './grpc-status.js';

/** Of services and methods, those that say whether we live. */
const health = /\/(?:ServerLive|ServerReady|Check)$/;

export function callAdmission(gate: AccessGate): ServerInterceptor {
  return ({ path }, next) => {
    const call: ServerInterceptingCallInterface = next;
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, admit) => {
        const refusal = refusalOf(gate, metadata, call.getHost(), path);
        if (refusal === undefined) admit(metadata);
        else call.sendStatus({ ...refusal, metadata: new Metadata() });
      })
      .build();
    return new ServerInterceptingCall(next, { start: (start) => start(listener) });
  };
}

/** @param path of the method, with its service */
export function refusalOf(gate: AccessGate, metadata: Metadata, host: string, path: string): GrpcFailure | undefined {
  const field = (name: string): string | undefined => {
    const [value] = metadata.get(name);
    return typeof value === 'string' ? value : undefined;
  };
  const headers = { host, origin: field('origin'), 'sec-fetch-site': field('sec-fetch-site') };
  if (gate.admitsAtOnce(headers)) return undefined;
  const verdict = gate.judge(
    {
      host,
      origin: headers.origin,
      fetchSite: headers['sec-fetch-site'],
      isPreflight: false,
      isHealth: health.test(path),
    },
    field('authorization'),
  );
  if (verdict.kind !== 'refused') {
    gate.remember(host);
    return undefined;
  }
  return grpcFailureOf(new AppError(verdict.code, verdict.message));
}
