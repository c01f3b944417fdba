import type { DeviceSpace } from "@viommu/plugin";
import type { TranslationEngine } from "@viommu/translation";
import type { PhysicalFunction } from "./device-tables.ts";
import type { DeviceTlbs } from "./device-tlbs.ts";
import type { DeviceTablesOptions } from "./legacy-tables.ts";
import type { DomainIds } from "./domain-ids.ts";
import type { TableTarget } from "./table-entries.ts";

/** Requests that go through a space: those of a device with a PASID, or without. */
export interface Attachment {
  readonly device: PhysicalFunction;
  readonly pasid: number;
  readonly space: DeviceSpace;
}

/** What the spaces of a unit have in common. */
export interface UnitSpace {
  readonly domainId: number;
  readonly attachments: Set<Attachment>;
  /** What the tables say for it now. */
  target(): TableTarget;
}

/** What spaces need of their unit. */
export interface SpaceHost extends DeviceTablesOptions {
  readonly domainIds: DomainIds;
  readonly engine: TranslationEngine;
  readonly deviceTlbs: DeviceTlbs;
  /** Writes the table entries of all attachments anew; they said `old`. */
  rewrite(space: UnitSpace, old: TableTarget): void;
  /** The space is destroyed. */
  forget(space: UnitSpace): void;
}
