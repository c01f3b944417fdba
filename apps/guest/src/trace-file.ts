import { ViommuError } from "@viommu/plugin";
import { openTrace, readTrace } from "@viommu/trace";
import type { Trace, TraceStream } from "@viommu/trace";
import { readInput } from "./input-file.ts";

/** Reads a trace file. Throws ViommuError with the file's name in front of what is wrong. */
export async function loadTrace(file: string): Promise<Trace> {
  const bytes = await readInput(file, "a trace file");
  return naming(file, () => readTrace(bytes));
}

/** Opens a trace file and uses it, its events read one by one. Throws as {@link loadTrace} does. */
export async function withTrace<T>(
  file: string,
  use: (stream: TraceStream) => Promise<T>,
): Promise<T> {
  const bytes = await readInput(file, "a trace file");
  return naming(file, async () => use(await openTrace(bytes)));
}

async function naming<T>(file: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    if (!(cause instanceof ViommuError)) throw cause;
    throw new ViommuError(cause.code as `ERR_VIOMMU_${string}`, `${file}: ${cause.message}`, {
      cause,
    });
  }
}
