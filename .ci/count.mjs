// The closing line of .ci/run, from vitest's JSON report: "N passed, N failed".
import { existsSync, readFileSync } from 'node:fs';

const [path, testsStatus, failedSteps] = process.argv.slice(2);
const report = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) : undefined;

let passed = 0;
let failed = Number(failedSteps);
let skipped = 0;
for (const file of report?.testResults ?? []) {
  const results = file.assertionResults.map((test) => test.status);
  passed += results.filter((status) => status === 'passed').length;
  const broken = results.filter((status) => status === 'failed').length;
  skipped += results.length - results.filter((status) => status === 'passed').length - broken;
  // A file that does not even load has no results, and a failing hook none that failed.
  failed += broken === 0 && file.status === 'failed' ? 1 : broken;
}
// Unhandled errors fail the run and stand at no test; so does a run that wrote no report.
if (Number(testsStatus) !== 0 && failed === Number(failedSteps)) failed += 1;
if (report !== undefined && passed === 0) failed = Math.max(failed, 1);

if (Number(failedSteps) > 0) console.log(`${failedSteps} step(s) other than the tests failed`);
if (skipped > 0) console.log(`${skipped} skipped`);
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
