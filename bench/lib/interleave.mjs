import { median } from "./stats.mjs";

/**
 * Run first through the place that runs the windows: having seen several functions there, V8 does not
 * inline a window into the harness, where it would be compiled differently.
 */
const IDLE = [() => 0, () => 1, () => 2];

/**
 * Measures variants of one operation in short windows that take turns, so that all of them see the
 * same moments of a noisy machine. A variant is `{ run(start, count), prepare?(), ops?, windows? }`:
 * `run` does operations number `start` to `start + count - 1`; `prepare` runs untimed before each
 * window; `ops` fixes the operations per window (otherwise as many as fill `windowNs`); `windows`
 * caps the windows of a slow variant. Returns nanoseconds per operation by name: the median window.
 */
export function interleave(variants, { windows, windowNs, warmNs }) {
  for (let i = 0; i < 3000; i++) windowOf({ variant: { run: IDLE[i % 3] }, start: 0, ops: 1 });
  const lanes = Object.entries(variants).map(([name, variant]) => {
    const lane = { name, variant, ops: variant.ops ?? 1, start: 0, samples: [] };
    warm(lane, warmNs, windowNs);
    return lane;
  });
  const timer = median(Array.from({ length: 101 }, () => timed(() => undefined)));
  for (let window = 0; window < windows; window++) {
    // The order turns, so that nobody always runs in the cache that another has left.
    for (let turn = 0; turn < lanes.length; turn++) {
      const lane = lanes[(window + turn) % lanes.length];
      if (lane.samples.length >= (lane.variant.windows ?? windows)) continue;
      lane.samples.push(Math.max(0, windowOf(lane) - timer) / lane.ops);
    }
  }
  return Object.fromEntries(lanes.map((lane) => [lane.name, median(lane.samples)]));
}

function windowOf(lane) {
  const { variant, start, ops } = lane;
  variant.prepare?.();
  const elapsed = timed(() => variant.run(start, ops));
  lane.start = (start + ops) % 2 ** 30;
  return elapsed;
}

function timed(work) {
  const begun = performance.now();
  work();
  return (performance.now() - begun) * 1e6;
}

/**
 * Runs a lane until it is compiled, and finds the operations that fill one window. The time is that
 * of the processor: on a busy machine little may happen while the clock runs.
 */
function warm(lane, warmNs, windowNs) {
  const { ops, windows = Infinity } = lane.variant;
  const begun = process.cpuUsage();
  for (let rounds = 0; rounds < windows; rounds++) {
    const elapsed = windowOf(lane);
    const scale = Math.min(2, windowNs / Math.max(elapsed, 1));
    if (ops === undefined) lane.ops = Math.max(1, Math.round(lane.ops * scale));
    const { user, system } = process.cpuUsage(begun);
    if ((user + system) * 1000 >= warmNs) return;
  }
}
