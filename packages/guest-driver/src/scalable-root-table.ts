import {
  decode,
  encode,
  PasidTranslationType,
  SM_CONTEXT_ENTRY,
  SM_ROOT_ENTRY,
  toQwords,
  TranslationTableMode,
} from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import type {
  AdoptedIds,
  DeviceBinding,
  DeviceSetup,
  DeviceTable,
  PermissionTable,
  UnbindOptions,
} from "./device-table.ts";
import { deviceTlbRequest, EVERYTHING } from "./invalidation.ts";
import type { InvalidationRequest } from "./invalidation.ts";
import type { PageAllocator } from "./page-allocator.ts";
import { idsUnder, PasidTable } from "./pasid-table.ts";
import type { ClearedEntry } from "./pasid-table.ts";
import type { TableMemory } from "./table-memory.ts";

/** PASID of requests without one; every unit has it, also without ECAP.RPS. As in Linux. */
export const RID_PASID = 0;

const ENTRY_BYTES = 32;
const ENTRY_WORDS = ENTRY_BYTES / 4;
/** Entries of a context table, and bytes of the half of a root entry that leads to it. */
const ENTRIES = 128;
const ROOT_HALF_BYTES = 8;
/** Two for each bus. */
const CONTEXT_TABLES = 512;
const NOTHING = new Int32Array(ENTRY_WORDS);
const P = 1;

/**
 * Root and context tables of scalable mode (VT-d 9.2, 9.4): two context tables for each bus, and for
 * each device a PASID table. Context tables are made as needed; a device has a context entry and a
 * PASID table while it is bound to anything.
 */
export class ScalableRootTable implements DeviceTable {
  readonly mode = TranslationTableMode.SCALABLE;
  readonly root: number;
  readonly #memory: TableMemory;
  readonly #pages: PageAllocator;
  readonly #capabilities: Capabilities;
  /** By source-id. */
  readonly #pasids = new Map<number, PasidTable>();
  readonly #words = new Int32Array(ENTRY_WORDS);

  constructor(memory: TableMemory, pages: PageAllocator, capabilities: Capabilities) {
    this.#memory = memory;
    this.#pages = pages;
    this.#capabilities = capabilities;
    this.root = pages.allocate();
  }

