/** The limit of an idle agent: a bare Node process that holds one MQTT connection, by the identity of a device. */
import { readFileSync } from 'node:fs';
import { connect } from 'mqtt';

interface Identity {
  readonly workspace: string;
  readonly device: string;
  readonly broker: { readonly url: string; readonly serverName: string };
  readonly certificate: string;
  readonly privateKey: string;
}

const [identityFile = '', trustFile = ''] = process.argv.slice(2);
/** The first line of the agent's documents is a checksum. Nothing of ours is imported: it would count. */
const read = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8').split('\n')[1] ?? '');
const { workspace, device, broker, certificate, privateKey } = read(identityFile) as Identity;
const { authorities } = read(trustFile) as { readonly authorities: readonly string[] };
const client = connect(broker.url, {
  clientId: `${workspace}/${device}`,
  protocolVersion: 4,
  keepalive: 30,
  cert: certificate,
  key: privateKey,
  ca: [...authorities],
  servername: broker.serverName,
  reconnectPeriod: 0,
});
client.once('connect', () => process.stdout.write('connected\n'));
client.once('error', (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
