import { request } from 'node:http';
import { stat } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openHttpIntake } from '#agent/routes/http-intake.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

type Posted = 'taken' | 'full' | 'too-large' | 'unknown';

const folder = temporaryFolder();

describe('what is posted to a route over HTTP', () => {
  const took: string[] = [];
  let answers: Posted;
  let intake: { close(): Promise<void> };
  const socket = (): string => folder('intake.sock');
  beforeEach(async () => {
    took.length = 0;
    answers = 'taken';
    intake = await openHttpIntake({
      socket: socket(),
      maxBodyBytes: 100,
      routes: () => ({
        roomFor: (module, address) => (module === 'fan' && address === 'readings' ? 10 : undefined),
        post: (module, address, bytes) => {
          if (answers === 'taken') took.push(`${module}/${address} ${bytes.toString()}`);
          return answers;
        },
      }),
    });
  });
  afterEach(() => intake.close());

  const post = (path: string, body: string): Promise<{ status: number; retryAfter: unknown; body: unknown }> =>
    new Promise((resolve, reject) => {
      const sent = request({ socketPath: socket(), path, method: 'POST', agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (piece: string) => {
          text += piece;
        });
        response.on('end', () => {
          const { statusCode: status = 0, headers } = response;
          resolve({ status, retryAfter: headers['retry-after'], body: JSON.parse(text) as unknown });
        });
      });
      sent.once('error', reject);
      sent.end(body);
    });

  it('is queued, and its sender told so at once', async () => {
    expect(await post('/fan/readings', '{"g":1}')).toMatchObject({ status: 202, body: { queued: true } });
    expect(took).toEqual(['fan/readings {"g":1}']);
  });

  it('finds a full queue: its sender is to come again, and nothing is kept', async () => {
    answers = 'full';
    expect(await post('/fan/readings', '{}')).toMatchObject({
      status: 429,
      retryAfter: '1',
      body: { code: 'rate.limited' },
    });
    expect(took).toEqual([]);
  });

  it.each<[string, Posted, string]>([
    ['that the route does not take', 'too-large', '{}'],
    ['that no route takes', 'taken', 'x'.repeat(101)],
  ])('is refused when it has a size %s', async (_what, answer, body) => {
    answers = answer;
    expect(await post('/fan/readings', body)).toMatchObject({ status: 413, body: { code: 'request.too-large' } });
    expect(took).toEqual([]);
  });

  it.each(['/fan/other', '/pump/readings', '/fan', '/', '/fan/..%2Freadings'])(
    'at %s, where no route is, is not found',
    async (path) => {
      expect(await post(path, '{}')).toMatchObject({ status: 404, body: { code: 'request.not-found' } });
    },
  );

  it('comes over a socket that is for the agent alone', async () => {
    expect((await stat(socket())).mode & 0o777).toBe(0o600);
  });
});
