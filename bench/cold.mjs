// The first 10,000 translations of a process, before anything is compiled; prints milliseconds.
import { randomPages } from "./lib/addresses.mjs";
import { createEngine } from "./lib/engine.mjs";
import { guestWithDevices, IOVA, loadPackages } from "./lib/kit.mjs";
import { translateWindow } from "./lib/translation-lanes.mjs";

const packages = await loadPackages();
const result = {};
if (packages.translation !== undefined) {
  const setup = guestWithDevices({ pages: 512 });
  const lane = { ...createEngine({ packages }, setup), list: randomPages(IOVA, 512) };
  const begun = performance.now();
  translateWindow(lane, 0, 10_000);
  result.cold = { viommu: performance.now() - begun };
}
process.stdout.write(JSON.stringify(result));
