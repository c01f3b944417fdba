import { RootTable, SecondStageTable, TableSpace } from "@viommu/conformance";
import type { DmaMapping } from "@viommu/conformance";
import type { ChunkedMemory } from "@viommu/memory";
import { toBigint } from "@viommu/plugin";
import type { VtdUnit } from "@viommu/vtd";
import { readRegister } from "./xen-host.ts";

/** Registers and bits of GCMD (VT-d 11.4). */
export const Reg = {
  GCMD: 0x18,
  GSTS: 0x1c,
  RTADDR: 0x20,
  FSTS: 0x34,
  FECTL: 0x38,
  IQH: 0x80,
  IQT: 0x88,
  IQA: 0x90,
  IRTA: 0xb8,
  IVA: 0xf0,
  IOTLB: 0xf8,
  FRCD: 0x220,
} as const;
export const Gcmd = {
  TE: 1 << 31,
  SRTP: 1 << 30,
  QIE: 1 << 26,
  IRE: 1 << 25,
  SIRTP: 1 << 24,
} as const;

/** Descriptors as words: global context-cache, global IOTLB, all interrupt entries. */
const CONTEXT_GLOBAL = [0x11, 0, 0, 0] as const;
export const IOTLB_GLOBAL = [0x12, 0, 0, 0] as const;
export const INTERRUPTS_ALL = [0x04, 0, 0, 0] as const;

/** One page of domain 1. */
export function iotlbPage(address: number): readonly number[] {
  return [0x32 | (1 << 16), 0, address | 0, Math.floor(address / 2 ** 32)];
}

/** A guest that programs one unit by registers and memory: tables, queue, waits. */
export class GuestTables {
  readonly unit: VtdUnit;
  readonly space: TableSpace;
  readonly root: RootTable;
  readonly #queue: bigint;
  readonly #status: bigint;
  readonly #tables = new Map<number, SecondStageTable>();
  #tail = 0;
  #waits = 0;

  /** Tables come from 1 MiB to 7 MiB unless given; the queue has one page. */
  constructor(unit: VtdUnit, memory: ChunkedMemory, base = 0x10_0000) {
    this.unit = unit;
    this.space = new TableSpace({ memory, base, size: 0x60_0000 });
    this.root = new RootTable(this.space);
    this.#queue = this.space.allocate();
    this.#status = this.space.allocate();
  }

  command(bit: number, on = true): void {
    const kept = readRegister(this.unit, Reg.GSTS) & 0x96ff_ffff;
    this.unit.write(Reg.GCMD, 4, on ? kept | bit : kept & ~bit, 0);
  }

  /** Root table, queue, translation on. */
  start(): this {
    this.unit.write(Reg.RTADDR, 8, Number(this.root.address), 0);
    this.command(Gcmd.SRTP);
    this.startQueue();
    this.command(Gcmd.TE);
    return this;
  }

  startQueue(): void {
    this.unit.write(Reg.IQT, 8, 0, 0);
    this.unit.write(Reg.IQA, 8, Number(this.#queue), 0);
    this.command(Gcmd.QIE);
  }

  /** Each device has a domain of its own, numbered from 1 on. */
  map({ sourceId, hi, lo, outHi, outLo, pageShift, access }: DmaMapping): void {
    let table = this.#tables.get(sourceId);
    if (table === undefined) {
      table = new SecondStageTable(this.space, 4);
      this.#tables.set(sourceId, table);
      this.root.attach(sourceId, table, this.#tables.size);
    }
    table.map({ iova: toBigint(hi, lo), gpa: toBigint(outHi, outLo), pageShift, access });
  }

  /** A page by numbers: 4 KiB and all rights unless given. */
  mapPage(sourceId: number, iova: number, gpa: number, access = 3, pageShift = 12): void {
    const [hi, outHi] = [Math.floor(iova / 2 ** 30), Math.floor(gpa / 2 ** 30)];
    const [lo, outLo] = [iova % 2 ** 30, gpa % 2 ** 30];
    this.map({ sourceId, hi, lo, outHi, outLo, pageShift, access });
  }

  unmap({ sourceId, hi, lo, pageShift }: Omit<DmaMapping, "outHi" | "outLo" | "access">): void {
    this.#tables.get(sourceId)?.unmap(toBigint(hi, lo), pageShift);
  }

  unmapPage(sourceId: number, iova: number, pageShift = 12): void {
    this.unmap({ sourceId, hi: Math.floor(iova / 2 ** 30), lo: iova % 2 ** 30, pageShift });
  }

  /** Submits descriptors and a wait; the result tells whether the wait has completed by now. */
  flush(...descriptors: readonly (readonly number[])[]): () => boolean {
    this.#waits += 1;
    const value = this.#waits;
    this.submit(...descriptors, [0x25, value, Number(this.#status), 0]);
    return () => this.space.load(this.#status, 1)[0]! >= value;
  }

  submit(...descriptors: readonly (readonly number[])[]): void {
    for (const words of descriptors) {
      this.space.store(this.#queue + BigInt(this.#tail), Int32Array.from(words));
      this.#tail = (this.#tail + 16) % 4096;
    }
    this.unit.write(Reg.IQT, 8, this.#tail, 0);
  }

  /** Everything, as a guest does after it has changed its tables. */
  sync(): () => boolean {
    return this.flush(CONTEXT_GLOBAL, IOTLB_GLOBAL);
  }
}
