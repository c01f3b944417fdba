import { ViommuError } from "@viommu/plugin";
import type { DmaRequest, GuestMemory, HookTable } from "@viommu/plugin";
import { maxGuestAddressWidth } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";

/**
 * 1 MiB, of which the host gives what is touched: as many entries as 256 MiB of small pages. With 8192
 * a guest that maps so much misses seven times in eight.
 */
const DEFAULT_IOTLB_SLOTS = 65_536;
const MOST_IOTLB_SLOTS = 2 ** 20;

/** Where the faults of DMA requests go: the fault log of the unit. */
export interface FaultReporter {
  /**
   * A request was blocked; called once for each. `request.suppressed` tells that FPD keeps the fault
   * out of the log. The request is valid during the call only.
   */
  dmaFault(reason: number, request: DmaRequest): void;
}

/** What a translation engine is made of. */
export interface TranslationOptions {
  readonly memory: GuestMemory;
  readonly capabilities: Capabilities;
  /** Bits of a host-physical address (HAW), 32 to 52. */
  readonly hostAddressWidth: number;
  /** Major version of the architecture (VER.MAX); 1 unless given. */
  readonly majorVersion?: number;
  /** PCI segment of the devices. */
  readonly segment: number;
  readonly reporter: FaultReporter;
  readonly hooks: HookTable;
  /** Name of the unit, for the hooks. */
  readonly unit: string;
  /** Entries of the IOTLB: a power of two up to 2^20; 65,536 unless given. 16 bytes each. */
  readonly iotlbSlots?: number;
}

/** Refuses what no engine can be made of (ERR_VIOMMU_TRANSLATION); returns the IOTLB's size. */
export function checkOptions(options: TranslationOptions): number {
  const { hostAddressWidth: haw, iotlbSlots: slots = DEFAULT_IOTLB_SLOTS } = options;
  if (!Number.isInteger(haw) || haw < 32 || haw > 52) {
    throw refusal(`hostAddressWidth is ${haw}; give 32 to 52 bits`);
  }
  const mgaw = maxGuestAddressWidth(options.capabilities);
  if (mgaw < 30) {
    throw refusal(`the maximum guest address width is ${mgaw} bits; set CAP.MGAW to 29 or more`);
  }
  if (!(slots >= 1 && slots <= MOST_IOTLB_SLOTS) || (slots & (slots - 1)) !== 0) {
    throw refusal(`iotlbSlots is ${slots}; give a power of two up to ${MOST_IOTLB_SLOTS}`);
  }
  return slots;
}

function refusal(message: string): ViommuError {
  return new ViommuError("ERR_VIOMMU_TRANSLATION", message);
}
