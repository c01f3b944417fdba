import { rows as convenience } from "./convenience.mjs";
import { rows as hit } from "./hit.mjs";
import { rows as interrupt } from "./interrupt.mjs";
import { rows as invalidate } from "./invalidate.mjs";
import { rows as miss } from "./miss.mjs";
import { memory as piommuMemory, rows as piommu } from "./piommu.mjs";
import { rows as queue } from "./queue.mjs";
import { rows as scalable } from "./scalable.mjs";
import { cold, steady } from "./steady.mjs";
import { rows as walk } from "./walk.mjs";
import { rows as xen } from "./xen.mjs";

/**
 * All rows by topic; each topic is measured in processes of its own, by `script` (measure.mjs) with
 * `flags` for Node. A row is `{ id, title, packages, goals, unit?, peer?, lanes(kit) }`: `lanes`
 * returns the variants for `interleave`, of which `viommu` is judged, or null where the engine can't. A goal is `{ atMost }` in the
 * row's unit (ns), with `against` in times of that lane's cost, with `row` in times of our own cost in
 * that row. `peer` is what the strongest peer was measured to cost elsewhere.
 */
export const topics = [
  { name: "hit", rows: hit },
  {
    name: "hit-not-inlined",
    rows: notInlined(hit),
    flags: ["--no-turbo-inlining", "--no-concurrent-recompilation"],
  },
  { name: "convenience", rows: convenience },
  { name: "miss", rows: miss },
  { name: "scalable", rows: scalable },
  { name: "walk", rows: walk },
  { name: "invalidate", rows: invalidate },
  { name: "queue", rows: queue },
  { name: "interrupt", rows: interrupt },
  { name: "piommu", rows: piommu },
  { name: "piommu-memory", rows: piommuMemory, script: "shadow-memory.mjs", flags: [] },
  { name: "xen", rows: xen },
  { name: "steady", rows: steady, script: "steady.mjs", flags: [] },
  { name: "cold", rows: cold, script: "cold.mjs", flags: [] },
];

/** The same rows, as a device model sees them that is too large for V8 to inline the call into. */
function notInlined(rows) {
  return rows.map((row) => ({ ...row, title: `${row.title}, call not inlined` }));
}
