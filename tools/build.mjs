// Builds the packages in the order of their dependencies: `npm run build`.
import { spawnSync } from "node:child_process";

const result = spawnSync("turbo", ["run", "build", "--output-logs=errors-only"], {
  stdio: "inherit",
  shell: process.platform === "win32",
  env: { ...process.env, DO_NOT_TRACK: "1" },
});
process.exit(result.status ?? 1);
