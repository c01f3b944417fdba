import { existsSync, readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Trace } from "../src/format.ts";
import { readTrace } from "../src/reader.ts";

const ROOT = new URL("../../../", import.meta.url);

/** The recorded guests shipped with the project. */
export const FIXTURES = ["linux612-legacy-strict", "linux612-eim-apic-300"] as const;

const parsed = new Map<string, Promise<Trace>>();

/** A shipped trace, by name. */
export function fixture(name: (typeof FIXTURES)[number]): Promise<Trace> {
  const known = parsed.get(name);
  if (known !== undefined) return known;
  const file = new URL(`fixtures/${name}.jsonl.gz`, ROOT);
  const trace = readFile(file).then((bytes) => readTrace(bytes));
  parsed.set(name, trace);
  return trace;
}

/** The full corpus, where it is there: VIOMMU_CORPUS, or ../shared/corpus beside the project. */
export function corpusFiles(): string[] {
  const folder = process.env.VIOMMU_CORPUS ?? fileURLToPath(new URL("../shared/corpus", ROOT));
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith(".jsonl.gz"))
    .map((name) => `${folder}/${name}`);
}
