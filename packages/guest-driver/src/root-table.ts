import { CONTEXT_ENTRY, decode, encode, ROOT_ENTRY, TranslationType } from "@viommu/vtd-spec";
import type { PageAllocator } from "./page-allocator.ts";
import type { TableMemory } from "./table-memory.ts";

/** What a unit does with the requests of a device. */
export interface DeviceBinding {
  readonly domainId: number;
  /** AW of the entry: levels - 2; for pass-through, the widest that the unit has. */
  readonly addressWidth: number;
  /** Address of the second-stage table, or null: addresses pass through. */
  readonly table: number | null;
  /** The device may ask for translations (ATS). */
  readonly deviceTlb: boolean;
}

/** Which device has which domain, as a unit reads it. Scalable mode has another form of it. */
export interface DeviceTable {
  /** What RTADDR takes. */
  readonly root: number;
  /** Makes a device's entry; it must not be present. */
  bind(sourceId: number, binding: DeviceBinding): void;
  /** Clears a device's entry; returns the domain-id it had, or null when it was not present. */
  unbind(sourceId: number): number | null;
  /** Takes present entries of another driver's table over; returns their domain-ids. */
  adopt(root: number): number[];
}

const ENTRY_BYTES = 16;
const ENTRIES = 256;
const NOTHING = new Int32Array(ENTRY_BYTES / 4);

/** Root and context tables of legacy mode (VT-d 9.1, 9.3). Context tables are made as needed. */
export class LegacyRootTable implements DeviceTable {
  readonly root: number;
  readonly #memory: TableMemory;
  readonly #pages: PageAllocator;
  readonly #words = new Int32Array(ENTRY_BYTES / 4);

  constructor(memory: TableMemory, pages: PageAllocator) {
    this.#memory = memory;
    this.#pages = pages;
    this.root = pages.allocate();
  }

  bind(sourceId: number, binding: DeviceBinding): void {
    const { domainId: DID, addressWidth: AW, table, deviceTlb } = binding;
    const { UNTRANSLATED, DEVICE_TLB, PASS_THROUGH } = TranslationType;
    const TT = table === null ? PASS_THROUGH : deviceTlb ? DEVICE_TLB : UNTRANSLATED;
    const entry = encode(CONTEXT_ENTRY, { P: 1, TT, SSPTPTR: table ?? 0, AW, DID });
    this.#memory.write(this.#entryAddress(sourceId), entry);
  }

  unbind(sourceId: number): number | null {
    const address = this.#entryAddress(sourceId);
    const { P, DID } = decode(CONTEXT_ENTRY, this.#memory.read(address, this.#words));
    if (P === 0n) return null;
    this.#memory.write(address, NOTHING);
    return Number(DID);
  }

  /** What cannot be read is left out: the predecessor may have crashed over it. */
  adopt(root: number): number[] {
    const domainIds = new Set<number>();
    for (let bus = 0; bus < ENTRIES; bus += 1) {
      const contexts = this.#contextTable(root, bus);
      if (contexts === null) continue;
      for (let devfn = 0; devfn < ENTRIES; devfn += 1) {
        const id = this.#adoptEntry(contexts + devfn * ENTRY_BYTES, (bus << 8) | devfn);
        if (id !== null) domainIds.add(id);
      }
    }
    return [...domainIds];
  }

  #adoptEntry(from: number, sourceId: number): number | null {
    if (!this.#memory.tryRead(from, this.#words)) return null;
    const { P, DID } = decode(CONTEXT_ENTRY, this.#words);
    if (P === 0n) return null;
    const entry = this.#words.slice();
    const to = this.#entryAddress(sourceId);
    // a device that this driver has bound already is not touched
    if ((this.#memory.read(to, this.#words)[0]! & 1) === 0) this.#memory.write(to, entry);
    return Number(DID);
  }

  /** Address of a bus's context table under some root, or null. */
  #contextTable(root: number, bus: number): number | null {
    if (!this.#memory.tryRead(root + bus * ENTRY_BYTES, this.#words)) return null;
    const { P, CTP } = decode(ROOT_ENTRY, this.#words);
    return P === 0n ? null : Number(CTP);
  }

  #entryAddress(sourceId: number): number {
    const bus = sourceId >> 8;
    let contexts = this.#contextTable(this.root, bus);
    if (contexts === null) {
      contexts = this.#pages.allocate();
      const entry = encode(ROOT_ENTRY, { P: 1, CTP: contexts });
      this.#memory.write(this.root + bus * ENTRY_BYTES, entry);
    }
    return contexts + (sourceId & 0xff) * ENTRY_BYTES;
  }
}
