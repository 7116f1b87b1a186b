/**
 * A sample of the ONNX standard's own node tests through the HTTP face; `npm run conformance:onnx` runs all.
 * What onnxruntime-node passes must pass through the host.
 */
import { describe, expect, it } from 'vitest';
import { runBare } from '#test/conformance/onnx-node/bare.js';
import { exportCases } from '#test/conformance/onnx-node/cases.js';
import { compare, knownDifferences, sample } from '#test/conformance/onnx-node/report.js';
import { runThroughHost } from '#test/conformance/onnx-node/through-host.js';
import { outsidePython } from '#test/support/outside-tool.js';
import { temporaryFolder } from '#test/support/temporary-folder.js';

const path = temporaryFolder();

describe('the ONNX node tests', () => {
  it('give through HTTP what onnxruntime-node gives alone', { timeout: 240_000 }, async () => {
    const folder = path('cases');
    const cases = await exportCases(outsidePython(), folder);
    expect(cases.length).toBeGreaterThan(1500);
    const bare = await runBare(folder, cases);
    const passed = cases.filter(({ name }) => bare.get(name)?.failure === undefined);
    // The runtime passed this many when it was last updated: fewer means that the runner lost some.
    expect(passed.length).toBeGreaterThan(1300);
    const chosen = sample(passed, 150);
    const host = await runThroughHost(folder, chosen);
    const { defects, outdated, both } = compare(
      new Map(chosen.map(({ name }) => [name, { name }])),
      host,
      await knownDifferences(),
    );
    expect(defects).toEqual([]);
    expect(outdated).toEqual([]);
    expect(both.length).toBeGreaterThan(120);
  });
});
