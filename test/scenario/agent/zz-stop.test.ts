import { it } from 'vitest';
import { enrolledFolder, removeFolder, run } from '#test/support/agent/agent-harness.js';
import { FakeCloud } from '#test/support/agent/fake-cloud.js';
it('stops', async () => {
  const cloud = await FakeCloud.start();
  const folder = await enrolledFolder(cloud);
  const t = () => (performance.now() / 1000).toFixed(2);
  console.log('start', t());
  const agent = await run(folder);
  await new Promise((r) => setTimeout(r, Number(process.env.WAIT ?? 0)));
  console.log('started', t());
  await agent.stop();
  console.log('stopped', t());
  await cloud.close();
  console.log('cloud closed', t());
  await removeFolder(folder);
  console.log('removed', t());
});
