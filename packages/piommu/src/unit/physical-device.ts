import { createDmaPort } from "@viommu/memory";
import type { Atc, AtcOptions, DmaPort } from "@viommu/memory";
import { NO_PASID } from "@viommu/plugin";
import type { DmaRemapper } from "@viommu/plugin";
import { encode, REMAPPABLE_REQUEST } from "@viommu/vtd-spec";
import type { PhysicalUnit } from "./physical-unit.ts";

/** What a device below a unit has. */
export interface PhysicalDeviceParts {
  /**
   * It keeps translations itself (PCI Express ATS), and may make page requests (PRI); while the host
   * wants it so: the unit knows the device as one with `ats`, and `pri`.
   */
  readonly deviceTlb?: Pick<AtcOptions, "entries" | "pageRequests">;
}

/**
 * A device below a unit, doing DMA and interrupts; or one of the aliases of a device. Make one with a
 * device-TLB once: it is the one that the unit invalidates.
 */
export function createPhysicalDevice(
  unit: PhysicalUnit,
  sourceId: number,
  parts: PhysicalDeviceParts = {},
): PhysicalDevice {
  return new PhysicalDevice(unit, sourceId, parts);
}

/** A physical device: all it reaches, it reaches through its unit. */
export class PhysicalDevice {
  readonly sourceId: number;
  /** Its translation cache; null without. */
  readonly deviceTlb: Atc | null;
  /** What answers its requests: the cache, or the unit. */
  readonly dmaRemapper: DmaRemapper;
  /** Its requests without PASID. */
  readonly dma: DmaPort;
  private readonly unit: PhysicalUnit;

  /** Called by {@link createPhysicalDevice}. */
  constructor(unit: PhysicalUnit, sourceId: number, { deviceTlb }: PhysicalDeviceParts) {
    this.unit = unit;
    this.sourceId = sourceId;
    this.deviceTlb = deviceTlb === undefined ? null : unit.connectDeviceTlb(sourceId, deviceTlb);
    this.dmaRemapper = this.deviceTlb ?? unit.dmaRemapper;
    this.dma = this.dmaWith(NO_PASID);
  }

  /** Its requests with a PASID. */
  dmaWith(pasid: number): DmaPort {
    const { interruptRemapper, memory, sink } = this.unit;
    const { dmaRemapper, sourceId } = this;
    const interrupts = { remapper: interruptRemapper, sink };
    return createDmaPort({ memory, remapper: dmaRemapper, sourceId, pasid, interrupts });
  }

  /** Sends the message of an interrupt entry (VT-d 5.1.2.2); 0, or the fault reason. */
  interrupt(handle: number): number {
    const fields = { FEE: 0xfee, HANDLE: handle & 0x7fff, IF: 1, HANDLE_15: handle >>> 15 };
    const words = encode(REMAPPABLE_REQUEST, fields);
    return this.dma.writeWord(words[0]! >>> 0, words[1]!);
  }
}
