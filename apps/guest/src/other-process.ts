import { spawn } from "node:child_process";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { ViommuError } from "@viommu/plugin";
import type { GuestOptions } from "./guest-options.ts";
import type { RunReport } from "./run-report.ts";

/** The command line beside this file: from source or built. */
const MAIN = fileURLToPath(new URL(`main${extname(import.meta.url)}`, import.meta.url));

/** Goes on with a saved guest in a process of its own; returns its report. */
export async function restoreElsewhere(
  save: string,
  config: string,
  { vcpus, seed }: GuestOptions,
): Promise<RunReport> {
  const options = [
    ...(vcpus === undefined ? [] : ["--vcpus", String(vcpus)]),
    ...(seed === undefined ? [] : ["--seed", String(seed)]),
  ];
  const args = [...process.execArgv, MAIN, "restore", save, config, "--json", ...options];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", reject).on("close", resolve);
  });
  if (code === 0 || code === 1) return JSON.parse(out) as RunReport;
  throw new ViommuError(
    "ERR_VIOMMU_GUEST",
    `the process that goes on with ${save} ended with ${code}: ${err.trim()}; run "viommu restore" to see more`,
  );
}
