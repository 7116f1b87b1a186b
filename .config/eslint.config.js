// Type-aware promise and exhaustiveness rules, and the directions of docs/decisions/0002.
import { builtinModules } from 'node:module';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import tseslint from 'typescript-eslint';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

const io = [
  'mqtt',
  'aedes',
  'fastify',
  'onnxruntime-node',
  'systeminformation',
  'tar',
  'node-cron',
  'libsql',
  'kysely',
  'pino',
  'commander',
];

/** What each layer may not import. `kernel <- protocol <- package, scoring, supervisor <- agent, cloud`. */
const forbidden = [
  {
    files: ['shared/kernel/**'],
    not: [
      '#shared/protocol/',
      '#shared/platform/',
      '#shared/package/',
      '#shared/scoring/',
      '#shared/supervisor/',
      '#agent/',
      '#cloud/',
    ],
    pure: true,
  },
  {
    files: ['shared/protocol/**'],
    not: ['#shared/platform/', '#shared/package/', '#shared/scoring/', '#shared/supervisor/', '#agent/', '#cloud/'],
    pure: true,
  },
  {
    files: ['shared/platform/**'],
    not: ['#shared/package/', '#shared/scoring/', '#shared/supervisor/', '#agent/', '#cloud/'],
  },
  { files: ['shared/package/**'], not: ['#shared/scoring/', '#shared/supervisor/', '#agent/', '#cloud/'] },
  { files: ['shared/scoring/**'], not: ['#shared/supervisor/', '#agent/', '#cloud/'] },
  { files: ['shared/supervisor/**'], not: ['#agent/', '#cloud/'] },
  { files: ['agent/**'], not: ['#cloud/'] },
  { files: ['agent/reconcile/**', 'shared/supervisor/restart-policy.ts'], not: ['#cloud/'], pure: true },
  { files: ['cloud/**'], not: ['#agent/'] },
  {
    files: ['plan', 'autoscale', 'observed', 'probing'].map((name) => `cloud/services/host/${name}.ts`),
    not: ['#agent/'],
    pure: true,
  },
];

const boundaries = forbidden.map(({ files, not, pure }) => ({
  files,
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: [
          ...not.map((prefix) => ({ regex: `^${prefix}`, message: 'against the dependency directions' })),
          { regex: '^#test/', message: 'product code does not import tests' },
          ...(pure ? [{ group: ['node:*', ...builtinModules, ...io], message: 'decision code does no I/O' }] : []),
        ],
      },
    ],
  },
}));

export default tseslint.config(
  {
    ignores: [
      'dist/**',
      '.cache/**',
      'node_modules/**',
      'test/fixtures/**',
      '.config/**',
      '.scripts/**',
      '**/*.js',
      '**/*.mjs',
    ],
  },
  {
    files: ['**/*.ts'],
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: {
        project: ['shared/*/tsconfig.json', '{agent,cloud,modules,test}/tsconfig.json'],
        tsconfigRootDir: root,
      },
    },
    plugins: { '@typescript-eslint': tseslint.plugin },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/return-await': ['error', 'in-try-catch'],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/no-unsafe-argument': 'error',
      '@typescript-eslint/no-unsafe-assignment': 'error',
      '@typescript-eslint/no-unsafe-call': 'error',
      '@typescript-eslint/no-unsafe-member-access': 'error',
      '@typescript-eslint/no-unsafe-return': 'error',
      '@typescript-eslint/restrict-template-expressions': 'error',
    },
  },
  {
    // Scripts that users write: plain.
    files: ['modules/**/*.ts'],
    rules: { '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }] },
  },
  ...boundaries,
);
