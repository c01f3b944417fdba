import { cpus, totalmem } from "node:os";

/** What the figures were measured on, by name. */
export function describeMachine(baseline) {
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    v8: process.versions.v8,
    gcc: baseline.compiler,
    glib: baseline.glib,
  };
}
