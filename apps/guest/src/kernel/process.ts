import { ProcessTable } from "./process-table.ts";
import type { Ram } from "./ram.ts";

/** What a page of a process holds when it comes for the first time. */
export interface PageContent {
  /** Of the pattern. */
  readonly key: number;
  readonly writable: boolean;
}

/** A {@link Process} that was saved; its page table is in guest memory. */
export interface ProcessState {
  readonly life: number;
  readonly ended: boolean;
  readonly faults: number;
  readonly jobs: number;
  readonly stored: readonly (readonly [page: number, copy: number])[];
}

/** A process that shares its memory with a device. When it has ended, another one takes its place. */
export class Process {
  /** Its place among those of the device. */
  readonly slot: number;
  readonly pasid: number;
  readonly table: ProcessTable;
  /** Counts the processes that had this place. */
  life = 0;
  /** It has ended; the device may not know yet. */
  ended = false;
  /** Pages that were brought in during this life. */
  faults = 0;
  /** Work of it that the device has. */
  jobs = 0;
  /** Pages that were taken away changed: by number, where their contents at that time are. */
  readonly stored = new Map<number, number>();

  constructor(ram: Ram, slot: number, pasid: number) {
    this.slot = slot;
    this.pasid = pasid;
    this.table = new ProcessTable(ram);
  }

  /** Another process begins in this place. */
  beginAnew(): void {
    this.life += 1;
    this.ended = false;
    this.faults = 0;
  }

  save(): ProcessState {
    const { life, ended, faults, jobs, stored } = this;
    return { life, ended, faults, jobs, stored: [...stored] };
  }

  restore({ life, ended, faults, jobs, stored }: ProcessState): void {
    Object.assign(this, { life, ended, faults, jobs });
    this.stored.clear();
    for (const [page, copy] of stored) this.stored.set(page, copy);
  }
}
