// Runs the `viommu` command line from source: `npm run viommu -- <command>`.
import { runFromSource } from "./run-from-source.mjs";

const main = new URL("../apps/guest/src/main.ts", import.meta.url);
process.exit(runFromSource(main, process.argv.slice(2)));
