// Runs the `viommu` command line from source: `npm run viommu -- <command>`.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const main = fileURLToPath(new URL("../apps/guest/src/main.ts", import.meta.url));
const result = spawnSync(
  process.execPath,
  ["--conditions=@viommu/source", "--import", "tsx", main, ...process.argv.slice(2)],
  {
    stdio: "inherit",
    env: {
      ...process.env,
      TSX_TSCONFIG_PATH: fileURLToPath(new URL("../tsconfig.base.json", import.meta.url)),
    },
  },
);
process.exit(result.status ?? 1);
