import {
  collection,
  capability,
  interruptRemappers,
  interruptSink,
  mmioRegions,
  snapshottables,
} from "@viommu/plugin";
import type { Capability, Collection, InterruptRemapper, Plugin } from "@viommu/plugin";
import { InterruptRoute, remapperOfSegment } from "./interrupt-route.ts";
import { Ioapic } from "./ioapic.ts";
import type { IoapicOptions } from "./ioapic.ts";
import { LapicBus } from "./vlapic-bus.ts";
import type { LapicBusOptions } from "./vlapic-bus.ts";

/** Who tells the I/O APICs about the EOI of level interrupts. */
export interface EoiBroadcaster {
  /** `listener` hears the vector of each. */
  onEoi(listener: (vector: number) => void): void;
}

/** The local APICs of the machine, for its CPU model. */
export const lapics: Capability<LapicBus> = capability("lapics");
/** All senders of EOI broadcasts. */
export const eoiBroadcasters: Collection<EoiBroadcaster> = collection("eoi-broadcasters");
/** All I/O APICs of the machine, for the devices on their pins. */
export const ioapics: Collection<Ioapic> = collection("ioapics");

/** Puts local APICs into a machine: its interrupts are delivered there. */
export function lapicBus(options: LapicBusOptions): Plugin {
  return {
    name: options.snapshotId ?? "lapic-bus",
    provides: [interruptSink, lapics, eoiBroadcasters, snapshottables],
    setup(host) {
      const bus = new LapicBus(options);
      host.provide(interruptSink, bus);
      host.provide(lapics, bus);
      host.provide(eoiBroadcasters, bus);
      host.provide(snapshottables, bus);
    },
  };
}

export interface IoapicPluginOptions extends Omit<IoapicOptions, "route"> {
  /** Requester id of its interrupts, as its scope in the DMAR table says. */
  readonly sourceId: number;
  /** PCI segment whose remapper covers it; 0 by default. */
  readonly segment?: number;
  /** Chooses the remapper of those in the machine, where the first of the segment is not the one. */
  readonly remapper?: (all: readonly InterruptRemapper[]) => InterruptRemapper | undefined;
}

/** Puts an I/O APIC into a machine, behind the interrupt remapper that covers it. */
export function ioapic(options: IoapicPluginOptions): Plugin {
  const { sourceId, segment = 0, remapper, ...own } = options;
  return {
    name: options.name,
    needs: [interruptSink, interruptRemappers, eoiBroadcasters],
    provides: [mmioRegions, snapshottables, ioapics],
    setup(host) {
      const all = host.use(interruptRemappers);
      const route = new InterruptRoute({
        sink: host.use(interruptSink),
        remapper: remapper === undefined ? remapperOfSegment(all, segment) : remapper(all),
        sourceId,
      });
      const chip = new Ioapic({ ...own, route });
      for (const broadcaster of host.use(eoiBroadcasters)) {
        broadcaster.onEoi((vector) => {
          chip.eoi(vector);
        });
      }
      host.provide(mmioRegions, chip);
      host.provide(snapshottables, chip);
      host.provide(ioapics, chip);
    },
  };
}
