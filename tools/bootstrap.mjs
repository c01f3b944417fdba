// Installs the workspace when it is missing or out of date. Needs nothing but Node and npm.
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";

const root = new URL("../", import.meta.url);
const MINIMUM = [20, 19];

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < MINIMUM[0] || (major === MINIMUM[0] && minor < MINIMUM[1])) {
  console.error(
    `viommu needs Node ${MINIMUM.join(".")} or newer; this is ${process.versions.node}.`,
  );
  process.exit(2);
}

const manifest = readFileSync(new URL("package.json", root), "utf8");
const { packageManager } = JSON.parse(manifest);
const stamp = createHash("sha256")
  .update(packageManager)
  .update(process.versions.node.split(".")[0])
  .update(readFileSync(new URL("pnpm-lock.yaml", root)))
  .digest("hex");

const stampFile = new URL("node_modules/.bootstrap", root);
if (!existsSync(stampFile) || readFileSync(stampFile, "utf8") !== stamp) {
  console.error(
    "viommu: installing the workspace (only needed after a clone or a dependency change) ...",
  );
  const pnpm = packageManager.split("+")[0];
  const install = [
    "--yes",
    pnpm,
    "install",
    "--frozen-lockfile",
    "--prefer-offline",
    "--reporter=append-only",
  ];
  const result = spawnSync("npx", install, {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
    shell: process.platform === "win32",
    env: { ...process.env, CI: "true" },
  });
  if (result.status !== 0) {
    console.error(result.stdout ?? "");
    console.error("viommu: the installation failed; see the output above.");
    process.exit(result.status ?? 1);
  }
  writeFileSync(stampFile, stamp);
}
