import {
  collection,
  dmaRemappers,
  guestMemory,
  interruptRemappers,
  interruptSink,
  mmioRegions,
  pendingWork,
  snapshottables,
} from "@viommu/plugin";
import type { Collection, Plugin } from "@viommu/plugin";
import { createUnit } from "./unit.ts";
import type { VtdUnit } from "./unit.ts";
import type { UnitSettings } from "./unit-options.ts";

/** All VT-d units of the machine, for what no port covers: profiles, page requests. */
export const vtdUnits: Collection<VtdUnit> = collection("vtd-units");

/** One remapping unit as a part of a machine. */
export function vtd(options: UnitSettings): Plugin {
  return {
    name: options.name,
    needs: [guestMemory, interruptSink],
    provides: [
      vtdUnits,
      mmioRegions,
      dmaRemappers,
      interruptRemappers,
      pendingWork,
      snapshottables,
    ],
    setup(host) {
      const unit = createUnit({
        ...options,
        memory: host.use(guestMemory),
        sink: host.use(interruptSink),
        hooks: host.hooks,
      });
      host.provide(vtdUnits, unit);
      host.provide(mmioRegions, unit);
      host.provide(dmaRemappers, unit.dma);
      host.provide(interruptRemappers, unit.interrupts);
      host.provide(pendingWork, unit);
      host.provide(snapshottables, unit);
    },
  };
}
