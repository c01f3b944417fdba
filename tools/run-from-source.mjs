import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Runs a TypeScript program of this workspace without a build; returns its exit status. */
export function runFromSource(file, args) {
  const result = spawnSync(
    process.execPath,
    ["--conditions=@viommu/source", "--import", "tsx", fileURLToPath(file), ...args],
    {
      stdio: "inherit",
      env: {
        ...process.env,
        TSX_TSCONFIG_PATH: fileURLToPath(new URL("../tsconfig.base.json", import.meta.url)),
      },
    },
  );
  return result.status ?? 1;
}
