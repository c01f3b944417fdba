import { createMemory } from "@viommu/memory";
import { guestMemory } from "@viommu/plugin";
import type { Plugin } from "@viommu/plugin";
import type { AddressRange } from "../config/guest-config.ts";

/** Memory of a guest. */
export function memoryPlugin(regions: readonly AddressRange[], addressWidth: number): Plugin {
  return {
    name: "memory",
    provides: [guestMemory],
    setup(host) {
      host.provide(guestMemory, createMemory({ regions, addressWidth }));
    },
  };
}
