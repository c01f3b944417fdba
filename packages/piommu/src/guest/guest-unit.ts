import type { DmaRemapper, DmaRequest, InterruptRemapper, PageRequest } from "@viommu/plugin";
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
  /**
   * A device asks for a page: 0 when it is in the guest's queue; otherwise it was answered, if it was
   * the last of its group: with success for -1 (the queue is full), else with Invalid Request. Missing
   * where the unit has no page requests.
   */
  pageRequest?(request: PageRequest): number;
}
