import { ViommuError } from "@viommu/plugin";
import { readTrace } from "@viommu/trace";
import type { Trace } from "@viommu/trace";
import { readInput } from "./input-file.ts";

/** Reads a trace file. Throws ViommuError with the file's name in front of what is wrong. */
export async function loadTrace(file: string): Promise<Trace> {
  const bytes = await readInput(file, "a trace file");
  try {
    return await readTrace(bytes);
  } catch (cause) {
    if (!(cause instanceof ViommuError)) throw cause;
    throw new ViommuError(cause.code as `ERR_VIOMMU_${string}`, `${file}: ${cause.message}`, {
      cause,
    });
  }
}
