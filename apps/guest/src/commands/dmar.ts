import { writeFile } from "node:fs/promises";
import { buildDmar, parseDmar } from "@viommu/acpi";
import { ViommuError } from "@viommu/plugin";
import { usageError } from "../usage-error.ts";
import type { AddCommand } from "../add-command.ts";
import { loadGuest } from "../config/file.ts";
import { dmarText, tableJson } from "../dmar-text.ts";
import { Exit } from "../exit.ts";
import type { ExitCode } from "../exit.ts";
import { readInput } from "../input-file.ts";
import { dmarOf, madtOf } from "../machine/acpi-tables.ts";
import type { Terminal } from "../terminal.ts";

interface DmarOptions {
  readonly config?: string;
  readonly out?: string;
  readonly json?: boolean;
}

/** `viommu dmar`: decodes a DMAR table, or builds that of a guest. */
export const addDmar: AddCommand = (program, terminal, end) => {
  program
    .command("dmar")
    .description("decode a DMAR table and tell what is wrong with it, or build that of a guest")
    .argument("[file]", "the bytes of a table, as in /sys/firmware/acpi/tables/DMAR")
    .option("--config <guest>", "build the table of this guest (YAML or xl.cfg)")
    .option("--out <file>", "with --config: write the bytes there")
    .option("--json", "print one JSON object")
    .action(async (file: string | undefined, options: DmarOptions) => {
      if ((file === undefined) === (options.config === undefined)) {
        throw usageError("dmar needs either a file or --config");
      }
      if (options.out !== undefined && options.config === undefined) {
        throw usageError("--out is for the table of --config");
      }
      const bytes =
        file === undefined
          ? await buildFrom(options.config!)
          : await readInput(file, "the bytes of a DMAR table");
      if (options.out !== undefined) await save(options.out, bytes);
      end(show(bytes, options, terminal));
    });
};

function show(bytes: Uint8Array, { json = false }: DmarOptions, terminal: Terminal): ExitCode {
  const { table, problems } = parseDmar(bytes);
  const ok = problems.length === 0;
  terminal.out(
    json
      ? `${JSON.stringify({ ok, length: bytes.length, table: tableJson(table), problems })}\n`
      : dmarText(table, problems, bytes.length, terminal.columns),
  );
  return ok ? Exit.OK : Exit.FAILED;
}

async function buildFrom(file: string): Promise<Uint8Array> {
  const guest = await loadGuest(file);
  const dmar = dmarOf(guest);
  if (dmar !== null) return buildDmar(dmar, madtOf(guest));
  throw new ViommuError(
    "ERR_VIOMMU_CONFIG_RULE",
    `${file}: the guest has no remapping unit, and so no DMAR table; add units (YAML) or viommu (xl.cfg)`,
  );
}

async function save(file: string, bytes: Uint8Array): Promise<void> {
  await writeFile(file, bytes).catch((cause: unknown) => {
    const { message } = cause as Error;
    throw new ViommuError("ERR_VIOMMU_FILE", `${file}: ${message}; give another file`, { cause });
  });
}
