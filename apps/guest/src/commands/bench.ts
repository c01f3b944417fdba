import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ViommuError } from "@viommu/plugin";
import type { AddCommand } from "../add-command.ts";
import { Exit } from "../exit.ts";

const HARNESS = fileURLToPath(new URL("../../../../bench/run.mjs", import.meta.url));

/** `viommu bench`: the benchmarks, as ratios against a C baseline. */
export const addBench: AddCommand = (program, _, end) => {
  program
    .command("bench")
    .description("measure the built packages against a C baseline, as ratios")
    .option("--json", "print one JSON object")
    .option("--quick", "one process per topic, fewer windows")
    .option("--only <topic>", "topics whose name has this in it")
    .option("--runs <n>", "processes per topic")
    .action((options: Readonly<Record<string, string | true>>) => {
      if (!existsSync(HARNESS)) {
        throw new ViommuError(
          "ERR_VIOMMU_FILE",
          `${HARNESS}: the benchmarks are not there; run from a complete clone`,
        );
      }
      const args = Object.entries(options).flatMap(([name, value]) =>
        value === true ? [`--${name}`] : [`--${name}`, value],
      );
      const { status } = spawnSync(process.execPath, [HARNESS, ...args], { stdio: "inherit" });
      if (status === 0) end(Exit.OK);
      else end(status === 2 ? Exit.USAGE : Exit.FAILED);
    });
};
