// npm run bench: measures the built packages against the C baseline and prints ratios with goals.
//   --runs N   processes per topic (3)     --quick  one process, fewer windows
//   --only T   topics whose name has T     --json   one JSON object instead of the table
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { describeMachine } from "./lib/machine.mjs";
import { buildBaseline } from "./lib/native.mjs";
import { reportText } from "./lib/report.mjs";
import { judgeRow } from "./lib/verdicts.mjs";
import { topics } from "./rows/index.mjs";

const { values: options } = parseArgs({
  options: {
    runs: { type: "string" },
    only: { type: "string", default: "" },
    quick: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

const settings = {
  runs: Number(options.runs ?? (options.quick ? 1 : 3)),
  windows: options.quick ? 51 : 301,
  windowNs: 200_000,
  warmNs: options.quick ? 30e6 : 100e6,
};
if (!Number.isInteger(settings.runs) || settings.runs < 1) {
  console.error(`--runs wants a whole number from 1, not "${options.runs}"`);
  process.exit(2);
}

const baseline = buildBaseline();
const notes = [...baseline.notes];
const results = [];
for (const topic of topics.filter(({ name }) => name.includes(options.only))) {
  if (!options.json) process.stderr.write(`measuring ${topic.name} ...\n`);
  const runs = Array.from({ length: settings.runs }, () => measure(topic));
  const judged = topic.rows.map((row) => judgeRow(row, runs)).filter((result) => result !== null);
  results.push(...judged.map((result) => ({ topic: topic.name, ...result })));
  if (judged.length < topic.rows.length)
    notes.push(
      `${topic.name}: ${judged.length} of ${topic.rows.length} rows: the packages are not built, or don't do it`,
    );
}

const report = { machine: describeMachine(baseline), settings, notes, results };
console.log(options.json ? JSON.stringify(report) : reportText(report));

/**
 * One process of one topic. V8 compiles on the thread that measures, unless a topic says otherwise:
 * on a busy machine its own thread may be late, and unoptimized code would be measured.
 */
function measure({ name, script = "measure.mjs", flags = ["--no-concurrent-recompilation"] }) {
  const file = fileURLToPath(new URL(script, import.meta.url));
  const input = JSON.stringify({ topic: name, baseline: baseline.file, settings });
  const child = spawnSync(process.execPath, [...flags, file, input], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  if (child.status !== 0) {
    console.error(`the benchmark "${name}" broke:\n${child.stderr}`);
    process.exit(1);
  }
  return JSON.parse(child.stdout);
}
