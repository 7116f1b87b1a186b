/** Loaded into each thread of a host before its own code: profiles it, and writes the profile when it ends. */
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { join } from 'node:path';
import { isMainThread, threadId } from 'node:worker_threads';

const sampleMicros = 200;

const session = new Session();
session.connect();
session.post('Profiler.enable');
session.post('Profiler.setSamplingInterval', { interval: sampleMicros });
session.post('Profiler.start');
process.once('exit', () => {
  // Answered before `post` returns.
  session.post('Profiler.stop', (_error, { profile }) => {
    const thread = isMainThread ? 'front' : `worker-${String(threadId)}`;
    const name = `${String(process.pid)}-${thread}.cpuprofile`;
    writeFileSync(join(process.env['BENCH_PROFILE_FOLDER'] ?? '.', name), JSON.stringify(profile));
  });
});
