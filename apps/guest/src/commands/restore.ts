import type { AddCommand } from "../add-command.ts";
import { REFERENCE_GUEST } from "../config/file.ts";
import { loadGuestOf } from "../guest-options.ts";
import type { GuestOptions } from "../guest-options.ts";
import { restoreFromFile } from "../move.ts";
import { numberOption } from "../number-option.ts";
import { GuestRun, tell } from "./run.ts";

/** `viommu restore`: goes on with a guest that `run --migrate-file` has moved out. */
export const addRestore: AddCommand = (program, terminal, end) => {
  program
    .command("restore")
    .description("go on with a guest that was saved while it ran, and report as run does")
    .argument("<save>", 'what "run --migrate-file" has written')
    .argument(
      "[config]",
      "configuration that the guest was run with; without it, the reference guest",
    )
    .option("--vcpus <N>", "number of vCPUs that it was run with", numberOption)
    .option("--seed <N>", "seed that it was run with", numberOption)
    .option("--json", "print one JSON object")
    .action(async (save: string, file: string | undefined, options: GuestOptions) => {
      const run = new GuestRun(await loadGuestOf(file ?? REFERENCE_GUEST, options), terminal);
      restoreFromFile(run.guest, save);
      end(tell(run.finish(), options, terminal));
    });
};
