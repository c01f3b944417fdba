import { ViommuError } from "@viommu/plugin";
import type { GuestMemory, HookTable, InterruptSink } from "@viommu/plugin";
import type { DeviceTlbSink } from "./device-tlb.ts";
import type { PageResponseSink } from "./page-request-queue.ts";
import type { Profile } from "./profile.ts";

/** What a unit is made of, apart from the machine around it. */
export interface UnitSettings {
  /** Names the unit in hooks and snapshots; unique in a machine. */
  readonly name: string;
  /** Guest-physical address of the register block, a multiple of 4096. */
  readonly base: number;
  /** PCI segment of its devices; 0 unless given. */
  readonly segment?: number;
  readonly profile: Profile;
  /** Queue descriptors that one guest access may process; 1024 unless given. */
  readonly queueBudget?: number;
  /** Entries of the IOTLB, a power of two. */
  readonly iotlbSlots?: number;
  /** Device-TLBs; without them their invalidations complete at once. */
  readonly deviceTlb?: DeviceTlbSink;
  /** Takes page group responses; without it they go nowhere. */
  readonly pageResponses?: PageResponseSink;
}

/** A unit used on its own. */
export interface UnitOptions extends UnitSettings {
  readonly memory: GuestMemory;
  /** Takes the unit's own messages and posted interrupt notifications; they are never remapped. */
  readonly sink: InterruptSink;
  readonly hooks?: HookTable;
}

const DEFAULT_BUDGET = 1024;
const PAGE = 4096;

/** Refuses settings that make no unit (ERR_VIOMMU_UNIT); returns the queue budget. */
export function checkSettings(settings: UnitSettings): number {
  const { name, base, queueBudget = DEFAULT_BUDGET } = settings;
  if (!Number.isSafeInteger(base) || base < 0 || base % PAGE !== 0) {
    refuse(name, `base is ${base}; give the address of a 4 KiB page`);
  }
  if (!Number.isInteger(queueBudget) || queueBudget < 1) {
    refuse(name, `queueBudget is ${queueBudget}; give at least one descriptor per access`);
  }
  return queueBudget;
}

function refuse(name: string, reason: string): never {
  throw new ViommuError("ERR_VIOMMU_UNIT", `unit "${name}": ${reason}`);
}
