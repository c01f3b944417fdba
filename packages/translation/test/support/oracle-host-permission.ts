import { FaultReason } from "@viommu/vtd-spec";
import { bit, Blocked, field, ones, readEntry } from "./oracle.ts";
import type { Page, Passage } from "./oracle.ts";

/*
 * Host permission tables of the slow model: VT-d 4.2.4, 9.12, the conditions HPT of 7.1.3. Entries are
 * numbers of 128 bits.
 */

/** Lowest address bit that selects an entry, and lowest one that selects a PP, by level (table 11). */
const ENTRY_SHIFT = [0, 17, 25, 33, 41];
const PAGE_SHIFT = [0, 12, 21, 30, 41];

/**
 * What a host permission table makes of a translated request.
 * @param page what the request reaches without the table
 * @param root HPTPTR
 */
export function permittedPage(passage: Passage, page: Page, root: bigint): Page {
  const { address } = passage.ask;
  let table = root;
  for (let level = 4; level >= 1; level -= 1) {
    const [entryShift, pageShift] = [ENTRY_SHIFT[level]!, PAGE_SHIFT[level]!];
    // the index of the top level has as many bits as the address, that of the others eight
    const index = level === 4 ? address >> 41n : field(address, entryShift + 7, entryShift);
    const entry = readEntry(passage, table + 16n * index, 2);
    if (entry === null) {
      throw new Blocked(level === 4 ? FaultReason.HPT_ROOT_ACCESS : FaultReason.HPT_ENTRY_ACCESS);
    }
    if ((entry & reservedBits(passage, level)) !== 0n) throw new Blocked(FaultReason.HPT_RESERVED);
    if (level < 4) {
      const place = Number(field(address, entryShift - 1, pageShift));
      const [read, write] = [bit(entry, 4 * place), bit(entry, 4 * place + 1)];
      if (read || write) {
        deny(passage, read, write);
        return { ...page, shift: BigInt(pageShift), read, write };
      }
    }
    if (level === 1 || !bit(entry, 64)) break;
    table = field(entry, 115, 76) << 12n;
  }
  deny(passage, false, false);
  return page;
}

/** Blocks the request if it needs a right that is not there: HPT.4 to HPT.6. */
function deny({ world, ask }: Passage, read: boolean, write: boolean): void {
  const wanted = ask.access & 3;
  if (wanted === 0 && world.capabilities.ZLR === 1) {
    if (!read && !write) throw new Blocked(FaultReason.HPT_ZERO_LENGTH_DENIED);
    return;
  }
  if ((wanted & 2) !== 0 && !write) throw new Blocked(FaultReason.HPT_WRITE_DENIED);
  if (wanted !== 2 && !read) throw new Blocked(FaultReason.HPT_READ_DENIED);
}

/** Bits 3:2 of so many page permissions. */
const permissions = (count: number): bigint =>
  Array.from({ length: count }, (_, i) => 12n << BigInt(4 * i)).reduce((a, b) => a | b);

function reservedBits({ world }: Passage, level: number): bigint {
  const { HPT1GPS } = world.capabilities;
  if (level === 1) return permissions(32);
  const pointer = ones(75, 65) | ones(115, 64 + world.hostAddressWidth);
  if (level === 2) return pointer | permissions(16);
  if (level === 4) return pointer | ones(63, 0);
  return pointer | ones(63, 32) | (HPT1GPS === 1 ? permissions(8) : ones(31, 0));
}
