// 20 million translations and 10 million interrupts of the built packages, once warm: V8 collects no
// garbage and gives up no optimized code.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("../bench/steady.mjs", import.meta.url));
const { status, stdout, stderr } = spawnSync(process.execPath, [program], { encoding: "utf8" });
if (status !== 0) throw new Error(stderr);

const { collections, deoptimizations } = JSON.parse(stdout);
console.log(
  `garbage collections: ${collections.viommu}, deoptimizations: ${deoptimizations.viommu}`,
);
process.stderr.write(stderr);
process.exit(collections.viommu + deoptimizations.viommu === 0 ? 0 : 1);
