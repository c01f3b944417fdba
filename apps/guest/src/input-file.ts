import { readFile } from "node:fs/promises";
import { ViommuError } from "@viommu/plugin";

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EISDIR: "it is a folder",
  EACCES: "it may not be read",
};

/** The bytes of a file. Throws ERR_VIOMMU_FILE; `wanted` is "a trace file". */
export async function readInput(file: string, wanted: string): Promise<Buffer> {
  return readFile(file).catch((cause: unknown) => {
    const { code = "", message } = cause as NodeJS.ErrnoException;
    const reason = REASONS[code] ?? message;
    throw new ViommuError("ERR_VIOMMU_FILE", `${file}: ${reason}; give ${wanted}`, { cause });
  });
}
