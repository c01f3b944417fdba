import type { TranslationEngine } from "@viommu/translation";
import type { Abilities } from "./abilities.ts";
import { ContextTables } from "./context-tables.ts";
import type { DeviceTables, PhysicalFunction } from "./device-tables.ts";
import type { FrameAllocator } from "./frame-allocator.ts";
import { refusal } from "./refusal.ts";
import { contextEntry } from "./table-entries.ts";
import type { TableTarget } from "./table-entries.ts";
import type { TableMemory } from "./table-memory.ts";

/** What the tables of a unit are made of, in either mode. */
export interface DeviceTablesOptions {
  readonly frames: FrameAllocator;
  readonly tables: TableMemory;
  readonly engine: TranslationEngine;
  readonly abilities: Abilities;
}

/**
 * Root and context tables of legacy mode (VT-d 3.4.2): an attach is one write of 128 bits, the
 * context entry, and then the invalidations of VT-d 6.2.2.1.
 */
export class LegacyTables implements DeviceTables {
  readonly root: number;
  private readonly options: DeviceTablesOptions;
  private readonly contexts: ContextTables;

  constructor(options: DeviceTablesOptions) {
    this.options = options;
    this.contexts = new ContextTables({ ...options, scalable: false });
    this.root = this.contexts.root;
  }

  set(
    { ats, sourceIds }: PhysicalFunction,
    _pasid: number,
    target: TableTarget | null,
    old: TableTarget | null,
  ): void {
    const { abilities, engine, frames } = this.options;
    if (target === null) {
      for (const sourceId of sourceIds) this.contexts.clear(sourceId);
    } else {
      if (this.contexts.missing(sourceIds) > frames.available) {
        throw refusal("no table frame is left for a context table; give the unit more frames");
      }
      const entry = contextEntry(target, ats, abilities);
      for (const sourceId of sourceIds) this.contexts.write(sourceId, entry);
    }
    if (old === null) return; // what was not present is in no cache
    for (const id of sourceIds) engine.invalidateContextDevice(old.domainId, id, 0);
    engine.invalidateIotlbDomain(old.domainId);
    if (target === null) this.contexts.freeEmpty(sourceIds);
  }
}