  get places(): readonly number[] {
    return [this.root, ...[...this.#pasids.values()].flatMap((table) => table.places)];
  }

  bind(
    device: DeviceSetup,
    pasid: number | null,
    binding: DeviceBinding,
    permissions: PermissionTable | null,
  ): InvalidationRequest[] {
    const { sourceId } = device;
    const { domainId } = binding;
    const place = { domainId, pasid: pasid ?? RID_PASID };
    const requests: InvalidationRequest[] = [];
    let table = this.#pasids.get(sourceId);
    if (table === undefined) {
      table = new PasidTable(this.#memory, this.#pages, this.#capabilities, device.pasidBits);
      this.#pasids.set(sourceId, table);
      this.#memory.write(this.#entryAddress(sourceId), contextEntry(device, table));
      requests.push({ cache: "context", granularity: "device", domainId: 0, sourceId });
    }
    // without EPTR those of RID_PASID are for all of the device (VT-d 6.2.6.2)
    table.set(place.pasid, binding, pasid === null ? permissions : null);
    requests.push(
      { cache: "pasid", granularity: "pasid", ...place },
      { cache: "pasid-iotlb", granularity: "pasid", ...place },
    );
    return requests;
  }

  /** In the order of VT-d 6.5.3.3: context-cache if the device is done with, PASID-cache, IOTLB, device. */
  unbind(
    device: DeviceSetup,
    pasid: number | null,
    { silent, retired }: UnbindOptions,
  ): InvalidationRequest[] {
    const { sourceId } = device;
    const table = this.#pasids.get(sourceId);
    if (table === undefined) return this.#unbindAdopted(device);
    const cleared = table.clear(pasid ?? RID_PASID, silent);
    const requests: InvalidationRequest[] = [];
    if (table.isEmpty) {
      this.#memory.write(this.#entryAddress(sourceId), NOTHING);
      this.#pasids.delete(sourceId);
      retired.push(...table.retire());
      requests.push({ cache: "context", granularity: "device", domainId: 0, sourceId });
    }
    if (cleared !== null) requests.push(...forgetEntry(device, pasid, cleared));
    return requests;
  }

  /** What cannot be read is left out: the predecessor may have crashed over it. */
  adopt(root: number): AdoptedIds {
    const domainIds = new Set<number>();
    const hptDomainIds = new Set<number>();
    for (let table = 0; table < CONTEXT_TABLES; table += 1) {
      const contexts = this.#contextTable(root, table);
      if (contexts === null) continue;
      for (let index = 0; index < ENTRIES; index += 1) {
        const ids = this.#adoptEntry(contexts + index * ENTRY_BYTES, table * ENTRIES + index);
        for (const id of ids?.domainIds ?? []) domainIds.add(id);
        for (const id of ids?.hptDomainIds ?? []) hptDomainIds.add(id);
      }
    }
    return { domainIds, hptDomainIds };
  }

  #adoptEntry(from: number, sourceId: number): AdoptedIds | null {
    if (!this.#memory.tryRead(from, this.#words) || (this.#words[0]! & P) === 0) return null;
    const entry = this.#words.slice();
    const { PASIDDIRPTR, PDTS, HPTE } = decode(SM_CONTEXT_ENTRY, entry);
    // a device that this driver has bound already is not touched
    if (!this.#pasids.has(sourceId)) this.#memory.write(this.#entryAddress(sourceId), entry);
    const ids = idsUnder(this.#memory, Number(PASIDDIRPTR), Number(PDTS));
    return HPTE === 1n ? ids : { ...ids, hptDomainIds: [] };
  }

  /** A predecessor's entry: nobody knows which domains and PASIDs are behind it. */
  #unbindAdopted(device: DeviceSetup): InvalidationRequest[] {
    const address = this.#entryAddress(device.sourceId);
    const entry = decode(SM_CONTEXT_ENTRY, this.#memory.read(address, this.#words));
    if (entry.P === 0n) return [];
    this.#memory.write(address, NOTHING);
    const requests: InvalidationRequest[] = [
      { cache: "context", granularity: "global" },
      { cache: "pasid", granularity: "global" },
      { cache: "iotlb", granularity: "global" },
    ];
    if (entry.DTE === 1n) requests.push(deviceTlbRequest(device, null, EVERYTHING));
    if (entry.HPTE === 1n) requests.push({ cache: "host-permission", granularity: "global" });
    return requests;
  }

  /** Address of a context table under some root, or null. */
  #contextTable(root: number, table: number): number | null {
    const half = new Int32Array(2);
    if (!this.#memory.tryRead(root + table * ROOT_HALF_BYTES, half)) return null;
    if ((half[0]! & P) === 0) return null;
    return Number(toQwords(half)[0]! & ~0xfffn);
  }

  #entryAddress(sourceId: number): number {
    const table = sourceId >> 7;
    let contexts = this.#contextTable(this.root, table);
    if (contexts === null) {
      contexts = this.#pages.allocate();
      // both halves of a root entry have the same form
      const half = encode(SM_ROOT_ENTRY, { LP: 1, LCTP: contexts }).subarray(0, 2);
      this.#memory.write(this.root + table * ROOT_HALF_BYTES, half);
    }
    return contexts + (sourceId % ENTRIES) * ENTRY_BYTES;
  }
}

function contextEntry(device: DeviceSetup, { directory, pdts }: PasidTable): Int32Array {
  return encode(SM_CONTEXT_ENTRY, {
    P,
    DTE: device.deviceTlb ? 1 : 0,
    PASIDE: device.pasidBits > 0 ? 1 : 0,
    PRE: device.pageRequests ? 1 : 0,
    HPTE: device.hostPermissions ? 1 : 0,
    PDTS: pdts,
    PASIDDIRPTR: directory,
    RID_PASID,
  });
}

/** What was known of a PASID table entry that is not present any more (VT-d 6.5.3.3, table 28). */
function forgetEntry(
  device: DeviceSetup,
  pasid: number | null,
  { domainId, type }: ClearedEntry,
): InvalidationRequest[] {
  const place = { domainId, pasid: pasid ?? RID_PASID };
  const { SECOND_STAGE, NESTED } = PasidTranslationType;
  const bySecondStage = type === SECOND_STAGE || type === NESTED;
  const requests: InvalidationRequest[] = [
    { cache: "pasid", granularity: "pasid", ...place },
    bySecondStage
      ? { cache: "iotlb", granularity: "domain", domainId }
      : { cache: "pasid-iotlb", granularity: "pasid", ...place },
  ];
  if (device.deviceTlb) requests.push(deviceTlbRequest(device, pasid, EVERYTHING));
  return requests;
}
