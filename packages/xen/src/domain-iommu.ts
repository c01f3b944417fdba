import { createGuestIommu } from "@viommu/piommu";
import type { GuestIommu, GuestIommuOptions } from "@viommu/piommu";
import { ViommuError } from "@viommu/plugin";
import type { XenDomain } from "./domain.ts";

/** What the host adds; name, memory, units and quota are the domain's. */
export interface DomainIommuOptions extends Omit<
  GuestIommuOptions,
  "name" | "memory" | "units" | "frameQuota"
> {
  /** Frames of the domain's budget that shadows may use; all that are free unless given. */
  readonly frames?: number;
}

/**
 * Makes the driver of a domain's passed-through devices, once its vIOMMUs are created. It hears of
 * the domain's invalidations and takes its turn in `ViommuRegistry.run`; its frames are part of the
 * domain's budget as long as the domain lives. Faults of the physical IOMMU are for the host to hand
 * over. Throws ERR_VIOMMU_XEN_BUDGET when the frames are not free, ERR_VIOMMU_XEN_DOMAIN for a second
 * one, and what `createGuestIommu` throws, with nothing changed.
 */
export function createDomainIommu(domain: XenDomain, options: DomainIommuOptions): GuestIommu {
  const { domid } = domain;
  const { frames = domain.frames.free, ...rest } = options;
  if (domain.iommu !== null) {
    throw new ViommuError(
      "ERR_VIOMMU_XEN_DOMAIN",
      `domain ${domid} has a driver of its devices already: use domain.iommu`,
    );
  }
  if (!Number.isSafeInteger(frames) || frames < 1 || frames > domain.frames.free) {
    throw new ViommuError(
      "ERR_VIOMMU_XEN_BUDGET",
      `domain ${domid}: ${frames} frames for the shadows of its devices, ${domain.frames.free} are ` +
        "free; give at least 1 and no more than are free, or raise budget.frames",
    );
  }
  const iommu = createGuestIommu({
    ...rest,
    name: `dom${domid}`,
    memory: domain.machine.memory,
    units: domain.units.map(({ unit }) => unit),
    frameQuota: frames,
  });
  domain.frames.take(frames);
  domain.passDevicesTo(iommu);
  return iommu;
}
