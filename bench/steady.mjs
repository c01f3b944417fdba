// Counts garbage collections and deoptimizations in a long run that is warm.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const run = fileURLToPath(new URL("steady-run.mjs", import.meta.url));
const child = spawnSync(process.execPath, ["--trace-deopt", "--expose-gc", run], {
  encoding: "utf8",
  maxBuffer: 2 ** 28,
});
if (child.status !== 0) throw new Error(child.stderr);

// What V8 reports between the two marks counts; the run's own result comes after the second.
const [, warm, result] = child.stdout.split(/^--- \w+ ---$/m);
const deoptimized = Array.from(
  warm.matchAll(/begin\. deoptimizing \S+ <JSFunction (\S+)/g),
  ([, name]) => name,
);
for (const name of deoptimized) process.stderr.write(`deoptimized though warm: ${name}\n`);
const { collections, complete } = JSON.parse(result);
process.stdout.write(
  JSON.stringify(
    complete
      ? { collections: { viommu: collections }, deoptimizations: { viommu: deoptimized.length } }
      : {},
  ),
);
