import type { IommuDriver } from "@viommu/guest-driver";
import type { DeviceConfig } from "../config/guest-config.ts";
import type { Ram } from "./ram.ts";

/** Of PASIDs: all that there are. */
const PASID_BITS = 20;
const STAGES = { "first-stage": "first", "second-stage": "second" } as const;

/** What a device driver uses to make memory reachable for its device. */
export interface DmaSpace {
  /** I/O virtual address of the first byte. `access` is READ, WRITE or both, as the device sees it. */
  map(address: number, length: number, access: number): number;
  /** Takes back what `map` has returned. */
  unmap(iova: number): void;
}

/** For devices whose DMA nobody translates. */
const untranslated: DmaSpace = {
  map: (address) => address,
  unmap: () => undefined,
};

/** What the DMA of a device goes through where a unit translates it: a domain of its own, mostly. */
export function dmaSpaceOf(
  iommu: IommuDriver | null,
  { address, domain, paging }: DeviceConfig,
  ram: Ram,
): DmaSpace {
  if (iommu === null) return untranslated;
  const description = iommu.topology.unitOf(address);
  const unit = iommu.units.find((candidate) => candidate.description === description);
  if (unit?.devices == null) return untranslated;
  if (paging !== null) {
    const { hostPermissions } = paging;
    const features = { pasidBits: PASID_BITS, deviceTlb: true, pageRequests: true };
    iommu.setFeatures(address, { ...features, hostPermissions });
  }
  if (domain === "pass-through") {
    iommu.passThrough(address);
    return untranslated;
  }
  const space = iommu.attach(address, domain === null ? {} : { stage: STAGES[domain] });
  if (paging?.nested === true) {
    // tables and pages of processes may lie anywhere
    for (const { base, size } of ram.ranges) space.mapIdentity(base, base + size - 1);
  }
  return space;
}
