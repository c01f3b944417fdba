import type { MmioBus } from "@viommu/guest-driver";
import { capability, mmioRegions } from "@viommu/plugin";
import type { Capability, MmioRegion, Plugin } from "@viommu/plugin";

/** The key of the way to all registers of the machine. */
export const mmioBus: Capability<MmioBus> = capability("mmio-bus");

/**
 * A bus with these register blocks on it, which do not overlap: found by bisection, as there may be
 * hundreds. Where there is none, reads give all ones and writes are lost.
 */
function createBus(regions: readonly MmioRegion[]): MmioBus {
  const sorted = [...regions].sort((a, b) => a.base - b.base);
  const find = (address: number): MmioRegion | null => {
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (sorted[middle]!.base <= address) low = middle + 1;
      else high = middle;
    }
    const region = sorted[low - 1];
    return region !== undefined && address < region.base + region.size ? region : null;
  };
  return {
    read(address, size, out) {
      const region = find(address);
      if (region === null) out.fill(-1, 0, 2);
      else region.read(address - region.base, size, out);
    },
    write(address, size, low, high) {
      const region = find(address);
      region?.write(address - region.base, size, low, high);
    },
  };
}

/** Puts all registers of the machine on one bus. */
export const busPlugin: Plugin = {
  name: "mmio-bus",
  needs: [mmioRegions],
  provides: [mmioBus],
  setup(host) {
    host.provide(mmioBus, createBus(host.use(mmioRegions)));
  },
};
