// The static checks, one after the other; all run even when one fails.
import { spawnSync } from "node:child_process";

const CHECKS = [
  ["typecheck", "npm run --silent typecheck"],
  ["lint", "npm run --silent lint"],
  ["format", "npm run --silent format:check"],
  ["boundaries", "npm run --silent boundaries"],
  ["unused code", "npm run --silent unused"],
  ["workspace", "sherif"],
  ["build", "npm run --silent build"],
  ["packages", "npm run --silent packages:check"],
  ["steady run", "node tools/check-steady.mjs"],
  ["consumer", "node tools/check-consumer.mjs"],
  ["release", "node tools/check-release.mjs"],
  ["API reference", "npm run --silent docs"],
];

let failed = 0;
for (const [name, command] of CHECKS) {
  const started = performance.now();
  const result = spawnSync(command, {
    shell: true,
    encoding: "utf8",
    env: { ...process.env, DO_NOT_TRACK: "1", FORCE_COLOR: "0" },
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const ok = result.status === 0;
  console.log(`${ok ? "ok    " : "FAILED"} ${name} (${seconds} s)`);
  if (!ok) {
    failed += 1;
    console.log(`${result.stdout}${result.stderr}`);
  }
}
console.log(`checks: ${CHECKS.length - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
