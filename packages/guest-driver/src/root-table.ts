import {
  CONTEXT_ENTRY,
  decode,
  encode,
  ROOT_ENTRY,
  TranslationTableMode,
  TranslationType,
} from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import type { AdoptedIds, DeviceBinding, DeviceSetup, DeviceTable } from "./device-table.ts";
import { deviceTlbRequest, EVERYTHING } from "./invalidation.ts";
import type { InvalidationRequest } from "./invalidation.ts";
import type { PageAllocator } from "./page-allocator.ts";
import type { TableMemory } from "./table-memory.ts";

const ENTRY_BYTES = 16;
const ENTRIES = 256;
const NOTHING = new Int32Array(ENTRY_BYTES / 4);

/** Root and context tables of legacy mode (VT-d 9.1, 9.3). Context tables are made as needed. */
export class LegacyRootTable implements DeviceTable {
  readonly mode = TranslationTableMode.LEGACY;
  readonly root: number;
  readonly #memory: TableMemory;
  readonly #pages: PageAllocator;
  readonly #words = new Int32Array(ENTRY_BYTES / 4);

  /** AW of entries that pass through: the widest that the unit has. */
  readonly #widest: number;

  constructor(memory: TableMemory, pages: PageAllocator, { SAGAW }: Capabilities) {
    this.#memory = memory;
    this.#pages = pages;
    this.#widest = 31 - Math.clz32(SAGAW & 0b1110);
    this.root = pages.allocate();
  }

  get places(): readonly number[] {
    return [this.root];
  }

  bind(device: DeviceSetup, _pasid: null, binding: DeviceBinding): InvalidationRequest[] {
    const { domainId: DID, secondStage } = binding;
    const { sourceId, deviceTlb } = device;
    const { UNTRANSLATED, DEVICE_TLB, PASS_THROUGH } = TranslationType;
    const TT = secondStage === null ? PASS_THROUGH : deviceTlb ? DEVICE_TLB : UNTRANSLATED;
    const AW = secondStage === null ? this.#widest : secondStage.levels - 2;
    const entry = encode(CONTEXT_ENTRY, { P: 1, TT, SSPTPTR: secondStage?.root ?? 0, AW, DID });
    this.#memory.write(this.#entryAddress(sourceId), entry);
    // an absent entry is cached under domain-id 0 (VT-d 6.1)
    return [
      { cache: "context", granularity: "device", domainId: 0, sourceId },
      { cache: "iotlb", granularity: "domain", domainId: DID },
    ];
  }

  unbind(device: DeviceSetup): InvalidationRequest[] {
    const { sourceId } = device;
    const address = this.#entryAddress(sourceId);
    const { P, DID } = decode(CONTEXT_ENTRY, this.#memory.read(address, this.#words));
    if (P === 0n) return [];
    this.#memory.write(address, NOTHING);
    const domainId = Number(DID);
    const requests: InvalidationRequest[] = [
      { cache: "context", granularity: "device", domainId, sourceId },
      { cache: "iotlb", granularity: "domain", domainId },
    ];
    if (device.deviceTlb) requests.push(deviceTlbRequest(device, null, EVERYTHING));
    return requests;
  }

  /** What cannot be read is left out: the predecessor may have crashed over it. */
  adopt(root: number): AdoptedIds {
    const domainIds = new Set<number>();
    for (let bus = 0; bus < ENTRIES; bus += 1) {
      const contexts = this.#contextTable(root, bus);
      if (contexts === null) continue;
      for (let devfn = 0; devfn < ENTRIES; devfn += 1) {
        const id = this.#adoptEntry(contexts + devfn * ENTRY_BYTES, (bus << 8) | devfn);
        if (id !== null) domainIds.add(id);
      }
    }
    return { domainIds, hptDomainIds: [] };
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
