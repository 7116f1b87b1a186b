import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';

/** A process of its own that runs a few lines over the sources. */
function start(code: string): { child: ChildProcess; output: () => { stdout: string; stderr: string } } {
  const child = spawn(
    process.execPath,
    ['--conditions=source', '--import', 'tsx', '--input-type=module', '--eval', code],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += String(chunk);
  });
  child.stderr.on('data', (chunk) => {
    stderr += String(chunk);
  });
  return { child, output: () => ({ stdout, stderr }) };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe('a log', () => {
  it('is JSON lines on standard error, without secrets at any depth of our records, and complete at exit', async () => {
    const { child, output } = start(`
      import { createLogger } from '#shared/platform/logger.js';
      const log = createLogger('agent', { level: 'info', pretty: false });
      const secret = 's3cr3t';
      log.info({ secret, token: secret, device: { password: secret }, request: { headers: { authorization: secret } } }, 'hello');
      log.child({ token: secret }).info({ key: { privateKey: secret } }, 'child');
      log.debug('not at this level');
      log.error(new Error('failed'), 'last');
      process.exit(0);`);
    await once(child, 'close');
    const { stdout, stderr } = output();
    expect(stdout).toBe('');
    expect(stderr).not.toContain('s3cr3t');
    const lines = stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { name: string; msg: string });
    expect(lines.map(({ name, msg }) => `${name}: ${msg}`)).toEqual(['agent: hello', 'agent: child', 'agent: last']);
  });
});

it('a log for people is one readable line a record, complete at exit, and as silent about secrets', async () => {
  const { child, output } = start(`
    import { createLogger } from '#shared/platform/logger.js';
    const log = createLogger('agent', { level: 'info', pretty: true });
    log.info({ token: 's3cr3t' }, 'hello');
    log.info('last');
    process.exit(0);`);
  await once(child, 'close');
  const { stdout, stderr } = output();
  expect(stdout).toBe('');
  expect(stderr).not.toContain('s3cr3t');
  expect(stderr).toMatch(/^\[[\d:.]+\] .*INFO.*agent.*: .*hello/);
  expect(stderr).toContain('last');
});

describe('a shutdown', () => {
  const main = (stop: string): string => `
    import { onShutdown } from '#shared/platform/signals.js';
    onShutdown(async (signal) => { console.log('stopping ' + signal); ${stop} });
    setInterval(() => {}, 1000);
    console.log('up');`;

  it.each(['SIGTERM', 'SIGINT'] as const)('by %s stops in order and ends with 0', async (signal) => {
    const { child, output } = start(
      main("await new Promise((resolve) => setTimeout(resolve, 20)); console.log('stopped');"),
    );
    await until(() => output().stdout.includes('up'));
    child.kill(signal);
    const [code] = (await once(child, 'close')) as [number | null];
    expect(output().stdout).toBe(`up\nstopping ${signal}\nstopped\n`);
    expect(code).toBe(0);
  });

  it('that hangs is cut short by a second signal, but not by an echo of the first', async () => {
    const { child, output } = start(main('await new Promise(() => {});'));
    await until(() => output().stdout.includes('up'));
    child.kill('SIGINT');
    await until(() => output().stdout.includes('stopping'));
    child.kill('SIGINT');
    await new Promise((resolve) => setTimeout(resolve, 1200));
    expect(child.exitCode).toBeNull();
    child.kill('SIGINT');
    const [code] = (await once(child, 'close')) as [number | null];
    expect(code).toBe(130);
  });

  it('that fails says why and ends with 1', async () => {
    const { child, output } = start(main("throw new Error('the port would not close');"));
    await until(() => output().stdout.includes('up'));
    child.kill('SIGTERM');
    const [code] = (await once(child, 'close')) as [number | null];
    expect(code).toBe(1);
    expect(output().stderr).toContain('the port would not close');
  });
});
