import { CONTEXT_ENTRY, decode, encode, ROOT_ENTRY, TranslationType } from "@viommu/vtd-spec";
import type { FieldName } from "@viommu/vtd-spec";
import type { SecondStageTable } from "./second-stage-table.ts";
import type { TableSpace } from "./table-space.ts";

/** Fields of a context entry; those not given are 0. */
export type ContextFields = Partial<
  Readonly<Record<FieldName<typeof CONTEXT_ENTRY>, number | bigint>>
>;

/** A root table with its context tables, as a driver writes them in legacy mode (VT-d 9.1, 9.3). */
export class RootTable {
  /** For RTADDR. */
  readonly address: bigint;
  readonly #space: TableSpace;

  constructor(space: TableSpace) {
    this.#space = space;
    this.address = space.allocate();
  }

  /** Puts a device into a domain that is translated by a second-stage table. */
  attach(sourceId: number, table: SecondStageTable, domainId: number): void {
    const TT = TranslationType.UNTRANSLATED;
    const AW = table.levels - 2;
    this.setContext(sourceId, { P: 1, TT, AW, SSPTPTR: table.root, DID: domainId });
  }

  /** Clears the context entry of a device. */
  detach(sourceId: number): void {
    this.setContext(sourceId, {});
  }

  /** Writes the context entry of a device as it is, with a context table where it misses. */
  setContext(sourceId: number, fields: ContextFields): void {
    this.#space.store(this.contextAddress(sourceId), encode(CONTEXT_ENTRY, fields));
  }

  /** Where the context entry of a device lies; makes its context table where it misses. */
  contextAddress(sourceId: number): bigint {
    const address = this.address + BigInt(sourceId >>> 8) * 16n;
    const offset = BigInt(sourceId & 0xff) * 16n;
    const root = decode(ROOT_ENTRY, this.#space.load(address, 4));
    if (root.P === 1n) return root.CTP + offset;
    const CTP = this.#space.allocate();
    this.#space.store(address, encode(ROOT_ENTRY, { P: 1, CTP }));
    return CTP + offset;
  }
}
