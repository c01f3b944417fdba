// publint and attw over the packed form of every published package.
import { readdirSync, readFileSync, existsSync } from "node:fs";
import { spawnSync } from "node:child_process";

const root = new URL("../packages/", import.meta.url);
let failed = 0;
for (const name of readdirSync(root)) {
  const folder = new URL(`${name}/`, root);
  if (!existsSync(new URL("package.json", folder))) continue;
  if (JSON.parse(readFileSync(new URL("package.json", folder), "utf8")).private) continue;
  for (const command of [
    "publint --strict --pack pnpm",
    "attw --pack . --profile esm-only --quiet",
  ]) {
    const result = spawnSync(command, { cwd: folder, shell: true, encoding: "utf8" });
    if (result.status === 0) continue;
    failed += 1;
    console.error(`${name}: ${command}\n${result.stdout}${result.stderr}`);
  }
}
process.exit(failed === 0 ? 0 : 1);
