import { FaultReason } from "@viommu/vtd-spec";
import { bit, Blocked, inInterruptRange, ones } from "./oracle.ts";
import type { Page, Passage } from "./oracle.ts";
import { translateSecondStage } from "./oracle-scalable-second-stage.ts";
import type { SecondStage } from "./oracle-scalable-second-stage.ts";

/** A first stage as a PASID table entry describes it. */
export interface FirstStage {
  readonly root: bigint;
  readonly levels: number;
  readonly privileged: boolean;
  /** WPE. */
  readonly writeProtect: boolean;
  /** EAFE. */
  readonly extended: boolean;
  readonly snoops: boolean;
  /** Nested translation. */
  readonly second: SecondStage | null;
}

const A = 1n << 5n;
const D = 1n << 6n;
const EA = 1n << 10n;
const READ_DENIED: number = FaultReason.SM_READ_DENIED;

/** First-stage and nested translation of the slow model (VT-d 3.6, 3.8, 9.7). */
export function translateFirstStage(passage: Passage, stage: FirstStage): Page {
  const { world, ask } = passage;
  const { address } = ask;
  const top = stage.levels === 5 ? 56n : 47n;
  const upper = address >> top;
  if (upper !== 0n && upper !== ones(63, Number(top)) >> top) {
    throw new Blocked(FaultReason.FS_NOT_CANONICAL);
  }
  const wantsWrite = ask.addressType === 0 && (ask.access & 2) !== 0;
  const nw = world.capabilities.NWFS === 1 && (ask.access & 2) === 0;
  let write = true;
  let table = stage.root;
  for (let level = stage.levels; ; level -= 1) {
    const isTop = level === stage.levels;
    const shift = BigInt(9 * level + 3);
    const place = find(passage, stage, table + 8n * ((address >> shift) & 0x1ffn), isTop);
    const entry = world.read(place.at);
    if (entry === null) {
      throw new Blocked(isTop ? FaultReason.FS_ROOT_ACCESS : FaultReason.FS_ENTRY_ACCESS);
    }
    if (!bit(entry, 0)) throw new Blocked(FaultReason.FS_NOT_PRESENT);
    const leaf = level === 1 || (level < 4 && bit(entry, 7));
    if ((entry & reservedBits(passage, level, leaf)) !== 0n) {
      throw new Blocked(FaultReason.FS_RESERVED);
    }
    if (!stage.privileged && !bit(entry, 2)) throw new Blocked(FaultReason.FS_USER_DENIED);
    if (!bit(entry, 1) && (!stage.privileged || stage.writeProtect)) write = false;
    if (wantsWrite && !write) throw new Blocked(FaultReason.SM_WRITE_DENIED);
    const target = ((entry & ones(51, 12)) >> (leaf ? shift : 12n)) << (leaf ? shift : 12n);
    const { second } = stage;
    if (second !== null && target >> BigInt(second.width) !== 0n) {
      throw new Blocked(FaultReason.FS_ADDRESS_BEYOND_SS_WIDTH);
    }
    const accessed = stage.extended ? A | EA : A;
    const update = (set: bigint): void => {
      if ((set & ~entry) === 0n) return;
      if (!stage.snoops) throw new Blocked(FaultReason.FS_FLAGS_NOT_SNOOPED);
      if (!place.writable) throw new Blocked(FaultReason.FS_FLAGS_SS_DENIED);
      // the second stage may have set flags of its own in the same entry
      const now = world.read(place.at)!;
      if (!world.write(place.at, now | set)) throw new Blocked(FaultReason.FS_FLAGS_UPDATE);
    };
    if (!leaf) {
      update(accessed);
      table = target;
      continue;
    }
    const asksToWrite = (allowed: boolean): boolean =>
      ask.addressType === 1 ? allowed && !nw : wantsWrite;
    const first = asksToWrite(write) ? accessed | D : accessed;
    if (!stage.snoops && (first & ~entry) !== 0n) {
      throw new Blocked(FaultReason.FS_FLAGS_NOT_SNOOPED);
    }
    let page: Page = {
      out: target | (address & ((1n << shift) - 1n)),
      shift,
      read: true,
      write,
    };
    if (second === null) {
      if (inInterruptRange(page.out)) throw new Blocked(FaultReason.SM_OUTPUT_IN_INTERRUPT_RANGE);
    } else {
      const under = translateSecondStage(passage, second, page.out, "request", write);
      page = {
        ...under,
        shift: under.shift < shift ? under.shift : shift,
        write: under.write && write,
      };
    }
    const set = asksToWrite(page.write) ? accessed | D : accessed;
    update(set);
    return { ...page, write: page.write && ((entry | set) & D) !== 0n };
  }
}

/** Where an entry lies in host memory, and whether its flags may be written. */
function find(
  passage: Passage,
  { second }: FirstStage,
  at: bigint,
  isTop: boolean,
): { at: bigint; writable: boolean } {
  if (second === null) return { at, writable: true };
  try {
    const page = translateSecondStage(passage, second, at, "entry");
    return { at: page.out, writable: page.write };
  } catch (error) {
    if (error instanceof Blocked && error.reason === READ_DENIED) {
      throw new Blocked(isTop ? FaultReason.FS_ROOT_SS_DENIED : FaultReason.FS_ENTRY_SS_DENIED);
    }
    throw error;
  }
}

function reservedBits({ world }: Passage, level: number, leaf: boolean): bigint {
  let mask = ones(51, world.hostAddressWidth);
  if (level > 3) mask |= 0x80n;
  if (leaf && level === 3) mask |= ones(29, 13) | (world.capabilities.FS1GP === 0 ? 0x80n : 0n);
  if (leaf && level === 2) mask |= ones(20, 13);
  return mask;
}
