import { Access } from "@viommu/plugin";
import type { AddressSpace } from "./address-space.ts";
import type { DeviceSetup, FirstStage } from "./device-table.ts";
import type { DomainFormat } from "./domain-format.ts";
import type { DomainMembers } from "./domain-members.ts";
import type { DomainState } from "./driver-state.ts";
import { badIova, badState, hex } from "./errors.ts";
import { FlushQueue } from "./flush-queue.ts";
import type { Unflushed } from "./flush-queue.ts";
import { IovaAllocator } from "./iova-allocator.ts";
import type { PageAllocator } from "./page-allocator.ts";
import type { PagingTable } from "./paging-table.ts";
import type { PageRights } from "./permission-counts.ts";
import { PAGE_SIZE } from "./table-memory.ts";
import type { UnitDriver } from "./unit-driver.ts";

/** How a domain is made. */
export interface DomainOptions {
  /** Highest I/O virtual address for its devices (their DMA mask); the units' width unless given. */
  readonly addressLimit?: number;
  /** Lazy: unmapped pages stay reachable until the next flush. As the driver's unless given. */
  readonly unmapping?: "strict" | "lazy";
  /**
   * Stage of its tables, in scalable mode: first if all units have it, as in Linux, and second
   * otherwise, unless given. Only a second-stage domain can have processes nested on it.
   */
  readonly stage?: DomainFormat["stage"];
}

/** What a domain works with. */
export interface DomainParts {
  readonly format: DomainFormat;
  readonly table: PagingTable;
  readonly members: DomainMembers;
  readonly pages: PageAllocator;
  /** Page after the last one that may be given out. */
  readonly pageLimit: number;
  /** Null: strict. */
  readonly flushThreshold: number | null;
}

/** As {@link Unflushed}, while tables still drop out. */
interface Withdrawn extends Unflushed {
  readonly retired: number[];
}

/** Guest pages in a row. */
interface Run {
  readonly page: number;
  readonly count: number;
}

/**
 * An I/O address space: what its devices see at which address. Made by `IommuDriver.attach` for one
 * device, or by `IommuDriver.createDomain` to be shared.
 */
export class Domain implements AddressSpace {
  readonly counters = { mapped: 0, unmapped: 0, flushes: 0 };
  readonly #parts: DomainParts;
  readonly #iova: IovaAllocator;
  readonly #queue: FlushQueue | null;
  /** Reserved memory that is mapped to itself, "base-limit". */
  readonly #identities = new Set<string>();
  #released = false;

  /** Called by the driver. */
  constructor(parts: DomainParts) {
    const { pageLimit, flushThreshold } = parts;
    this.#parts = parts;
    this.#iova = new IovaAllocator(pageLimit);
    this.#queue = flushThreshold === null ? null : new FlushQueue(flushThreshold);
  }

  /** What its tables look like: with "first", all that can be written can be read too. */
  get format(): DomainFormat {
    return this.#parts.format;
  }

  /** Some device sees it. */
  get inUse(): boolean {
    return !this.#parts.members.isEmpty;
  }

  /** Mappings at present. */
  get size(): number {
    return this.#iova.size;
  }

  /**
   * Makes `length` bytes of guest memory reachable, whole pages of it; returns the I/O virtual
   * address of the first byte. `access` is READ, WRITE or both, as seen by the device.
   */
  map(address: number, length: number, access: number = Access.READ | Access.WRITE): number {
    const offset = address % PAGE_SIZE;
    const page = (address - offset) / PAGE_SIZE;
    const count = Math.ceil((offset + length) / PAGE_SIZE);
    return this.#mapRuns([{ page, count }], access) + offset;
  }

  /** Makes scattered pages reachable, one after the other; returns the first one's address. */
  mapPages(addresses: readonly number[], access: number = Access.READ | Access.WRITE): number {
    const runs: { -readonly [K in keyof Run]: Run[K] }[] = [];
    for (const address of addresses) {
      const page = address / PAGE_SIZE;
      const last = runs.at(-1);
      if (last !== undefined && last.page + last.count === page) last.count += 1;
      else runs.push({ page, count: 1 });
    }
    return this.#mapRuns(runs, access);
  }

