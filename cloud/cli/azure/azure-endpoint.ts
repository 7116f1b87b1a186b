/** An online endpoint of Azure ML v2, as far as it means something here. Pure. */
import type { EndpointBody } from '#cloud/http/schemas/endpoints.js';
import { AzureFields, type AzureIdentity, type FieldNote, identityFields } from './azure-fields.js';

export interface AzureEndpoint extends AzureIdentity {
  readonly auth: EndpointBody['auth'];
  /** Absent: as it is. */
  readonly traffic?: Readonly<Record<string, number>>;
  /** Absent: as it is; null: none. */
  readonly mirror?: { readonly deployment: string; readonly percent: number } | null;
  readonly notes: readonly FieldNote[];
}

const known = [...identityFields, 'auth_mode', 'traffic', 'mirror_traffic'];
const meaningless = {
  compute: 'the service host of this control plane runs what is behind an endpoint',
  identity: 'replicas have no identity in a cloud',
  public_network_access: 'services.host of the configuration says from where it is reached',
  properties: 'kept nowhere; tags are',
  type: 'replicas are processes of the service host',
  kind: 'every endpoint here is an online one',
  location: 'it runs where this control plane does',
  id: 'ids are given here',
};

/** @throws AppError `request.invalid`, naming the field */
export function readAzureEndpoint(value: unknown, where: string): AzureEndpoint {
  const fields = AzureFields.of(value, where, known, meaningless);
  const traffic = fields.shares('traffic');
  const mirror = mirrorOf(fields);
  return {
    ...{ ...fields.identity('endpoint'), auth: authOf(fields), notes: fields.notes },
    ...(traffic === undefined ? {} : { traffic }),
    ...(mirror === undefined ? {} : { mirror }),
  };
}

function authOf(fields: AzureFields): AzureEndpoint['auth'] {
  const mode = (fields.text('auth_mode') ?? 'key').toLowerCase();
  if (mode === 'key') return 'key';
  if (mode === 'aml_token' || mode === 'aad_token' || mode === 'amltoken' || mode === 'aadtoken') {
    fields.note('auth_mode', 'tokens are of this control plane: flotilla endpoint token makes one');
    return 'token';
  }
  throw fields.wrong('auth_mode', 'must be key, aml_token or aad_token');
}

function mirrorOf(fields: AzureFields): AzureEndpoint['mirror'] {
  const shares = fields.shares('mirror_traffic');
  if (shares === undefined) return undefined;
  const given = Object.entries(shares).filter(([, percent]) => percent > 0);
  if (given.length > 1) throw fields.wrong('mirror_traffic', 'names several deployments: one gets copies');
  const [first] = given;
  if (first === undefined) return null;
  const [deployment, percent] = first;
  if (percent > 50) throw fields.wrong(`mirror_traffic.${deployment}`, 'is more than 50 percent');
  return { deployment, percent };
}
