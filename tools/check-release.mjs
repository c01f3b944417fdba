// A dry run of the release: lets changesets bump the versions in a copy of the manifests, and shows the
// result. Nothing here is changed.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../", import.meta.url));
const copy = mkdtempSync(join(tmpdir(), "viommu-release-"));
const readJson = (path) => JSON.parse(readFileSync(path, "utf8"));

try {
  const manifests = ["packages", "apps"].flatMap((folder) =>
    readdirSync(join(root, folder)).map((name) => join(folder, name, "package.json")),
  );
  for (const path of ["package.json", "pnpm-workspace.yaml", ".changeset", ...manifests]) {
    cpSync(join(root, path), join(copy, path), { recursive: true });
  }
  // the change log's links to commits are left out: the copy has no history
  const config = join(copy, ".changeset/config.json");
  writeFileSync(config, JSON.stringify({ ...readJson(config), changelog: false }));
  spawnSync("git", ["init", "--quiet"], { cwd: copy });

  const result = spawnSync("changeset", ["version"], { cwd: copy, encoding: "utf8" });
  if (result.status !== 0) throw new Error(`${result.stdout}${result.stderr}`);

  for (const path of manifests) {
    const before = readJson(join(root, path));
    const after = readJson(join(copy, path));
    if (after.private) continue;
    if (before.version === after.version) {
      throw new Error(`${after.name} would not be released: describe it in a changeset`);
    }
    console.log(`${after.name}: ${before.version} -> ${after.version}`);
  }
} finally {
  rmSync(copy, { recursive: true });
}
