import { Access, DmaResult } from "@viommu/plugin";
import type { DmaRemapper } from "@viommu/plugin";

const { READ, WRITE, BYPASS } = Access;

/** What is above a device that is under no unit: its addresses are those of memory. */
export function directDma(segment: number): DmaRemapper {
  const remapper: DmaRemapper = {
    segment,
    translate(request) {
      request.outHi = request.hi;
      request.outLo = request.lo;
      request.pageShift = 12;
      request.granted = READ | WRITE | BYPASS;
      return DmaResult.TRANSLATED;
    },
    probe: (request) => remapper.translate(request),
    enter: () => 0,
    leave: () => undefined,
  };
  return remapper;
}
