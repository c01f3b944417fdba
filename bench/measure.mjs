// Measures the rows of one topic in this process and prints `{ [row]: { [lane]: nanoseconds } }`.
import { interleave } from "./lib/interleave.mjs";
import { loadBaseline, loadPackages } from "./lib/kit.mjs";
import { topics } from "./rows/index.mjs";

const { topic, baseline, settings } = JSON.parse(process.argv[2]);
const { rows } = topics.find(({ name }) => name === topic);
const packages = await loadPackages();
const kit = { packages, native: loadBaseline(baseline) };

const results = {};
for (const row of rows) {
  if (row.packages.some((name) => packages[name] === undefined)) continue;
  const lanes = row.lanes(kit);
  if (lanes === null) continue;
  requireAgreement(row, lanes);
  results[row.id] = interleave(lanes, settings);
}
process.stdout.write(JSON.stringify(results));

/** All sides must have done the same work: their sums over the list are equal. */
function requireAgreement(row, lanes) {
  const sums = Object.entries(lanes).map(([name, lane]) => {
    lane.prepare?.();
    return [name, lane.run(0, lane.ops ?? 65536) | 0];
  });
  if (sums.every(([, sum]) => sum === sums[0][1])) return;
  throw new Error(`row ${row.id}: the sides disagree: ${JSON.stringify(sums)}`);
}
