import type { DmaRemapper, DmaRequest, InterruptRemapper } from "@viommu/plugin";
import type { Capabilities } from "@viommu/vtd-spec";

/** What the driver needs of a guest's virtual remapping unit; `VtdUnit` of `@viommu/vtd` is one. */
export interface GuestUnit {
  /** As the unit's hooks report it. */
  readonly name: string;
  readonly segment: number;
  readonly profile: {
    readonly capabilities: Capabilities;
    readonly hostAddressWidth: number;
  };
  /** Holds back completions while a shadow is behind, and records the guest's own faults. */
  readonly dma: DmaRemapper;
  /** Reads the guest's interrupt entries. */
  readonly interrupts: InterruptRemapper;
  /** Records a request that was blocked below the unit, as if the unit had blocked it. */
  recordDmaFault(reason: number, request: DmaRequest): void;
}
