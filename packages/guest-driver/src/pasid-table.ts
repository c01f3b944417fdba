import {
  decode,
  encode,
  PASID_DIR_ENTRY,
  PASID_ENTRY,
  PasidTranslationType,
  toQwords,
} from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import type { AdoptedIds, DeviceBinding, PermissionTable } from "./device-table.ts";
import type { PageAllocator } from "./page-allocator.ts";
import { PAGE_SIZE } from "./table-memory.ts";
import type { TableMemory } from "./table-memory.ts";

const ENTRY_BYTES = 64;
const ENTRY_WORDS = ENTRY_BYTES / 4;
const DIRECTORY_ENTRY_BYTES = 8;
/** PASID bits that index one table, and those that one page of a directory adds. */
const TABLE_BITS = 6;
const DIRECTORY_PAGE_BITS = 9;
/** PDTS 0 stands for directories of 2^7 entries (VT-d 9.4). */
const SMALLEST_DIRECTORY_BITS = 7;

/** Words of an entry with DID and HPTDID. */
const DID_WORD = 2;
const HPTDID_WORD = 10;

const P = 1;
const FPD = 2;

/** What a cleared entry was. */
export interface ClearedEntry {
  readonly domainId: number;
  /** One of `PasidTranslationType` of vtd-spec. */
  readonly type: number;
}

/** PASID directory and PASID tables of one device (VT-d 9.5, 9.6). Tables are made as needed. */
export class PasidTable {
  /** Address of the directory. */
  readonly directory: number;
  /** Size of the directory, as the context entry has it. */
  readonly pdts: number;
  readonly #memory: TableMemory;
  readonly #pages: PageAllocator;
  readonly #capabilities: Capabilities;
  readonly #tables = new Map<number, number>();
  readonly #words = new Int32Array(ENTRY_WORDS);
  /** PASIDs whose entry is present, or blocks without a record. */
  readonly #used = new Set<number>();

  /** A directory of one page has room for PASIDs of 15 bits, and is never smaller, as in Linux. */
  constructor(
    memory: TableMemory,
    pages: PageAllocator,
    capabilities: Capabilities,
    pasidBits: number,
  ) {
    this.#memory = memory;
    this.#pages = pages;
    this.#capabilities = capabilities;
    const directoryBits = Math.max(pasidBits - TABLE_BITS, DIRECTORY_PAGE_BITS);
    this.pdts = directoryBits - SMALLEST_DIRECTORY_BITS;
    this.directory = pages.allocate(2 ** (directoryBits - DIRECTORY_PAGE_BITS));
  }

  /** Addresses of the directory and of the tables. */
  get places(): readonly number[] {
    return [this.directory, ...this.#tables.values()];
  }

  /** No entry is in use. */
  get isEmpty(): boolean {
    return this.#used.size === 0;
  }

  /** Makes the entry of a PASID, which is not present: the word with P comes last. */
  set(pasid: number, binding: DeviceBinding, permissions: PermissionTable | null): void {
    const entry = pasidEntry(binding, permissions, this.#capabilities);
    const address = this.#entryAddress(pasid);
    this.#memory.write(address + 4, entry.subarray(1));
    this.#memory.writeWord(address, entry[0]!);
    this.#used.add(pasid);
  }

  /** Clears the entry of a PASID: the word with P goes first. Null when it was not present. */
  clear(pasid: number, silent: boolean): ClearedEntry | null {
    const address = this.#entryAddress(pasid);
    const { P: present, DID, PGTT } = decode(PASID_ENTRY, this.#memory.read(address, this.#words));
    this.#memory.writeWord(address, silent ? FPD : 0);
    if (!silent) this.#used.delete(pasid);
    if (present === 0n) return null;
    this.#memory.write(address + 4, new Int32Array(ENTRY_WORDS - 1));
    return { domainId: Number(DID), type: Number(PGTT) };
  }

  /** All pages of it; the object is of no use afterwards. */
  retire(): number[] {
    const directoryPages = 2 ** (this.pdts + SMALLEST_DIRECTORY_BITS - DIRECTORY_PAGE_BITS);
    const directory = Array.from(
      { length: directoryPages },
      (_, i) => this.directory + i * PAGE_SIZE,
    );
    return [...this.#tables.values(), ...directory];
  }

  #entryAddress(pasid: number): number {
    const index = pasid >> TABLE_BITS;
    let table = this.#tables.get(index);
    if (table === undefined) {
      table = this.#pages.allocate();
      this.#tables.set(index, table);
      const entry = encode(PASID_DIR_ENTRY, { P, SMPTBLPTR: table });
      this.#memory.write(this.directory + index * DIRECTORY_ENTRY_BYTES, entry);
    }
    return table + (pasid & (2 ** TABLE_BITS - 1)) * ENTRY_BYTES;
  }
}

/** A PASID table entry (VT-d 9.6); fields that the unit does not have stay 0. */
function pasidEntry(
  binding: DeviceBinding,
  permissions: PermissionTable | null,
  capabilities: Capabilities,
): Int32Array {
  const { domainId: DID, firstStage, secondStage } = binding;
  const { FIRST_STAGE, SECOND_STAGE, NESTED, PASS_THROUGH } = PasidTranslationType;
  const supervisor = firstStage?.supervisor === true ? 1 : 0;
  const PGTT =
    firstStage === null
      ? secondStage === null
        ? PASS_THROUGH
        : SECOND_STAGE
      : secondStage === null
        ? FIRST_STAGE
        : NESTED;
  return encode(PASID_ENTRY, {
    P,
    PGTT,
    DID,
    PWSNP: capabilities.SMPWCS,
    AW: secondStage === null ? 0 : secondStage.levels - 2,
    SSPTPTR: secondStage?.root ?? 0,
    FSPM: firstStage?.levels === 5 ? 1 : 0,
    FSPTPTR: firstStage?.root ?? 0,
    SRE: supervisor,
    // as the processor does it (CR0.WP)
    WPE: supervisor,
    HPTPTR: permissions?.root ?? 0,
    HPTSZ: permissions?.size ?? 0,
    HPTDID: permissions?.hptDomainId ?? 0,
  });
}

/** Ids in present entries under another driver's directory; what can't be read is left out. */
export function idsUnder(
  memory: TableMemory,
  directory: number,
  pdts: number,
): Record<keyof AdoptedIds, Set<number>> {
  const ids = { domainIds: new Set<number>(), hptDomainIds: new Set<number>() };
  const page = new Int32Array(PAGE_SIZE / 4);
  const bytes = 2 ** (pdts + SMALLEST_DIRECTORY_BITS) * DIRECTORY_ENTRY_BYTES;
  const entries = new Int32Array(bytes / 4);
  if (!memory.tryRead(directory, entries)) return ids;
  for (const entry of toQwords(entries)) {
    if ((entry & 1n) === 0n || !memory.tryRead(Number(entry & ~0xfffn), page)) continue;
    for (let at = 0; at < page.length; at += ENTRY_WORDS) {
      if ((page[at]! & P) === 0) continue;
      ids.domainIds.add(page[at + DID_WORD]! & 0xffff);
      ids.hptDomainIds.add(page[at + HPTDID_WORD]! & 0xffff);
    }
  }
  return ids;
}
