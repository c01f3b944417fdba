import type { InterruptTarget, PhysicalInterrupts } from "@viommu/plugin";
import { encode, IRTE_POSTED, IRTE_REMAPPED, IRTE_REMAPPED_XAPIC } from "@viommu/vtd-spec";
import { SourceValidation } from "@viommu/vtd-spec";
import type { Abilities } from "./abilities.ts";
import type { PhysicalFunction } from "./device-tables.ts";
import type { FrameAllocator } from "./frame-allocator.ts";
import { hex, refusal } from "./refusal.ts";
import type { TableMemory } from "./table-memory.ts";

const ENTRIES_PER_FRAME = 256;
/** Bits of the function number that an IRTE can leave out of the comparison, by SQ (VT-d 9.9). */
const QUALIFIERS: readonly number[] = [0, 4, 6, 7];
/** Frames that a unit needs besides. */
const OTHERS = 2;
const BLOCKED = new Int32Array(4);

/** What {@link InterruptEntries} is made of. */
export interface InterruptEntriesOptions {
  readonly frames: FrameAllocator;
  readonly tables: TableMemory;
  readonly abilities: Abilities;
  /** log2 of the number of entries, 8 to 16. */
  readonly sizeLog2: number;
  readonly deviceOf: (sourceId: number) => PhysicalFunction;
}

/** Who an entry belongs to, as an IRTE says it. */
interface Owner {
  readonly SID: number;
  readonly SQ: number;
  readonly SVT: number;
}

/**
 * The interrupt remapping table of a unit in host memory. An entry of 128 bits is written in one
 * step (VT-d 5.1.4 has it read in one piece). A real driver would invalidate the interrupt entry
 * cache behind it; the engine here reads entries from memory for each message.
 */
export class InterruptEntries implements PhysicalInterrupts {
  /** First frame of the table. */
  readonly table: number;
  readonly sizeLog2: number;
  private readonly options: InterruptEntriesOptions;
  private readonly owners = new Map<number, Owner>();
  private readonly returned: number[] = [];
  private fresh = 0;

  constructor(options: InterruptEntriesOptions) {
    const { frames, sizeLog2 } = options;
    if (!(Number.isInteger(sizeLog2) && sizeLog2 >= 8 && sizeLog2 <= 16)) {
      throw refusal(`2^${sizeLog2} interrupt entries; give 2^8 to 2^16`);
    }
    this.options = options;
    this.sizeLog2 = sizeLog2;
    const count = 2 ** sizeLog2 / ENTRIES_PER_FRAME;
    this.table = frames.available < count + OTHERS ? -1 : frames.allocate(count);
    if (this.table < 0)
      throw refusal("no frames are left for the interrupt table; give more frames");
  }

  allocate(sourceId: number): number {
    const { abilities, deviceOf } = this.options;
    if (abilities.capabilities.IR === 0) throw refusal("the unit remaps no interrupts (ECAP.IR)");
    const owner = ownerOf(deviceOf(sourceId));
    const handle = this.returned.pop() ?? this.fresh;
    if (handle === 2 ** this.sizeLog2) {
      throw refusal(`all ${handle} interrupt entries are in use; free some`);
    }
    if (handle === this.fresh) this.fresh += 1;
    this.owners.set(handle, owner);
    return handle;
  }

  program(handle: number, target: InterruptTarget | null): void {
    const owner = this.ownerOf(handle);
    const entry = target === null ? BLOCKED : this.entryFor(owner, target);
    const { tables } = this.options;
    const frame = this.table + Math.floor(handle / ENTRIES_PER_FRAME);
    tables.writeDouble(frame, (handle % ENTRIES_PER_FRAME) << 1, entry);
  }

  free(handle: number): void {
    this.program(handle, null);
    this.owners.delete(handle);
    this.returned.push(handle);
  }

  private ownerOf(handle: number): Owner {
    const owner = this.owners.get(handle);
    if (owner !== undefined) return owner;
    throw refusal(`interrupt handle ${handle} is not allocated; use what allocate() gave`);
  }

  private entryFor(owner: Owner, target: InterruptTarget): Int32Array {
    const { capabilities, hostAddressWidth } = this.options.abilities;
    checkRange("vector", target.vector, 2 ** 8);
    if (target.kind === "posted") {
      if (capabilities.PI === 0) throw refusal("the unit posts no interrupts; see info.posting");
      checkRange("descriptor", target.descriptor, 2 ** (hostAddressWidth - 6));
      const address = BigInt(target.descriptor) << 6n;
      const PDAL = address & 0xffff_ffffn;
      const URG = Number(target.urgent);
      const place = { PDAL, PDAH: address - PDAL };
      return encode(IRTE_POSTED, { P: 1, IM: 1, URG, VV: target.vector, ...place, ...owner });
    }
    checkRange("destination", target.destination, capabilities.EIM !== 0 ? 2 ** 32 : 2 ** 8);
    checkRange("deliveryMode", target.deliveryMode, 2 ** 3);
    const fields = {
      P: 1,
      V: target.vector,
      DST: target.destination,
      DM: Number(target.logical),
      RH: Number(target.redirectionHint),
      DLM: target.deliveryMode,
      TM: Number(target.levelTriggered),
      ...owner,
    };
    return encode(capabilities.EIM !== 0 ? IRTE_REMAPPED : IRTE_REMAPPED_XAPIC, fields);
  }
}

/** The narrowest check that all source-ids of a device pass. */
function ownerOf({ sourceId, sourceIds }: PhysicalFunction): Owner {
  const differing = sourceIds.reduce((bits, id) => bits | (id ^ sourceId), 0);
  const SQ = QUALIFIERS.findIndex((ignored) => (differing & ~ignored) === 0);
  if (SQ >= 0) return { SVT: SourceValidation.SOURCE_ID, SQ, SID: sourceId };
  const buses = sourceIds.map((id) => id >>> 8);
  const SID = (Math.min(...buses) << 8) | Math.max(...buses);
  return { SVT: SourceValidation.BUS_RANGE, SQ: 0, SID };
}

function checkRange(name: string, value: number, end: number): void {
  if (Number.isSafeInteger(value) && value >= 0 && value < end) return;
  throw refusal(`${name} ${hex(value)} is out of range; give 0 to ${hex(end - 1)}`);
}
