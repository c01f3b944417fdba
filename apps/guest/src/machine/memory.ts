import { createMemory } from "@viommu/memory";
import { capability, guestMemory } from "@viommu/plugin";
import type { Capability, Plugin } from "@viommu/plugin";
import { DomainPages } from "@viommu/xen";
import type { AddressRange } from "../config/guest-config.ts";

/** The key of the memory as pages that move. */
export const domainPages: Capability<DomainPages> = capability("domain-pages");

/** Memory of a guest, which knows what was written to it. */
export function memoryPlugin(regions: readonly AddressRange[], addressWidth: number): Plugin {
  return {
    name: "memory",
    provides: [guestMemory, domainPages],
    setup(host) {
      const memory = createMemory({ regions, addressWidth, dirtyLog: true });
      host.provide(guestMemory, memory);
      host.provide(domainPages, new DomainPages(memory, regions));
    },
  };
}
