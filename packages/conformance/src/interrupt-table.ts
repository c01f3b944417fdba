import { encode, IRTE_POSTED, IRTE_REMAPPED, IRTE_REMAPPED_XAPIC } from "@viommu/vtd-spec";
import { REMAPPABLE_REQUEST } from "@viommu/vtd-spec";
import type { FieldName } from "@viommu/vtd-spec";
import type { TableSpace } from "./table-space.ts";

/** Fields of a remapped IRTE; P is 1 unless given, others 0. */
export type IrteFields = Partial<
  Readonly<Record<FieldName<typeof IRTE_REMAPPED>, number | bigint>>
>;

/** Fields of a posted IRTE but for the address of its descriptor; P and IM are 1 unless given. */
export type PostedIrteFields = Partial<
  Readonly<Record<Exclude<FieldName<typeof IRTE_POSTED>, "PDAL" | "PDAH">, number | bigint>>
>;

/** What a device has to write to raise an interrupt: the dword `data` at `address`. */
export interface Message {
  /** Bits 31:0, as a signed int. */
  readonly address: number;
  readonly data: number;
}

export interface InterruptTableOptions {
  /** log2 of the number of entries, 1 to 16; 8 unless given. IRTA.S is one less. */
  readonly sizeLog2?: number;
  /** IRTA.EIME: 32-bit APIC ids; true unless given. */
  readonly extended?: boolean;
}

/** An interrupt remapping table, as a driver writes it (VT-d 9.9, 9.10). */
export class InterruptTable {
  /** For IRTA. */
  readonly address: bigint;
  readonly sizeLog2: number;
  readonly extended: boolean;
  readonly #space: TableSpace;

  constructor(space: TableSpace, options: InterruptTableOptions = {}) {
    this.sizeLog2 = options.sizeLog2 ?? 8;
    this.extended = options.extended ?? true;
    this.#space = space;
    this.address = space.allocate(Math.max(1, 2 ** (this.sizeLog2 - 8)));
  }

  /** Writes an entry for remapped interrupts. */
  remap(index: number, fields: IrteFields): void {
    const layout = this.extended ? IRTE_REMAPPED : IRTE_REMAPPED_XAPIC;
    this.#space.store(this.entryAddress(index), encode(layout, { P: 1, ...fields }));
  }

  /** Writes an entry for posted interrupts; the descriptor lies on a border of 64 bytes. */
  post(index: number, descriptor: bigint, fields: PostedIrteFields = {}): void {
    const PDAL = descriptor & 0xffff_ffffn;
    const words = encode(IRTE_POSTED, { P: 1, IM: 1, ...fields, PDAL, PDAH: descriptor - PDAL });
    this.#space.store(this.entryAddress(index), words);
  }

  /** Makes an entry not present. */
  clear(index: number): void {
    this.#space.store(this.entryAddress(index), new Int32Array(4));
  }

  entryAddress(index: number): bigint {
    return this.address + BigInt(index) * 16n;
  }

  /** The message in remappable format that asks for an entry (VT-d 5.1.2.2, SHV = 0). */
  message(index: number): Message {
    const fields = { FEE: 0xfee, HANDLE: index & 0x7fff, IF: 1, HANDLE_15: index >>> 15 };
    const words = encode(REMAPPABLE_REQUEST, fields);
    return { address: words[0]!, data: words[1]! };
  }
}
