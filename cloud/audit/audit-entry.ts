/** What the audit log says of one change: who, what, on what, from where, and how it ended. */
export type ActorKind = 'token' | 'oidc' | 'device' | 'system';

export interface Actor {
  readonly kind: ActorKind;
  /** A token's id, an OIDC subject, `workspace/device`, a part of the control plane. */
  readonly id: string;
  readonly name?: string | undefined;
}

/**
 * `refused`: the control plane said no, nothing changed. `failed`: it tried, and something broke. `interrupted`: the
 * control plane ended before it had answered, so that the change may have happened or not.
 */
export type AuditOutcome = 'done' | 'refused' | 'failed' | 'interrupted';

export type AuditDetails = Readonly<Record<string, string | number | boolean | null>>;

export interface AuditEvent {
  /** Null: it concerns the whole installation. */
  readonly workspace: string | null;
  readonly actor: Actor;
  /** The address that it came from; undefined for what the control plane does by itself. */
  readonly from: string | undefined;
  /** `device.enrolled`, or method and route pattern of a call of the API. */
  readonly action: string;
  readonly target: string;
  /** Never a secret. */
  readonly details?: AuditDetails | undefined;
  readonly outcome: AuditOutcome;
}

/** As it is stored, and as its hash covers it. */
export interface AuditRow {
  readonly sequence: number;
  readonly at: string;
  readonly workspace: string | null;
  readonly actorKind: ActorKind;
  readonly actorId: string;
  readonly actorName: string | null;
  readonly origin: string | null;
  readonly action: string;
  readonly target: string;
  readonly outcome: AuditOutcome;
  readonly detailsJson: string;
  /** Hash of the row before, hex; empty for the first. */
  readonly previousHash: string;
  readonly hash: string;
}
