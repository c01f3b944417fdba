import type { GuestMemory } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { FirstStageWalker } from "./first-stage.ts";
import type { FirstStageKind } from "./first-stage.ts";
import { HostPermissionWalker } from "./host-permission.ts";
import { NestedStage } from "./nested-stage.ts";
import type { PagingStructureCache } from "./paging-structure-cache.ts";
import { PassThroughWalker } from "./pass-through.ts";
import { firstStageMasks, secondStageMasks } from "./reserved-masks.ts";
import type { PagingMasks } from "./reserved-masks.ts";
import { SCALABLE_SECOND_STAGE, SecondStageWalker } from "./second-stage.ts";
import type { SecondStageKind } from "./second-stage.ts";
import type { Walker } from "./walk.ts";

/** What the walkers of scalable mode work with. */
export interface ScalableWalkersOptions {
  readonly memory: GuestMemory;
  readonly cache: PagingStructureCache;
  readonly capabilities: Capabilities;
  readonly hostAddressWidth: number;
  /** RTADDR.SSIRWE. */
  readonly ioPermissions: boolean;
}

/** How a PASID table entry says that the second stage is walked. */
export type SecondStageFlags = Omit<SecondStageKind, "ioPermissions">;

/** The walkers of scalable mode, one for each combination of flags that a PASID entry has used. */
export class ScalableWalkers {
  /** Of translated requests that need permission. */
  readonly hostPermission: Walker;
  private readonly options: ScalableWalkersOptions;
  private readonly firstStageMasks: PagingMasks;
  private readonly secondStageMasks: PagingMasks;
  private readonly known = new Map<string, Walker>();

  constructor(options: ScalableWalkersOptions) {
    const { memory, capabilities, hostAddressWidth, ioPermissions } = options;
    this.options = options;
    this.hostPermission = new HostPermissionWalker(memory, capabilities, hostAddressWidth);
    this.firstStageMasks = firstStageMasks(capabilities, hostAddressWidth);
    this.secondStageMasks = secondStageMasks(capabilities, hostAddressWidth, ioPermissions);
  }

  /** @param snoop `Access.SNOOP` or 0 */
  passThrough(snoop: number): Walker {
    return this.one(`pass-through,${snoop}`, () => {
      const reasons = {
        width: FaultReason.SM_HOST_WIDTH,
        interruptRange: FaultReason.SM_OUTPUT_IN_INTERRUPT_RANGE,
      };
      return new PassThroughWalker(reasons, snoop);
    });
  }

  secondStage(flags: SecondStageFlags): Walker {
    const { memory, cache, ioPermissions } = this.options;
    const { setsFlags, walkSnoops, snoop } = flags;
    return this.one(keyOf("second", flags), () => {
      const masks = this.secondStageMasks;
      const kind = { ioPermissions, setsFlags, walkSnoops, snoop };
      return new SecondStageWalker({ memory, cache, masks, reasons: SCALABLE_SECOND_STAGE, kind });
    });
  }

  firstStage(kind: FirstStageKind): Walker {
    return this.one(keyOf("first", kind), () => this.firstStageWalker(kind, null));
  }

  nested(kind: FirstStageKind, under: SecondStageFlags): Walker {
    return this.one(keyOf("nested", { ...kind, under: keyOf("second", under) }), () =>
      this.firstStageWalker(kind, new NestedStage(this.secondStage(under), under.setsFlags)),
    );
  }

  private firstStageWalker(kind: FirstStageKind, nested: NestedStage | null): Walker {
    const { memory, cache } = this.options;
    return new FirstStageWalker({ memory, cache, masks: this.firstStageMasks, kind, nested });
  }

  private one(key: string, make: () => Walker): Walker {
    let walker = this.known.get(key);
    if (walker === undefined) {
      walker = make();
      this.known.set(key, walker);
    }
    return walker;
  }
}

/** Names a combination of flags; they come in the same order each time. */
function keyOf(stage: string, flags: object): string {
  return `${stage},${Object.values(flags).join()}`;
}
