import { Access } from "@viommu/plugin";
import { decode, encode } from "@viommu/vtd-spec";
import { SS_PAGE_1G, SS_PAGE_2M, SS_PAGE_4K, SS_TABLE, SS_UPPER } from "@viommu/vtd-spec";
import type { TableSpace } from "./table-space.ts";

/** One page of a {@link SecondStageTable}. */
export interface SecondStagePage {
  /** Input address. */
  readonly iova: bigint;
  /** Output address. */
  readonly gpa: bigint;
  /** READ, WRITE, SNOOP of `Access`; READ and WRITE unless given. */
  readonly access?: number;
  /** log2 of its size: 12 (unless given), 21 or 30. */
  readonly pageShift?: number;
}

/** A second-stage paging structure, as a driver writes it (VT-d 3.7, 9.8). */
export class SecondStageTable {
  readonly root: bigint;
  /** 3, 4 or 5. */
  readonly levels: number;
  readonly #space: TableSpace;

  constructor(space: TableSpace, levels = 4) {
    this.#space = space;
    this.levels = levels;
    this.root = space.allocate();
  }

  /** Writes the entry of a page, with all tables above it. */
  map({ iova, gpa, access = Access.READ | Access.WRITE, pageShift = 12 }: SecondStagePage): void {
    const rights = {
      R: access & Access.READ ? 1 : 0,
      W: access & Access.WRITE ? 1 : 0,
      SNP: access & Access.SNOOP ? 1 : 0,
      ADDR: gpa,
    };
    const address = this.entryAddress(iova, levelOf(pageShift));
    if (pageShift === 30) this.#space.store(address, encode(SS_PAGE_1G, { ...rights, PS: 1 }));
    else if (pageShift === 21) this.#space.store(address, encode(SS_PAGE_2M, { ...rights, PS: 1 }));
    else this.#space.store(address, encode(SS_PAGE_4K, rights));
  }

  /** Clears the entry of a page; the tables above it stay. */
  unmap(iova: bigint, pageShift = 12): void {
    this.#space.store(this.entryAddress(iova, levelOf(pageShift)), new Int32Array(2));
  }

  /** Where the entry for an address lies at a level; makes the tables above it where they miss. */
  entryAddress(iova: bigint, level: number): bigint {
    let table = this.root;
    for (let at = this.levels; ; at -= 1) {
      const address = table + ((iova >> BigInt(9 * at + 3)) & 0x1ffn) * 8n;
      if (at === level) return address;
      table = this.#tableBehind(address, at);
    }
  }

  #tableBehind(address: bigint, level: number): bigint {
    const entry = decode(SS_TABLE, this.#space.load(address, 2));
    if (entry.R === 1n || entry.W === 1n) return entry.ADDR;
    const ADDR = this.#space.allocate();
    this.#space.store(address, encode(level > 3 ? SS_UPPER : SS_TABLE, { R: 1, W: 1, ADDR }));
    return ADDR;
  }
}

function levelOf(pageShift: number): number {
  return (pageShift - 3) / 9;
}
