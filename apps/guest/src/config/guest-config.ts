import type { Profile } from "@viommu/vtd";
import type { HostConfig } from "./host-config.ts";
import type { BusAddress } from "./values.ts";

/** A run of guest-physical addresses. */
export interface AddressRange {
  readonly base: number;
  /** Bytes. */
  readonly size: number;
}

/** Processors and how they are addressed. */
interface ProcessorConfig {
  /** APIC id of each vCPU. */
  readonly apicIds: readonly number[];
  readonly apicMode: "x2apic" | "xapic";
  /** 15-bit APIC ids in messages that no unit remaps. */
  readonly extendedDestinationId: boolean;
}

/** A remapping unit. */
export interface UnitConfig {
  readonly name: string;
  readonly base: number;
  readonly segment: number;
  readonly includeAll: boolean;
  readonly profile: Profile;
  readonly queueBudget?: number | undefined;
  readonly iotlbSlots?: number | undefined;
}

interface BridgeConfig {
  readonly name: string;
  readonly address: BusAddress;
  readonly buses: { readonly first: number; readonly last: number };
  /** The unit that names it; null when none does. */
  readonly unit: string | null;
}

/** An I/O APIC. */
export interface IoapicConfig {
  readonly name: string;
  readonly id: number;
  readonly base: number;
  readonly pins: number;
  readonly address: BusAddress;
  /** Global system interrupt of pin 0. */
  readonly interruptBase: number;
  /** The unit that remaps its interrupts; null: the machine has none. */
  readonly unit: string | null;
}

/** How a device interrupts. */
export type InterruptConfig =
  | { readonly kind: "msi-x"; readonly vectors: number }
  | {
      readonly kind: "pin";
      readonly ioapic: string;
      readonly pin: number;
      readonly trigger: "edge" | "level";
    };

/** Processes that share their memory with an accelerator, as in `paging` of the schema. */
export interface PagingConfig {
  readonly processes: number;
  readonly pages: number;
  readonly frames: number;
  readonly lifetime: number;
  readonly translations: number;
  readonly groups: number;
  readonly nested: boolean;
  readonly hostPermissions: boolean;
}

/** A device. */
export interface DeviceConfig {
  readonly name: string;
  readonly kind: "nic" | "block" | "timer" | "accelerator";
  readonly address: BusAddress;
  /** The unit that it is under; null: the machine has none. */
  readonly unit: string | null;
  /** The unit names it (and not its bridge, or all of its segment). */
  readonly named: boolean;
  readonly bar: number;
  readonly interrupt: InterruptConfig;
  /** What its DMA goes through; null: what the driver of its unit chooses. */
  readonly domain: "first-stage" | "second-stage" | "pass-through" | null;
  /** Null in all devices but accelerators. */
  readonly paging: PagingConfig | null;
  /** Its driver has a pool for small packets; false in all devices but network cards. */
  readonly sendPool: boolean;
  /** Where it is in the host that it belongs to; null: it is emulated. */
  readonly hostAddress: BusAddress | null;
}

/** The guest's driver of its units, as in `driver` of the schema. */
interface DriverConfig {
  readonly mode: "legacy" | "scalable";
  /** Entries of each page request queue. */
  readonly pageRequestQueue: number;
}

/** What the guest does, as in `workload` of the schema. */
export interface WorkloadConfig {
  readonly interrupts: number;
  readonly transfers: number;
  readonly affinityChanges: number;
  readonly seed: number;
  readonly unmapping: "strict" | "lazy";
}

/** What a configuration says, and the machine has not. */
export interface ConfigNotice {
  /** "guest.cfg:3:9". */
  readonly place: string;
  /** "serial", "disk[2]". */
  readonly key: string;
  /** Why it is left out. */
  readonly text: string;
}

/** A guest that can work: everything is chosen, everything refers to something that is there. */
export interface GuestConfig {
  readonly name: string;
  readonly processors: ProcessorConfig;
  readonly memory: readonly AddressRange[];
  readonly hostAddressWidth: number;
  readonly units: readonly UnitConfig[];
  readonly bridges: readonly BridgeConfig[];
  readonly ioapics: readonly IoapicConfig[];
  readonly devices: readonly DeviceConfig[];
  readonly driver: DriverConfig;
  /** Null: all devices are emulated. */
  readonly host: HostConfig | null;
  readonly workload: WorkloadConfig;
  /** In the order of the file. */
  readonly notices: readonly ConfigNotice[];
}

/** Interrupts of a device: one for each of its queues. */
export function queuesOf(interrupt: InterruptConfig): number {
  return interrupt.kind === "msi-x" ? interrupt.vectors : 1;
}
