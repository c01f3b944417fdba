import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { cpus, homedir } from "node:os";
import { dirname, join } from "node:path";
import { execFileSync, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const COMPILER = "gcc";
const SOURCES = fileURLToPath(new URL("../baseline/", import.meta.url));
const BUILD = fileURLToPath(new URL("../build/", import.meta.url));

/**
 * Compiles the C baseline into bench/build (once for each compiler and source). Returns
 * `{ file, compiler, glib, notes }`: `file` is null where the baseline cannot be built, `glib` where
 * its hash-table part cannot; `notes` say why in plain words.
 */
export function buildBaseline() {
  const notes = [];
  const compiler = output(COMPILER, ["-dumpfullversion"]);
  const headers = findHeaders();
  if (compiler === null) notes.push("no C baseline: gcc was not found");
  if (headers === null) notes.push("no C baseline: Node's headers (node_api.h) were not found");
  if (compiler === null || headers === null) return { file: null, compiler, glib: null, notes };

  const glib = output("pkg-config", ["--modversion", "glib-2.0"]);
  if (glib === null) notes.push("no glib baseline: pkg-config knows no glib-2.0 (libglib2.0-dev)");
  const glibFlags =
    glib === null
      ? []
      : ["-DWITH_GLIB", ...output("pkg-config", ["--cflags", "--libs", "glib-2.0"]).split(/\s+/)];
  const flags = ["-O2", "-march=native", "-Wall", "-Wextra", "-shared", "-fPIC", `-I${headers}`];

  const file = join(
    BUILD,
    `baseline-${fingerprint([cpus()[0]?.model, compiler, headers, ...flags, ...glibFlags])}.node`,
  );
  if (!existsSync(file)) {
    mkdirSync(BUILD, { recursive: true });
    const build = spawnSync(COMPILER, [...flags, "addon.c", ...glibFlags, "-o", file], {
      cwd: SOURCES,
      encoding: "utf8",
    });
    if (build.status !== 0) {
      notes.push(`no C baseline: gcc failed\n${build.stderr}`);
      return { file: null, compiler, glib: null, notes };
    }
  }
  return { file, compiler, glib, notes };
}

function output(command, args) {
  try {
    return execFileSync(command, args, {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return null;
  }
}

/** The folder of node_api.h for the running Node, or null. */
function findHeaders() {
  const nodedir = output("npm", ["config", "get", "nodedir"]);
  const candidates = [
    join(dirname(process.execPath), "..", "include", "node"),
    ...(nodedir !== null && nodedir !== "undefined" ? [join(nodedir, "include", "node")] : []),
    join(process.config.variables.node_prefix ?? "/usr/local", "include", "node"),
    join(homedir(), ".cache", "node-gyp", process.versions.node, "include", "node"),
    "/usr/local/include/node",
    "/usr/include/node",
  ];
  return candidates.find((folder) => existsSync(join(folder, "node_api.h"))) ?? null;
}

function fingerprint(parts) {
  const hash = createHash("sha256").update(parts.join("\n"));
  for (const name of readdirSync(SOURCES).sort()) hash.update(readFileSync(join(SOURCES, name)));
  return hash.digest("hex").slice(0, 12);
}
