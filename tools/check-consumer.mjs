// What a user of the packages does: packs all of them, installs the tarballs into an empty project with
// npm, runs an example as plain JavaScript, typechecks examples, and bundles one for the browser.
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { createContext, Script } from "node:vm";
import { format } from "node:util";
import { build } from "vite";

const root = fileURLToPath(new URL("../", import.meta.url));
const EXAMPLE = "translate-one-dma";
const TYPED = [EXAMPLE, "remap-interrupts", "two-units", "record-and-replay"];

const project = mkdtempSync(join(tmpdir(), "viommu-consumer-"));
try {
  const packed = readdirSync(join(root, "packages")).map(pack);
  writeFileSync(
    join(project, "package.json"),
    JSON.stringify({
      name: "consumer",
      private: true,
      type: "module",
      dependencies: Object.fromEntries(packed.map(({ name, file }) => [name, `file:${file}`])),
    }),
  );
  run("npm", ["install", "--offline", "--no-audit", "--no-fund", "--loglevel=error"], project);

  const source = join(root, "examples", `${EXAMPLE}.ts`);
  copyFileSync(source, join(project, "example.js"));
  const promised = /\/\* prints:\n([\s\S]*)\*\/\n$/.exec(readFileSync(source, "utf8"))[1];
  expect("plain JavaScript in Node", run(process.execPath, ["example.js"], project), promised);

  for (const name of TYPED) {
    copyFileSync(join(root, "examples", `${name}.ts`), join(project, `${name}.ts`));
  }
  const strict = ["--strict", "--noEmit", "--module", "nodenext", "--target", "es2022"];
  const files = TYPED.map((name) => `${name}.ts`);
  run(join(root, "node_modules/.bin/tsc"), [...strict, "--types", "", ...files], project);
  expect("TypeScript, strict, with library checks", "", "");

  expect("bundled for the browser", await inBrowser(), promised);

  console.log(`\n${"package".padEnd(30)} ${"packed".padStart(10)} ${"unpacked".padStart(10)}`);
  for (const { name, bytes, unpacked } of packed) {
    console.log(`${name.padEnd(30)} ${kib(bytes)} ${kib(unpacked)}`);
  }
} finally {
  rmSync(project, { recursive: true });
}

/** Makes the tarball of a package; refuses one with dependencies outside this workspace. */
function pack(folder) {
  const cwd = join(root, "packages", folder);
  const output = run("pnpm", ["pack", "--json", "--pack-destination", project], cwd);
  const { name, filename, files } = JSON.parse(output);
  const { dependencies = {} } = JSON.parse(readFileSync(join(cwd, "package.json"), "utf8"));
  const foreign = Object.keys(dependencies).filter((other) => !other.startsWith("@viommu/"));
  if (foreign.length > 0) fail(`${name} has runtime dependencies: ${foreign.join(", ")}`);
  const file = join(project, basename(filename));
  const size = (path) => readFileSync(path).length;
  const unpacked = files.reduce((sum, entry) => sum + size(join(cwd, entry.path)), 0);
  return { name, file, bytes: size(file), unpacked };
}

/** Bundles the example with vite, and runs the bundle where there is nothing of Node. */
async function inBrowser() {
  const { output } = await build({
    root: project,
    logLevel: "warn",
    configFile: false,
    build: {
      write: false,
      target: "es2022",
      rollupOptions: { input: join(project, "example.js") },
    },
  });
  const code = output.find((chunk) => chunk.type === "chunk").code;
  const lines = [];
  const log = (...values) => lines.push(`${format(...values)}\n`);
  new Script(code).runInContext(createContext({ console: { log } }));
  return lines.join("");
}

function run(command, args, cwd) {
  const result = spawnSync(command, args, { cwd, encoding: "utf8" });
  if (result.status !== 0) {
    fail(`${command} ${args.join(" ")}\n${result.stdout}${result.stderr}${result.error ?? ""}`);
  }
  return result.stdout;
}

function expect(what, seen, wanted) {
  if (seen !== wanted) fail(`${what}: expected\n${wanted}but saw\n${seen}`);
  console.log(`ok  ${what}`);
}

function kib(bytes) {
  return `${(bytes / 1024).toFixed(1)} KiB`.padStart(10);
}

function fail(message) {
  throw new Error(message);
}
