import { fileURLToPath } from "node:url";
import { readInput } from "../input-file.ts";
import type { GuestConfig } from "./guest-config.ts";
import { parseGuest } from "./load.ts";
import type { Override } from "./yaml-text.ts";

/** The guest that is run when none is named. */
export const REFERENCE_GUEST: string = fileURLToPath(
  new URL("../../guests/reference.yaml", import.meta.url),
);

/** Reads the configuration of a guest. Throws ERR_VIOMMU_FILE and what {@link parseGuest} throws. */
export async function loadGuest(
  file: string,
  overrides: readonly Override[] = [],
): Promise<GuestConfig> {
  const bytes = await readInput(file, "the configuration of a guest");
  return parseGuest(file, bytes.toString("utf8"), overrides);
}
