import type { FrameAllocator } from "./frame-allocator.ts";
import { refusal } from "./refusal.ts";
import { rootEntry } from "./table-entries.ts";
import type { TableMemory } from "./table-memory.ts";

const NOTHING = new Int32Array(4);

/** A context table in use. */
interface ContextTable {
  readonly frame: number;
  /** Source-ids with a present entry. */
  readonly present: Set<number>;
}

/** What {@link ContextTables} is made of. */
export interface ContextTablesOptions {
  readonly frames: FrameAllocator;
  readonly tables: TableMemory;
  /** Entries of scalable mode, of 32 bytes, half a bus in a table (VT-d 9.2, 9.4). */
  readonly scalable: boolean;
}

/**
 * Root table and context tables. All that a driver writes lies in the first 128 bits of an entry, so
 * that each change is one write (VT-d 9.3, 9.4).
 */
export class ContextTables {
  /** Frame of the root table. */
  readonly root: number;
  private readonly options: ContextTablesOptions;
  /** By number of the 64-bit entry in the root table. */
  private readonly inUse = new Map<number, ContextTable>();

  constructor(options: ContextTablesOptions) {
    this.options = options;
    this.root = options.frames.allocate();
    if (this.root < 0) throw refusal("no table frame is left for a root table; give more frames");
  }

  /** How many context tables are missing for these source-ids. */
  missing(sourceIds: readonly number[]): number {
    const slots = new Set(sourceIds.map((sourceId) => this.slotOf(sourceId)));
    return [...slots].filter((slot) => !this.inUse.has(slot)).length;
  }

  /** Writes the entry of a source-id; the frames for {@link missing} are there. */
  write(sourceId: number, entry: Int32Array): void {
    const { frames, tables } = this.options;
    const slot = this.slotOf(sourceId);
    let table = this.inUse.get(slot);
    if (table === undefined) {
      table = { frame: frames.allocate(), present: new Set() };
      this.inUse.set(slot, table);
      const link = rootEntry(table.frame);
      tables.write(this.root, slot, link[0]!, link[1]!);
    }
    tables.writeDouble(table.frame, this.entryOf(sourceId), entry);
    table.present.add(sourceId);
  }

  /** Makes the entry of a source-id not present. */
  clear(sourceId: number): void {
    const table = this.inUse.get(this.slotOf(sourceId));
    if (table === undefined) return;
    this.options.tables.writeDouble(table.frame, this.entryOf(sourceId), NOTHING);
    table.present.delete(sourceId);
  }

  /** Gives tables without entries back; the unit has forgotten what was in them. */
  freeEmpty(sourceIds: readonly number[]): void {
    for (const sourceId of sourceIds) {
      const slot = this.slotOf(sourceId);
      const table = this.inUse.get(slot);
      if (table === undefined || table.present.size > 0) continue;
      this.options.tables.write(this.root, slot, 0, 0);
      this.inUse.delete(slot);
      this.options.frames.free(table.frame);
    }
  }

  private slotOf(sourceId: number): number {
    const bus = sourceId >>> 8;
    return (bus << 1) | (this.options.scalable ? (sourceId >>> 7) & 1 : 0);
  }

  private entryOf(sourceId: number): number {
    return this.options.scalable ? (sourceId & 0x7f) << 2 : (sourceId & 0xff) << 1;
  }
}
