import { NO_PASID } from "@viommu/plugin";
import type { ViommuError } from "@viommu/plugin";
import { ContextTables } from "./context-tables.ts";
import type { DeviceTables, PhysicalFunction } from "./device-tables.ts";
import type { DeviceTablesOptions } from "./legacy-tables.ts";
import { refusal } from "./refusal.ts";
import { directoryEntry, pasidEntry, scalableContextEntry } from "./table-entries.ts";
import type { TableTarget } from "./table-entries.ts";

/** PASID of requests without one (RID_PASID of the context entry, VT-d 9.4). */
export const RID_PASID = 0;

/** PDTS of a directory of one page: 512 entries, 2^15 PASIDs. */
const ONE_PAGE = 2;

const ENTRY_WORDS = 16;
const ABSENT = new Int32Array(ENTRY_WORDS);

/** The PASID tables of one device; all its source-ids lead there. */
interface PasidTables {
  /** First frame of the directory, and PDTS: it has 2^(PDTS + 7) entries. */
  directory: number;
  sizeCode: number;
  /** By number of the directory entry. */
  readonly tables: Map<number, PasidTable>;
}

interface PasidTable {
  frame: number;
  /** Domain ids of the present entries by PASID. */
  readonly domains: Map<number, number>;
}

/**
 * Root, context and PASID tables of scalable mode (VT-d 3.4.3).
 *
 * A PASID table entry has 512 bits, and a unit may read it in pieces of 128: it can't be changed in
 * place without a moment in which it is neither the old nor the new one. So a changed copy of the
 * whole table is made in a spare frame, and the 64 bits of the directory entry are switched over to
 * it; when the unit has forgotten the old table, that is the next spare. An attach to a table that
 * exists thus needs no new frame, and a detach never does.
 */
export class ScalableTables implements DeviceTables {
  readonly root: number;
  private readonly options: DeviceTablesOptions;
  private readonly contexts: ContextTables;
  private readonly devices = new Map<number, PasidTables>();
  private spare: number;

  constructor(options: DeviceTablesOptions) {
    this.options = options;
    this.contexts = new ContextTables({ ...options, scalable: true });
    this.root = this.contexts.root;
    this.spare = options.frames.allocate();
    if (this.spare < 0) throw noFrames();
  }

  set(
    device: PhysicalFunction,
    pasid: number,
    target: TableTarget | null,
    old: TableTarget | null,
  ): void {
    const used = pasid === NO_PASID ? RID_PASID : pasid;
    if (target === null) {
      if (old !== null) this.clear(device, used, old);
    } else if (old === null) {
      this.add(device, used, target);
    } else {
      this.swap(this.devices.get(device.sourceId)!, used, target, old);
    }
  }

  /** An entry where none is present. */
  private add(device: PhysicalFunction, pasid: number, target: TableTarget): void {
    const known = this.devices.get(device.sourceId);
    const number = pasid >>> 6;
    const sizeCode = Math.max(ONE_PAGE, Math.ceil(Math.log2(number + 1)) - 7);
    if (known === undefined) {
      this.addDevice(device, pasid, target, sizeCode);
    } else if (known.tables.has(number)) {
      this.swap(known, pasid, target, null);
    } else if (sizeCode > known.sizeCode) {
      this.enlarge(device, known, pasid, target, sizeCode);
    } else {
      const [frame] = this.take([1], 0);
      this.addTable(known, frame!, pasid, target);
    }
  }

  private addDevice(
    device: PhysicalFunction,
    pasid: number,
    target: TableTarget,
    sizeCode: number,
  ): void {
    const { sourceId, sourceIds } = device;
    const missing = this.contexts.missing(sourceIds);
    const [table, directory] = this.take([1, pagesOf(sizeCode)], missing);
    const tables: PasidTables = { directory: directory!, sizeCode, tables: new Map() };
    this.addTable(tables, table!, pasid, target);
    this.writeContexts(device, tables);
    this.devices.set(sourceId, tables);
  }

  /** Puts a larger directory in place of the present one, with one table more. */
  private enlarge(
    device: PhysicalFunction,
    known: PasidTables,
    pasid: number,
    target: TableTarget,
    sizeCode: number,
  ): void {
    const [table, directory] = this.take([1, pagesOf(sizeCode)], 0);
    const old = known.directory;
    known.directory = directory!;
    known.sizeCode = sizeCode;
    for (const [number, { frame }] of known.tables) this.link(known, number, frame);
    this.addTable(known, table!, pasid, target);
    this.writeContexts(device, known);
    this.forgetContexts(device.sourceIds);
    for (const each of known.tables.values()) this.forgetEntries(each);
    this.options.frames.free(old);
  }

