import { explainEvent } from "@viommu/trace";
import type { AddCommand } from "../add-command.ts";
import { Exit } from "../exit.ts";
import { explanationText } from "../explain-report.ts";
import { numberOption } from "../number-option.ts";
import { loadTrace } from "../trace-file.ts";

/** `viommu explain`: the walk behind one event of a recorded guest. */
export const addExplain: AddCommand = (program, terminal, end) => {
  program
    .command("explain")
    .description("show the walk behind one event: each table entry, where it ended and why")
    .argument("<trace>", "trace file")
    .requiredOption(
      "--event <N>",
      "number of the event; the first one (the reset) is 1",
      numberOption,
    )
    .option("--json", "print one JSON object")
    .action(async (file: string, options: { event: number; json?: boolean }) => {
      const explanation = explainEvent(await loadTrace(file), options.event);
      terminal.out(
        options.json
          ? `${JSON.stringify(explanation)}\n`
          : explanationText(explanation, terminal.columns),
      );
      end(Exit.OK);
    });
};
