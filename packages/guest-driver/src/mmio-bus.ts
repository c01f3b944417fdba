import type { MmioRegion } from "@viommu/plugin";

/** The way of a processor to memory-mapped registers, by guest-physical byte address. */
export interface MmioBus {
  /** Reads 4 or 8 bytes: `out[0]` low word, `out[1]` high word. */
  read(address: number, size: number, out: Int32Array): void;
  /** Writes 4 or 8 bytes; `high` counts for 8 bytes only. */
  write(address: number, size: number, low: number, high: number): void;
}

/**
 * A bus with these register blocks on it. Where there is none, reads give all ones and writes are
 * lost, as on a PC.
 */
export function createMmioBus(regions: readonly MmioRegion[]): MmioBus {
  const find = (address: number): MmioRegion | undefined =>
    regions.find(({ base, size }) => address >= base && address < base + size);
  return {
    read(address, size, out) {
      const region = find(address);
      if (region === undefined) out.fill(-1, 0, 2);
      else region.read(address - region.base, size, out);
    },
    write(address, size, low, high) {
      const region = find(address);
      region?.write(address - region.base, size, low, high);
    },
  };
}