  /**
   * Takes back what a call of `map` or `mapPages` has returned. Strict: on return no device can
   * reach it. Lazy: devices may, until the next {@link flush}, which comes by itself at the threshold.
   */
  unmap(iova: number): void {
    this.#checkUsable();
    const first = Math.floor(iova / PAGE_SIZE);
    const count = this.#iova.release(first);
    this.counters.unmapped += 1;
    if (this.#queue === null) {
      this.#invalidateAndReuse(first, count);
      return;
    }
    const permitted = this.#permitted(first, count);
    const retired: number[] = [];
    this.#parts.table.unmap(first, count, retired);
    if (this.#queue.add({ first, count, retired, permitted })) this.flush();
  }

  /** Ends the time in which devices may reach what was unmapped lazily. */
  flush(): void {
    const waiting = this.#queue?.take() ?? [];
    if (waiting.length === 0) return;
    this.#parts.members.invalidateAll();
    this.counters.flushes += 1;
    this.#parts.members.forbid(waiting.flatMap(({ permitted }) => permitted));
    for (const entry of waiting) this.#reuse(entry);
  }

  /** Maps reserved memory (RMRR) to itself: devices go on using it. Once is enough. */
  mapIdentity(base: number, limit: number): void {
    this.#checkUsable();
    const first = Math.floor(base / PAGE_SIZE);
    const count = Math.floor(limit / PAGE_SIZE) - first + 1;
    const key = `${base}-${limit}`;
    if (this.#identities.has(key)) return;
    if (!this.#iova.reserve(first, count)) {
      throw badIova(
        `reserved memory ${hex(base)}-${hex(limit)} is mapped to something else in this domain`,
        "attach its device before the others, or give it a domain of its own",
      );
    }
    this.#identities.add(key);
    this.#write([{ page: first, count }], first, Access.READ | Access.WRITE);
  }

  /** Gives its tables back. Throws ERR_VIOMMU_DRIVER_STATE while a device uses it. */
  release(): void {
    this.#checkUsable();
    const { table, pages } = this.#parts;
    if (this.inUse) {
      throw badState("a domain is in use by devices", "detach them first");
    }
    // without members nothing of it is cached anywhere
    for (const entry of this.#queue?.take() ?? []) this.#reuse(entry);
    for (const address of table.retire()) pages.free(address);
    this.#released = true;
  }

  /** Called by the driver: requests of a device see this domain from now on. */
  add(unit: UnitDriver, device: DeviceSetup, pasid: number | null): void {
    this.#checkUsable();
    this.#parts.members.add(unit, device, pasid, null, this.#targetsFor(device));
  }

  /** Called by the driver: they see a process whose addresses this domain translates. */
  addNested(unit: UnitDriver, device: DeviceSetup, pasid: number, process: FirstStage): void {
    this.#checkUsable();
    this.#parts.members.add(unit, device, pasid, process, this.#targetsFor(device));
  }

  /** Called by the driver: such requests see nothing from now on. */
  remove(unit: UnitDriver, device: DeviceSetup, pasid: number | null): void {
    this.#parts.members.remove(unit, device, pasid, this.#targetsFor(device));
  }

  /** Called by the driver: the id that a unit with devices in this domain knows it by. */
  idUnder(unit: UnitDriver): number {
    return this.#parts.members.idUnder(unit);
  }

  /** Where its topmost table lies and who its members are. */
  get layout(): string {
    const { table, members } = this.#parts;
    return `${hex(table.root)} ${members.text}`;
  }

  /** Called by the driver: mappings and what waits for a flush; the tables are in guest memory. */
  save(): DomainState {
    return {
      ...this.#iova.save(),
      unflushed: this.#queue?.save() ?? [],
      identities: [...this.#identities],
      counters: { ...this.counters },
    };
  }

  /** Called by the driver. */
  restore(state: DomainState): void {
    this.#iova.restore(state);
    this.#queue?.restore(state.unflushed);
    this.#identities.clear();
    for (const identity of state.identities) this.#identities.add(identity);
    Object.assign(this.counters, state.counters);
  }

  #mapRuns(runs: readonly Run[], access: number): number {
    this.#checkUsable();
    const total = runs.reduce((sum, { count }) => sum + count, 0);
    if (total < 1 || !runs.every(isRun)) {
      throw badIova(
        "there are no such pages to map",
        "give addresses in guest memory, and a length",
      );
    }
    if ((access & (Access.READ | Access.WRITE)) === 0) {
      throw badIova(`access ${access} is none`, "give Access.READ, Access.WRITE or both");
    }
    const first = this.#iova.allocate(total);
    try {
      this.#write(runs, first, access);
    } catch (error) {
      this.#iova.reuse(first, this.#iova.release(first)); // no memory for tables
      throw error;
    }
    this.counters.mapped += 1;
    return first * PAGE_SIZE;
  }

  #write(runs: readonly Run[], first: number, access: number): void {
    const { table, members, pages } = this.#parts;
    const retired: number[] = [];
    const permitted = members.needPermission
      ? runs.map((run) => ({ ...run, access: table.effective(access) }))
      : [];
    members.permit(permitted);
    let next = first;
    try {
      for (const { page, count } of runs) {
        table.map(next, page, count, access, retired);
        next += count;
      }
    } catch (error) {
      const count = runs.reduce((sum, run) => sum + run.count, 0);
      this.#withdraw({ first, count, retired, permitted });
      throw error;
    }
    if (retired.length === 0) {
      members.pagesMapped(first, next - first);
    } else {
      // tables went out of use, and a unit may have them in its paging-structure caches
      members.invalidatePages(first, next - first, false);
      for (const address of retired) pages.free(address);
    }
  }

  #invalidateAndReuse(first: number, count: number): void {
    this.#withdraw({ first, count, retired: [], permitted: this.#permitted(first, count) });
    this.#iova.reuse(first, count);
  }

  /** On return no device can reach what was mapped there. */
  #withdraw({ first, count, retired, permitted }: Withdrawn): void {
    const { table, members, pages } = this.#parts;
    table.unmap(first, count, retired);
    members.invalidatePages(first, count, retired.length === 0);
    members.forbid(permitted);
    for (const address of retired) pages.free(address);
  }

  #reuse({ first, count, retired }: Unflushed): void {
    this.#iova.reuse(first, count);
    for (const address of retired) this.#parts.pages.free(address);
  }

  /** Host pages behind a range, with the rights that devices with host permissions have. */
  #permitted(first: number, count: number): PageRights[] {
    const { table, members } = this.#parts;
    return members.needPermission ? table.targets(first, count) : [];
  }

  /** All host pages that a device with host permissions may reach here. */
  #targetsFor({ hostPermissions }: DeviceSetup): PageRights[] {
    if (!hostPermissions) return [];
    this.flush(); // what waits is permitted to those who are members
    return this.#parts.table.targets();
  }

  #checkUsable(): void {
    if (this.#released) throw badState("this domain was released", "make a new one");
  }
}

const isRun = ({ page, count }: Run): boolean =>
  Number.isSafeInteger(page) && page >= 0 && Number.isSafeInteger(count) && count > 0;
