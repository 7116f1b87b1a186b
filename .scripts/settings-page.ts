// Renders docs/settings.md: every setting of both daemons, as their schemas have them.
import * as z from 'zod';
import { agentSettings, agentVariableOf } from '#agent/config-schema.js';
import { cloudConfigSchema } from '#cloud/config-schema.js';
import { cloudSettings } from '#cloud/config.js';

interface Field {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Field[];
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly items?: Field;
  readonly properties?: Readonly<Record<string, Field>>;
}

interface Row {
  readonly name: string;
  readonly variable: string;
  readonly field: Field;
  readonly about: string;
}

const head = `# Settings

Flags over environment over a YAML file; a name that is not known is an error that names the nearest. In the file a dot is a
level: \`http.port\` is \`http: { port: 9000 }\`. \`--print-config\` prints what is in force, in the form of such a file.
Generated from the schemas that check them (\`npm run schemas\`).
`;

export function renderSettings(): string {
  const control = fieldOf(cloudConfigSchema);
  const cloud = cloudSettings().map(({ path, variable, description }) => ({
    name: path,
    variable,
    field: path.split('.').reduce((at, key) => at.properties?.[key] ?? {}, control),
    about: description,
  }));
  const agent = Object.entries(agentSettings)
    .sort(([a], [b]) => (sectionOf(a) < sectionOf(b) ? -1 : sectionOf(a) > sectionOf(b) ? 1 : 0))
    .map(([name, schema]) => ({
      name,
      variable: agentVariableOf(name),
      field: fieldOf(schema),
      about: schema.description ?? '',
    }));
  return [
    head,
    '## The agent',
    '',
    'The file is what `--config` or `FLOTILLA_AGENT_CONFIG` names; an installed agent reads `/etc/flotilla-agent/agent.yaml`.',
    '',
    ...tableOf(agent),
    '',
    '## The control plane',
    '',
    'The file is what `--config` or `FLOTILLA_CONFIG` names; an installed control plane reads `/etc/flotilla/cloud.yaml`. Every',
    'setting is a flag too: `http.port` is `--http-port`.',
    '',
    ...tableOf(cloud),
    '',
  ].join('\n');
}

function tableOf(rows: readonly Row[]): string[] {
  return [
    '| setting | values | default | what it says | variable |',
    '| --- | --- | --- | --- | --- |',
    ...rows.map(
      ({ name, variable, field, about }) =>
        `| \`${name}\` | ${valuesOf(field)} | ${defaultOf(field)} | ${about} | \`${variable}\` |`,
    ),
  ];
}

/** What a reader gets, as what may be given is anything that can be read as it. */
function fieldOf(schema: z.ZodType): Field {
  return z.toJSONSchema(schema, { io: 'output', unrepresentable: 'any' }) as Field;
}

function sectionOf(name: string): string {
  return name.includes('.') ? (name.split('.')[0] ?? '') : '';
}

function valuesOf(field: Field): string {
  if (field.anyOf) return [...new Set(field.anyOf.map(valuesOf))].join(', ');
  if (field.enum) return field.enum.map(String).join(', ');
  if (field.type === 'boolean') return 'true, false';
  if (field.type === 'array') return 'list';
  if (field.type === 'object') return 'mapping';
  if (field.type !== 'integer' && field.type !== 'number') return 'text';
  const { minimum, maximum } = field;
  // Of integers the bound that the language sets says nothing.
  return maximum === undefined || maximum === Number.MAX_SAFE_INTEGER
    ? `from ${String(minimum)}`
    : `${String(minimum)} to ${String(maximum)}`;
}

function defaultOf({ default: preset }: Field): string {
  if (preset === undefined || preset === '') return '';
  const text = typeof preset === 'string' ? preset : JSON.stringify(preset);
  return text === '[]' || text === '{}' ? '' : `\`${text}\``;
}
