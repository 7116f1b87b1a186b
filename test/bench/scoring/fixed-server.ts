/** The limit of the framework: fastify reads the body, and answers with bytes that were ready before. */
import { readFileSync } from 'node:fs';
import { fastify } from 'fastify';

const [bodyFile = '', headers = '{}'] = process.argv.slice(2);
const body = readFileSync(bodyFile);
const answerHeaders = JSON.parse(headers) as Record<string, string>;

const app = fastify({ logger: false, http: { noDelay: true }, bodyLimit: 64 * 1024 * 1024 });
app.removeAllContentTypeParsers();
app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, read, done) => done(null, read));
app.post('/v2/models/:model/infer', (_request, reply) => reply.headers(answerHeaders).send(body));
await app.listen({ host: '127.0.0.1', port: 0 });
const address = app.server.address();
console.log(JSON.stringify({ port: typeof address === 'object' && address !== null ? address.port : 0 }));
// Ends with its owner, whatever happens to it.
process.stdin.resume().once('end', () => process.exit(0));
