import type { PhysicalIommuHarness, PhysicalInterrupt } from "@viommu/conformance";
import type { DmaPort } from "@viommu/memory";
import { Access } from "@viommu/plugin";
import { createPhysicalDevice } from "../../src/index.ts";
import type { PhysicalUnitOptions } from "../../src/index.ts";
import { FULL, unitHost } from "./unit-host.ts";

const DEVICE = 0x0123;
const ALIAS = 0x0201;
const OTHER = 0x0010;

/** The model of a unit, for the conformance suite. */
export function unitHarness(
  profile: typeof FULL = FULL,
  options: Partial<PhysicalUnitOptions> = {},
): PhysicalIommuHarness {
  const devices = [{ sourceId: DEVICE, aliases: [ALIAS] }];
  const { delivered, memory, unit } = unitHost(profile, { devices, ...options });
  const port = (sourceId: number, pasid: number): DmaPort =>
    createPhysicalDevice(unit, sourceId).dmaWith(pasid);
  return {
    iommu: unit,
    memory,
    firstFrame: 0x300,
    devices: [DEVICE, OTHER],
    alias: ALIAS,
    pasids: unit.info.nesting ? [1, 0x40] : [],
    read: (sourceId, pasid, address) => {
      const bytes = new Uint8Array(4);
      if (port(sourceId, pasid).read(address, bytes) !== 0) return null;
      return new DataView(bytes.buffer).getInt32(0, true);
    },
    write: (sourceId, pasid, address, value) =>
      port(sourceId, pasid).writeWord(address, value) === 0,
    begin: (sourceId, address) => {
      const segments = createPhysicalDevice(unit, sourceId).dma.segments(address, 64, Access.READ);
      return () => {
        segments.release();
      };
    },
    interrupt: (sourceId, handle) => {
      delivered.length = 0;
      createPhysicalDevice(unit, sourceId).interrupt(handle);
      return delivered.map(([upper, address, data]): PhysicalInterrupt => ({
        vector: data! & 0xff,
        destination: (upper! | ((address! >>> 12) & 0xff)) >>> 0,
      }));
    },
  };
}
