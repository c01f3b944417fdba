// Runs one of the examples from source: `npm run example -- <name>`; without a name, lists them.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { runFromSource } from "./run-from-source.mjs";

const folder = new URL("../examples/", import.meta.url);
const [name, ...rest] = process.argv.slice(2);
const file = new URL(`${name}.ts`, folder);

if (name === undefined || !existsSync(file)) {
  if (name !== undefined) console.error(`There is no example "${name}".`);
  for (const entry of readdirSync(folder).filter((entry) => /^[a-z-]+\.ts$/.test(entry))) {
    const first = readFileSync(new URL(entry, folder), "utf8").split("\n", 1)[0];
    console.log(`${entry.replace(".ts", "").padEnd(26)} ${first.replace("// ", "")}`);
  }
  process.exit(name === undefined ? 0 : 2);
}
process.exit(runFromSource(file, rest));
