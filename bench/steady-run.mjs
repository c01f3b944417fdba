// The long run of steady.mjs: hits, misses and interrupts in turn, first to warm up, then between marks.
import { PerformanceObserver } from "node:perf_hooks";
import { setTimeout } from "node:timers/promises";
import { randomPages } from "./lib/addresses.mjs";
import { createEngine } from "./lib/engine.mjs";
import { guestWithDevices, IOVA, loadPackages } from "./lib/kit.mjs";
import { deliveryLanes } from "./lib/delivery-lanes.mjs";
import { messageLanes, msiList } from "./lib/message-lanes.mjs";
import { missWindow, translateWindow } from "./lib/translation-lanes.mjs";

const STEP = 50_000;
const WARM_STEPS = 100;
const STEPS = 200; // of two times STEP translations: 20 million

const packages = await loadPackages();
const complete =
  packages.translation !== undefined &&
  packages["interrupt-remapping"] !== undefined &&
  packages["irq-hooks"] !== undefined;
if (complete) {
  const steps = preparedSteps();
  for (let i = 0; i < WARM_STEPS; i++) steps(i);
  globalThis.gc();
  await setTimeout(50);
  const collections = await counted(() => {
    console.log("--- warm ---");
    for (let i = 0; i < STEPS; i++) steps(i);
    console.log("--- done ---");
  });
  console.log(JSON.stringify({ complete, collections }));
} else {
  console.log('--- warm ---\n--- done ---\n{"complete":false}');
}

function preparedSteps() {
  const kit = { packages, native: null };
  const list = randomPages(IOVA, 512);
  const setup = guestWithDevices({ pages: 512 });
  const hits = { ...createEngine(kit, setup), list };
  const misses = { ...createEngine(kit, setup), list };
  const messages = messageLanes(kit, { list: msiList(512) }).viommu;
  const deliveries = deliveryLanes(kit, 288).viommu;
  return (step) => {
    translateWindow(hits, step * STEP, STEP);
    missWindow(misses, step * STEP, STEP);
    messages.run(step * STEP, STEP / 2);
    deliveries.run(step * STEP, STEP / 2);
  };
}

/** Garbage collections while `work` ran; their entries arrive later than they happen. */
async function counted(work) {
  let collections = 0;
  const observer = new PerformanceObserver((list) => {
    collections += list.getEntries().length;
  });
  observer.observe({ entryTypes: ["gc"] });
  work();
  await setTimeout(50);
  observer.disconnect();
  return collections;
}
