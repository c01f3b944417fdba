import type { Capabilities } from "@viommu/vtd-spec";
import type { PermissionTable } from "./device-table.ts";
import { badIova, hex } from "./errors.ts";
import { HostPermissionTable } from "./host-permission-table.ts";
import { enclosingBlock } from "./invalidation.ts";
import type { InvalidationRequest } from "./invalidation.ts";
import type { PageAllocator } from "./page-allocator.ts";
import { PermissionCounts } from "./permission-counts.ts";
import type { ChangedRights, PageRights, PermissionState } from "./permission-counts.ts";
import { PAGE_SIZE } from "./table-memory.ts";
import type { TableMemory } from "./table-memory.ts";

/** Grants the same to several, or to none of them when it throws; see {@link DevicePermissions.grant}. */
export function grantAll(all: readonly DevicePermissions[], rights: readonly PageRights[]): void {
  const granted: DevicePermissions[] = [];
  try {
    for (const permissions of all) {
      permissions.grant(rights);
      granted.push(permissions);
    }
  } catch (error) {
    for (const permissions of granted) permissions.revoke(rights);
    throw error;
  }
}

/** What permissions of devices work with. */
export interface PermissionParts {
  readonly memory: TableMemory;
  readonly pages: PageAllocator;
  readonly capabilities: Capabilities;
  /** Bits of host addresses. */
  readonly hostAddressWidth: number;
  /** On return the unit has forgotten all of this. */
  readonly invalidate: (requests: readonly InvalidationRequest[]) => void;
}

const ALL_LEVELS = 4;
/** log2 of the pages that an entry of level 2 or 3 may have had in one: 2 MiB, 1 GiB. */
const LARGE_ORDERS = [0, 0, 9, 18, 18] as const;
/** Above this, one request for the whole table costs less. */
const MOST_REQUESTS = 32;

/**
 * What one device may reach by translated requests: by all of its PASIDs and without one, as
 * EPTR is not used (VT-d 6.2.6.2). On return from each change the unit goes by it (VT-d 6.5.3.4).
 */
export class DevicePermissions {
  readonly #table: HostPermissionTable;
  readonly #id: number;
  readonly #parts: PermissionParts;
  readonly #counts = new PermissionCounts();

  /** `id`: HPTDID. Throws ERR_VIOMMU_DRIVER_MEMORY. */
  constructor(parts: PermissionParts, id: number) {
    const { memory, pages, capabilities, hostAddressWidth } = parts;
    this.#table = new HostPermissionTable(memory, pages, capabilities, hostAddressWidth);
    this.#id = id;
    this.#parts = parts;
  }

  /** As the PASID table entry has it. */
  get table(): PermissionTable {
    const { root, size } = this.#table;
    return { root, size, hptDomainId: this.#id };
  }

  /** The request to forget all of it. */
  get everything(): InvalidationRequest {
    const hptDomainId = this.#id;
    return { cache: "host-permission", granularity: "domain", hptDomainId, levels: ALL_LEVELS };
  }

  /**
   * Lets the device reach these pages: before anything translates to them. To be taken back as often
   * as it was given. Throws ERR_VIOMMU_DRIVER_IOVA for pages that no host has,
   * ERR_VIOMMU_DRIVER_MEMORY; then nothing is granted.
   */
  grant(rights: readonly PageRights[]): void {
    for (const run of rights) this.#check(run);
    const requests: InvalidationRequest[] = [];
    const levels = this.#prepare(rights);
    rights.forEach((run, i) => {
      this.#apply(run, this.#counts.add(run), levels[i]!, requests);
    });
    this.#forget(requests);
  }

  /** Takes that back: when nothing translates to them any more, in units and devices. */
  revoke(rights: readonly PageRights[]): void {
    const requests: InvalidationRequest[] = [];
    for (const run of rights) this.#apply(run, this.#counts.remove(run), 0, requests);
    this.#forget(requests);
  }

  /** Gives the tables back, when the unit can't reach them. */
  release(): void {
    this.#table.release();
  }

  save(): PermissionState {
    return this.#counts.save();
  }

  restore(state: PermissionState): void {
    this.#counts.restore(state);
  }

  #check({ page, count }: PageRights): void {
    const { pageLimit } = this.#table;
    if (page + count <= pageLimit) return;
    throw badIova(
      `no host has memory at ${hex((page + count - 1) * PAGE_SIZE)}: its addresses end at ` +
        hex(pageLimit * PAGE_SIZE - 1),
      "give addresses below the host address width of the DMAR table",
    );
  }

  #prepare(rights: readonly PageRights[]): number[] {
    const made: number[] = [];
    try {
      return rights.map(({ page, count }) => this.#table.prepare(page, count, made));
    } catch (error) {
      const unlinked = this.#table.unlink(made);
      this.#parts.invalidate([this.everything]);
      for (const table of unlinked) this.#parts.pages.free(table);
      throw error; // no memory for tables
    }
  }

  #apply(
    { page, count }: PageRights,
    changes: readonly ChangedRights[],
    prepared: number,
    requests: InvalidationRequest[],
  ): void {
    const levels = changes.reduce(
      (highest, change) => Math.max(highest, this.#table.set(change)),
      prepared,
    );
    if (levels === 0) return;
    // a large page is forgotten as a whole
    const size = 2 ** LARGE_ORDERS[levels]!;
    const first = page - (page % size);
    const end = Math.ceil((page + count) / size) * size;
    const block = enclosingBlock(first, end - first);
    const place = { hptDomainId: this.#id, levels };
    requests.push({ cache: "host-permission", granularity: "page", ...place, ...block });
  }

  #forget(requests: readonly InvalidationRequest[]): void {
    this.#parts.invalidate(requests.length > MOST_REQUESTS ? [this.everything] : requests);
  }
}
