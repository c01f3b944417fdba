import type { DeviceId, Domain, IommuDriver, RequestedPage } from "@viommu/guest-driver";
import { Access } from "@viommu/plugin";
import type { PagingConfig } from "../config/guest-config.ts";
import type { PageFaults } from "./page-faults.ts";
import { Pager } from "./pager.ts";
import type { PagerState } from "./pager.ts";
import { Process } from "./process.ts";
import type { ProcessState } from "./process.ts";
import type { ProcessLayout } from "./process-layout.ts";
import { PAGE } from "./ram.ts";
import type { Ram } from "./ram.ts";

/** What {@link SharedProcesses} work with. */
export interface SharedProcessesParts {
  readonly config: PagingConfig;
  readonly device: DeviceId;
  readonly ram: Ram;
  readonly iommu: IommuDriver;
  readonly faults: PageFaults;
  readonly layout: ProcessLayout;
  /** Processes are nested on it; null: their addresses are translated once. */
  readonly nestedOn: Domain | null;
}

/** Those that were saved. */
export interface SharedProcessesState {
  readonly processes: readonly ProcessState[];
  readonly pager: PagerState;
  readonly counters: SharedProcesses["counters"];
}

/**
 * The processes that share their memory with a device, each by a PASID. Their pages come when the
 * device asks for them. A process ends in the middle of that; the next one gets its PASID when the
 * device has nothing of the old one left.
 */
export class SharedProcesses {
  readonly all: readonly Process[];
  readonly pager: Pager;
  readonly counters = { bound: 0, unbound: 0 };
  readonly #parts: SharedProcessesParts;

  constructor(parts: SharedProcessesParts) {
    const { config, device, ram, iommu, faults, layout, nestedOn } = parts;
    this.#parts = parts;
    this.all = Array.from(
      { length: config.processes },
      (_, slot) => new Process(ram, slot, iommu.allocatePasid()),
    );
    this.pager = new Pager({
      ...{ ram, iommu, frames: config.frames, processes: this.all },
      // the pages of the domain below are known
      permissions: config.hostPermissions && nestedOn === null ? iommu : null,
      contentOf: (process, page) => layout.contentOf(process, page),
    });
    for (const process of this.all) this.#bind(process);
    faults.add(device, (pasid, pages) => this.#fault(pasid, pages));
  }

  /** Those that have not ended: always at least one. */
  get living(): readonly Process[] {
    return this.all.filter(({ ended }) => !ended);
  }

  /** The device has less work of a process: when that has ended, another one may take its place. */
  jobDone(process: Process): void {
    process.jobs -= 1;
    if (!process.ended || process.jobs > 0) return;
    const { iommu, device } = this.#parts;
    iommu.unbindProcess(device, process.pasid);
    this.counters.unbound += 1;
    process.beginAnew();
    this.#bind(process);
  }

  save(): SharedProcessesState {
    return {
      processes: this.all.map((process) => process.save()),
      pager: this.pager.save(),
      counters: { ...this.counters },
    };
  }

  restore({ processes, pager, counters }: SharedProcessesState): void {
    this.all.forEach((process, i) => {
      process.restore(processes[i]!);
    });
    this.pager.restore(pager);
    Object.assign(this.counters, counters);
  }

  #bind({ pasid, table }: Process): void {
    const { iommu, device, nestedOn } = this.#parts;
    iommu.bindProcess(device, pasid, table.root, nestedOn === null ? {} : { domain: nestedOn });
    this.counters.bound += 1;
  }

  /** False when a page is not to be had. */
  #fault(pasid: number, pages: readonly RequestedPage[]): boolean {
    const { lifetime } = this.#parts.config;
    const process = this.all.find((one) => one.pasid === pasid)!;
    for (const { address, access } of pages) {
      const write = (access & Access.WRITE) !== 0;
      if (!this.pager.bring(process, Math.floor(address / PAGE), write)) return false;
    }
    if (lifetime === 0 || process.faults < lifetime || this.living.length === 1) return true;
    this.#end(process);
    return false;
  }

  /** The device still works for it: on return it cannot reach its memory, which is used again. */
  #end(process: Process): void {
    process.ended = true;
    this.#parts.iommu.endProcess(process.pasid);
    this.pager.releaseAll(process);
  }
}
