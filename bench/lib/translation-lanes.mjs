import { createEngine } from "./engine.mjs";
import { guestWithDevices } from "./kit.mjs";

/** Slots of the ideal IOTLB: it is fastest when they stay in the near caches. */
const SLOTS = 8192;
/** Entries at which the hash-table IOTLB drops everything. */
const CAP = 1024;

/**
 * The three sides of a translation row, over one guest and one address list: `viommu` (request
 * API), `ideal` and `glib`. `flush` empties each IOTLB once a round of the list.
 */
export function translationLanes(kit, { list, flush = false, cap = CAP, slots = SLOTS, ...shape }) {
  const setup = guestWithDevices(shape);
  const lane = { ...createEngine(kit, setup), list };
  const window = flush ? missWindow : translateWindow;
  return {
    viommu: { run: (start, count) => window(lane, start, count) },
    ...baselineLanes(kit, setup, { list, flush, cap, slots }),
  };
}

/** `ideal` and `glib`, as far as they could be built. */
export function baselineLanes(kit, setup, { list, flush = false, cap = CAP, slots = SLOTS }) {
  return eachBaseline(kit, setup, { cap, slots }, (iotlb) => ({
    run: (start, count) => kit.native.translate(iotlb, 0, list.values, start, count, flush ? 1 : 0),
  }));
}

/** `ideal` for nested tables: all 24 references, each time. */
export function nestedLane({ native }, { guest, devices }, list) {
  if (native === null) return {};
  const { firstStage, secondStage } = devices[0];
  const run = (start, count) =>
    native.nestedWalk(guest.buffer, firstStage, secondStage, list.values, start, count);
  return { ideal: { run } };
}

/** Makes a lane of each C IOTLB there is: `laneOf(iotlb, side)`. A `cap` of 0 is none. */
export function eachBaseline({ native }, setup, { cap = CAP, slots = SLOTS }, laneOf) {
  if (native === null) return {};
  const { guest, devices, levels } = setup;
  const roots = Float64Array.from(devices, (device) => device.root);
  const ideal = laneOf(native.createIdeal(guest.buffer, roots, levels, slots), "ideal");
  if (native.createHashed === undefined) return { ideal };
  const hashed = native.createHashed(guest.buffer, roots, levels, cap);
  return { ideal, glib: laneOf(hashed, "glib") };
}

/** What a device does: fill in its request, ask, use the answer. A blocked request spoils the sum. */
export function translateWindow(lane, start, count) {
  const { engine, request } = lane;
  const { pairs, length } = lane.list;
  const mask = length - 1;
  let sum = 0;
  for (let i = start; i < start + count; i++) {
    const at = (i & mask) << 1;
    request.hi = pairs[at];
    request.lo = pairs[at | 1];
    const frame =
      engine.translate(request) === 0 ? (request.outHi << 18) | (request.outLo >>> 12) : 1 << 31;
    sum = (sum + frame) | 0;
  }
  return sum;
}

/** The same with PASIDs 1 to `pasids` in turn; `pasids` divides the length of the list. */
export function pasidWindow(pasids) {
  return (lane, start, count) => {
    const { engine, request } = lane;
    const { pairs, length } = lane.list;
    const mask = length - 1;
    let sum = 0;
    for (let i = start; i < start + count; i++) {
      const at = (i & mask) << 1;
      request.pasid = 1 + (i & (pasids - 1));
      request.hi = pairs[at];
      request.lo = pairs[at | 1];
      const frame =
        engine.translate(request) === 0 ? (request.outHi << 18) | (request.outLo >>> 12) : 1 << 31;
      sum = (sum + frame) | 0;
    }
    return sum;
  };
}

/** The same, and every round of the list begins with an empty IOTLB. */
export function missWindow(lane, start, count) {
  const { engine, list } = lane;
  const end = start + count;
  let sum = 0;
  while (start < end) {
    const at = start & (list.length - 1);
    if (at === 0) engine.invalidateIotlbGlobal();
    const run = Math.min(list.length - at, end - start);
    sum = (sum + translateWindow(lane, start, run)) | 0;
    start += run;
  }
  return sum;
}
