import { Access } from "@viommu/plugin";
import type { Attachments } from "./attachments.ts";
import type { DeviceSetup } from "./device-table.ts";
import type { PasidState } from "./driver-state.ts";
import { badIova, badPasid, badState, hex } from "./errors.ts";
import { FreeRanges } from "./free-ranges.ts";
import { enclosingBlock, EVERYTHING } from "./invalidation.ts";
import type { PageRights } from "./permission-counts.ts";
import { isSame, processFor } from "./process-options.ts";
import type { ProcessOptions } from "./process-options.ts";
import type { ProcessSpace } from "./process-space.ts";
import { PAGE_SIZE } from "./table-memory.ts";
import type { DeviceId } from "./topology.ts";
import type { UnitDriver } from "./unit-driver.ts";

/** 0 stands for requests without PASID, as in Linux. */
const FIRST = 1;
const END = 2 ** 20;

/** What a device shall see under a PASID. */
interface Binding {
  readonly unit: UnitDriver;
  readonly setup: DeviceSetup;
  readonly pasid: number;
  readonly root: number;
}

/**
 * PASIDs of a guest: which are given out, and which process devices see under which. A process has
 * one PASID, the same under all units.
 */
export class Processes {
  readonly #attachments: Attachments;
  readonly #free = new FreeRanges(FIRST, END);
  /** Those given out; null: no process is bound to it. */
  readonly #pasids = new Map<number, ProcessSpace | null>();

  constructor(attachments: Attachments) {
    this.#attachments = attachments;
  }

  /** The lowest free PASID, or the one that is wanted. */
  allocate(wanted?: number): number {
    const pasid = wanted ?? this.#free.takeLowest(1);
    const isFree =
      wanted === undefined ? pasid >= 0 : Number.isInteger(wanted) && this.#free.take(wanted, 1);
    if (!isFree) {
      const text = wanted === undefined ? "no PASID is left" : `PASID ${wanted} is not free`;
      throw badPasid(text, `give one from ${FIRST} to ${END - 1} that is not in use, or free some`);
    }
    this.#pasids.set(pasid, null);
    return pasid;
  }

  /** Gives a PASID back that no device uses. */
  free(pasid: number): void {
    this.check(pasid);
    for (const attachment of this.#attachments.all()) {
      if (attachment.pasid !== pasid) continue;
      const { sourceId } = attachment.device;
      throw badState(`device ${hex(sourceId)} uses PASID ${pasid}`, "unbind or detach it first");
    }
    this.#pasids.delete(pasid);
    this.#free.give(pasid, 1);
  }

  /** Throws ERR_VIOMMU_DRIVER_PASID unless it is given out. */
  check(pasid: number): void {
    if (this.#pasids.has(pasid)) return;
    throw badPasid(`PASID ${pasid} was not allocated`, "take it from allocatePasid()");
  }

  bind(device: DeviceId, binding: Binding, options: ProcessOptions): void {
    const { unit, setup, pasid, root } = binding;
    const wanted = processFor(unit, pasid, root, options);
    const process = this.#pasids.get(pasid) ?? wanted;
    if (process.ended || !isSame(process, wanted)) {
      throw badPasid(
        `PASID ${pasid} is bound to another process`,
        "allocate a PASID for each process, and bind it with the same options everywhere",
      );
    }
    if (this.#attachments.get(device, pasid) !== null) {
      throw badState(
        `PASID ${pasid} of device ${hex(setup.sourceId)} is in use`,
        "unbind it first",
      );
    }
    this.#attachments.make(device, { unit, device: setup, pasid, space: process });
    this.#pasids.set(pasid, process);
  }

  unbind(device: DeviceId, pasid: number): void {
    const process = this.#pasids.get(pasid) ?? null;
    const attachment = this.#attachments.get(device, pasid);
    if (process === null || attachment?.space !== process) {
      throw badPasid(
        `device ${hex(device.sourceId)} sees no process by PASID ${pasid}`,
        "unbind what bindProcess() has bound, once",
      );
    }
    this.#attachments.end(device, attachment);
    if (process.isEmpty) this.#pasids.set(pasid, null);
  }

  end(pasid: number): void {
    this.#pasids.get(pasid)?.end();
  }

  /** Bytes, and pages from there on. */
  invalidateRange(pasid: number, start: number, pages: number): void {
    const everything = pages === Infinity;
    const block = everything ? EVERYTHING : enclosingBlock(Math.floor(start / PAGE_SIZE), pages);
    if (pages > 0) this.#pasids.get(pasid)?.invalidate(block);
  }

  /** Bytes, and pages from there on. */
  permit(pasid: number, address: number, pages: number, access: number): void {
    this.#withOwnPages(pasid).permit(rightsOf(address, pages, access));
  }

  forbid(pasid: number, address: number, pages: number, access: number): void {
    if (this.#withOwnPages(pasid).forbid(rightsOf(address, pages, access))) return;
    throw badPasid(
      `PASID ${pasid} has no permission for ${pages} pages at ${hex(address)}, with access ${access}`,
      "take back what was permitted, as often as it was",
    );
  }

  save(): PasidState {
    const bound = [...this.#pasids].flatMap(([, process]) => process ?? []);
    return {
      allocated: [...this.#pasids.keys()],
      ended: bound.filter(({ ended }) => ended).map(({ pasid }) => pasid),
      permitted: bound.map((process) => [process.pasid, process.savePermitted()]),
    };
  }

  /** The same processes are bound. */
  restore({ allocated, ended, permitted }: PasidState): void {
    const counts = new Map(permitted);
    for (const [pasid, process] of this.#pasids) {
      process?.restore(ended.includes(pasid), counts.get(pasid) ?? []);
      if (allocated.includes(pasid)) continue;
      this.#pasids.delete(pasid);
      this.#free.give(pasid, 1);
    }
    for (const pasid of allocated) if (!this.#pasids.has(pasid)) this.allocate(pasid);
  }

  /** The process of a PASID, whose pages are known to the kernel alone. */
  #withOwnPages(pasid: number): ProcessSpace {
    const process = this.#pasids.get(pasid) ?? null;
    if (process !== null && process.domain === null) return process;
    throw badPasid(
      process === null
        ? `PASID ${pasid} has no process`
        : `PASID ${pasid} reaches its domain's pages`,
      "tell the pages of a process that is bound without a domain, after bindProcess()",
    );
  }
}

/** Whole pages. Throws ERR_VIOMMU_DRIVER_IOVA for what are none. */
function rightsOf(address: number, pages: number, access: number): PageRights {
  const page = address / PAGE_SIZE;
  const allowed = access & (Access.READ | Access.WRITE);
  const isRun = Number.isSafeInteger(page) && page >= 0 && Number.isSafeInteger(pages) && pages > 0;
  if (isRun && allowed !== 0) return { page, count: pages, access: allowed };
  throw badIova(
    `${pages} pages at ${address} with access ${access} are none`,
    "give the address of a page, a number of pages, and Access.READ, Access.WRITE or both",
  );
}
