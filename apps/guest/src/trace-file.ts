import { readFile } from "node:fs/promises";
import { ViommuError } from "@viommu/plugin";
import { readTrace } from "@viommu/trace";
import type { Trace } from "@viommu/trace";

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EISDIR: "it is a folder",
  EACCES: "it may not be read",
};

/** Reads a trace file. Throws ViommuError with the file's name in front of what is wrong. */
export async function loadTrace(file: string): Promise<Trace> {
  const bytes = await readFile(file).catch((cause: unknown) => {
    const { code = "", message } = cause as NodeJS.ErrnoException;
    const reason = REASONS[code] ?? message;
    throw new ViommuError("ERR_VIOMMU_FILE", `${file}: ${reason}; give a trace file`, { cause });
  });
  try {
    return await readTrace(bytes);
  } catch (cause) {
    if (!(cause instanceof ViommuError)) throw cause;
    throw new ViommuError(cause.code as `ERR_VIOMMU_${string}`, `${file}: ${cause.message}`, {
      cause,
    });
  }
}
