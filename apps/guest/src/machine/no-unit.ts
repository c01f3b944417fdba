import type { GuestUnit } from "@viommu/piommu";
import { InterruptResult } from "@viommu/plugin";
import type { InterruptRemapper, InterruptRequest } from "@viommu/plugin";
import { decodeCapabilities } from "@viommu/vtd-spec";
import { directDma } from "./direct-dma.ts";

/**
 * What stands for the unit above a passed-through device in a guest without units: it has no
 * capabilities and is never switched on, so that the device reaches guest memory as it is.
 */
export function noUnit(hostAddressWidth: number, extendedDestinationId: boolean): GuestUnit {
  const remap = (request: InterruptRequest): number => {
    const { address } = request;
    request.messageAddress = address;
    request.messageData = request.data;
    // bits 14:8 of the destination, where the guest was told of them
    request.messageUpper = extendedDestinationId ? ((address >>> 5) & 0x7f) << 8 : 0;
    return InterruptResult.DELIVER;
  };
  const interrupts: InterruptRemapper = { segment: 0, remap, probe: remap };
  return {
    name: "no unit",
    segment: 0,
    profile: { capabilities: decodeCapabilities(0n, 0n), hostAddressWidth },
    dma: directDma(0),
    interrupts,
    recordDmaFault: () => undefined, // nobody to tell
  };
}
