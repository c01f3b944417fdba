import { createDmaPort } from "@viommu/memory";
import type { DmaPort } from "@viommu/memory";
import { NO_PASID } from "@viommu/plugin";
import { encode, REMAPPABLE_REQUEST } from "@viommu/vtd-spec";
import type { PhysicalUnit } from "./physical-unit.ts";

/** A device below a unit, doing DMA and interrupts; or one of the aliases of a device. */
export function createPhysicalDevice(unit: PhysicalUnit, sourceId: number): PhysicalDevice {
  return new PhysicalDevice(unit, sourceId);
}

/** A physical device: all it reaches, it reaches through its unit. */
export class PhysicalDevice {
  readonly sourceId: number;
  /** Its requests without PASID. */
  readonly dma: DmaPort;
  private readonly unit: PhysicalUnit;

  /** Called by {@link createPhysicalDevice}. */
  constructor(unit: PhysicalUnit, sourceId: number) {
    this.unit = unit;
    this.sourceId = sourceId;
    this.dma = this.dmaWith(NO_PASID);
  }

  /** Its requests with a PASID. */
  dmaWith(pasid: number): DmaPort {
    const { dmaRemapper, interruptRemapper, memory, sink } = this.unit;
    const { sourceId } = this;
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
