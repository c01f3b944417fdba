import { ViommuError } from "@viommu/plugin";

/** The code and message of the ViommuError that a function throws. */
export function thrown(action: () => unknown): { code: string; message: string } {
  try {
    action();
  } catch (error) {
    if (error instanceof ViommuError) return { code: error.code, message: error.message };
    throw error;
  }
  return { code: "", message: "nothing was thrown" };
}
