// A third party's remapper (lib/paravirtual.ts) in the place of a VT-d unit. It needs nothing but
// `plugin`; `conformance` tells its author whether it is right.
import { dmaRemapperConformance, runConformance } from "@viommu/conformance";
import type { DmaMapping } from "@viommu/conformance";
import { createDmaPort, createMemory } from "@viommu/memory";
import { Access, assemble, dmaRemappers } from "@viommu/plugin";
import { pageOf, paravirtual, ParavirtualRemapper } from "./lib/paravirtual.ts";

const checks = dmaRemapperConformance(() => {
  const remapper = new ParavirtualRemapper();
  const map = ({ sourceId, hi, lo, outHi, outLo, pageShift, access }: DmaMapping): void => {
    remapper.map(sourceId, pageOf(hi, lo), pageOf(outHi, outLo), 2 ** (pageShift - 12), access);
  };
  const unmap = ({ sourceId, hi, lo, pageShift }: DmaMapping): void => {
    remapper.unmap(sourceId, pageOf(hi, lo), 2 ** (pageShift - 12));
  };
  const mappings = { map, unmap, sync: () => remapper.fence() };
  return { remapper, mappings, reported: () => remapper.faults, state: () => "" };
});
const { passed, failed } = runConformance(checks);
console.log(`conformance: ${passed} of ${checks.length}`, ...failed.map(({ name }) => name));

// In a machine: the device has the same port as over a VT-d unit.
const remapper = new ParavirtualRemapper();
const [found] = assemble([paravirtual(remapper)]).use(dmaRemappers);
const memory = createMemory({ regions: [{ base: 0, size: 2 ** 20 }] });
const port = createDmaPort({ memory, remapper: found!, sourceId: 0x0010 });
remapper.map(0x0010, 0x80000, 0x20, 2, Access.READ);
console.log(
  port.read(0x8000_0800, new Uint8Array(4096)),
  port.write(0x8000_0000, new Uint8Array(1)),
);

/* prints:
conformance: 22 of 22
0 2
*/