  private addTable(known: PasidTables, frame: number, pasid: number, target: TableTarget): void {
    const { abilities, tables } = this.options;
    tables.fill(frame, placeOf(pasid), pasidEntry(target, abilities));
    this.link(known, pasid >>> 6, frame);
    known.tables.set(pasid >>> 6, { frame, domains: new Map([[pasid, target.domainId]]) });
  }

  /** Makes the entry not present, and gives back what is empty then. */
  private clear(device: PhysicalFunction, pasid: number, old: TableTarget): void {
    const { frames, tables } = this.options;
    const { sourceId, sourceIds } = device;
    const known = this.devices.get(sourceId)!;
    const table = known.tables.get(pasid >>> 6)!;
    if (table.domains.size > 1) {
      this.swap(known, pasid, null, old);
    } else if (known.tables.size > 1) {
      const [frame, entry] = directoryPlace(known, pasid >>> 6);
      tables.write(frame, entry, 0, 0);
      this.forgetEntries(table);
      this.forgetPages(pasid, old);
      known.tables.delete(pasid >>> 6);
      frames.free(table.frame);
    } else {
      for (const id of sourceIds) this.contexts.clear(id);
      this.forgetContexts(sourceIds);
      this.forgetEntries(table);
      this.forgetPages(pasid, old);
      this.devices.delete(sourceId);
      frames.free(table.frame);
      frames.free(known.directory);
      this.contexts.freeEmpty(sourceIds);
    }
  }

  /** Switches over to a copy of the table with another entry. */
  private swap(
    known: PasidTables,
    pasid: number,
    target: TableTarget | null,
    old: TableTarget | null,
  ): void {
    const { abilities, tables } = this.options;
    const table = known.tables.get(pasid >>> 6)!;
    tables.copy(table.frame, this.spare);
    const entry = target === null ? ABSENT : pasidEntry(target, abilities);
    tables.fill(this.spare, placeOf(pasid), entry);
    this.link(known, pasid >>> 6, this.spare);
    // the way to the old table may be cached for each PASID in it (VT-d 6.2.2.2)
    this.forgetEntries(table);
    if (old !== null) this.forgetPages(pasid, old);
    const unused = table.frame;
    table.frame = this.spare;
    this.spare = unused;
    if (target === null) table.domains.delete(pasid);
    else table.domains.set(pasid, target.domainId);
  }

  private link(known: PasidTables, number: number, table: number): void {
    const [frame, entry] = directoryPlace(known, number);
    const words = directoryEntry(table);
    this.options.tables.write(frame, entry, words[0]!, words[1]!);
  }

  private writeContexts(device: PhysicalFunction, known: PasidTables): void {
    const { directory, sizeCode } = known;
    const entry = scalableContextEntry(directory, sizeCode, device, this.options.abilities);
    for (const sourceId of device.sourceIds) this.contexts.write(sourceId, entry);
  }

  private forgetContexts(sourceIds: readonly number[]): void {
    for (const sourceId of sourceIds) this.options.engine.invalidateContextDevice(0, sourceId, 0);
  }

  private forgetEntries({ domains }: PasidTable): void {
    for (const [pasid, domainId] of domains) {
      this.options.engine.invalidatePasidCachePasid(domainId, pasid);
    }
  }

  /** Invalidates the IOTLB, as VT-d 6.5.2.4 wants it after an entry of this kind. */
  private forgetPages(pasid: number, old: TableTarget): void {
    const { engine } = this.options;
    if (old.kind === "nested") engine.invalidatePasidIotlb(old.domainId, pasid);
    else engine.invalidateIotlbDomain(old.domainId);
  }

  /** Runs of frames, with `others` single ones left; all or none. */
  private take(counts: readonly number[], others: number): readonly number[] {
    const { frames } = this.options;
    const taken: number[] = [];
    for (const count of counts) {
      const first = frames.allocate(count);
      if (first >= 0) taken.push(first);
    }
    if (taken.length === counts.length && frames.available >= others) return taken;
    for (const first of taken) frames.free(first);
    throw noFrames();
  }
}

/** Pages of a directory. */
function pagesOf(sizeCode: number): number {
  return 2 ** (sizeCode - ONE_PAGE);
}

/** Frame and entry of the directory that lead to a table. */
function directoryPlace(known: PasidTables, number: number): [frame: number, entry: number] {
  return [known.directory + (number >>> 9), number & 0x1ff];
}

/** Number of the first 64 bits of a PASID's entry in its table. */
function placeOf(pasid: number): number {
  return (pasid & 0x3f) << 3;
}

function noFrames(): ViommuError {
  return refusal("no table frame is left for the tables of a device; give the unit more frames");
}
