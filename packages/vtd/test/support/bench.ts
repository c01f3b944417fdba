import { createMemory } from "@viommu/memory";
import { Access, createHookTable, DmaRequest, InterruptRequest } from "@viommu/plugin";
import type { Invalidation, ModeChange } from "@viommu/plugin";
import { createProfile, createUnit } from "../../src/index.ts";
import type { ProfileOptions, UnitSettings } from "../../src/index.ts";

/** Command bits as a driver writes them (VT-d 11.4.4.1). */
export const TE = 0x8000_0000;
export const SRTP = 0x4000_0000;
export const WBF = 0x0800_0000;
export const QIE = 0x0400_0000;
export const IRE = 0x0200_0000;
export const SIRTP = 0x0100_0000;
export const CFI = 0x0080_0000;

/** Where the bench puts the invalidation queue, the root table and status words. */
export const QUEUE = 0x10_0000n;
export const ROOT = 0x20_0000n;
export const STATUS = 0x30_0000n;

const MEMORY_BYTES = 8 * 2 ** 20;

/** A unit with memory, a sink that keeps messages, and observers that keep what they hear. */
export class Bench {
  /** Low memory, and two pages around the first 1 GiB border. */
  readonly memory = createMemory({
    regions: [
      { base: 0, size: MEMORY_BYTES },
      { base: 0x3fff_f000, size: 0x2000 },
    ],
  });
  /** Messages of the unit: upper, address, data, unsigned. */
  readonly messages: [number, number, number][] = [];
  readonly invalidations: Invalidation[] = [];
  readonly modes: ModeChange[] = [];
  readonly hooks = createHookTable();
  readonly unit;
  #slot = 0n;

  constructor(options: ProfileOptions = {}, settings: Partial<UnitSettings> = {}) {
    this.hooks.invalidate = (_unit, what) => this.invalidations.push(what);
    this.hooks.modeChange = (_unit, mode) => this.modes.push(mode);
    this.unit = createUnit({
      name: "dmar0",
      base: 0xfed9_0000,
      profile: createProfile(options),
      memory: this.memory,
      sink: {
        deliver: (upper, address, data) => {
          this.messages.push([upper >>> 0, address >>> 0, data >>> 0]);
        },
      },
      hooks: this.hooks,
      ...settings,
    });
  }

  read32(offset: number): number {
    const out = Int32Array.of(-1, -1);
    this.unit.read(offset, 4, out);
    return out[0]! >>> 0;
  }

  read64(offset: number): bigint {
    const out = Int32Array.of(-1, -1);
    this.unit.read(offset, 8, out);
    return (BigInt(out[1]! >>> 0) << 32n) | BigInt(out[0]! >>> 0);
  }

  write32(offset: number, value: number): void {
    this.unit.write(offset, 4, value | 0, 0);
  }

  write64(offset: number, value: bigint): void {
    this.unit.write(offset, 8, Number(value & 0xffff_ffffn) | 0, Number(value >> 32n) | 0);
  }

  put64(address: bigint, ...values: bigint[]): void {
    values.forEach((value, i) => {
      const at = address + 8n * BigInt(i);
      const hi = Number(at >> 30n);
      const lo = Number(at & 0x3fff_ffffn);
      this.memory.writeWord(hi, lo, Number(value & 0xffff_ffffn) | 0);
      this.memory.writeWord(hi, lo + 4, Number((value >> 32n) & 0xffff_ffffn) | 0);
    });
  }

  get32(address: bigint): number {
    const out = new Int32Array(1);
    this.memory.readWords(Number(address >> 30n), Number(address & 0x3fff_ffffn), 1, out);
    return out[0]! >>> 0;
  }

  get64(address: bigint): bigint {
    return (BigInt(this.get32(address + 4n)) << 32n) | BigInt(this.get32(address));
  }

  /** Changes one command bit as VT-d 11.4.4.1 asks for; returns GSTS. */
  command(bit: number, on = true): number {
    const status = this.read32(0x1c) & 0x96ff_ffff;
    this.write32(0x18, on ? status | bit : status & ~bit);
    return this.read32(0x1c);
  }

  /** Switches the queue on: at QUEUE, 2^size pages, IQT 0. */
  enableQueue(size = 0, wide = false): void {
    this.write64(0x88, 0n);
    this.write64(0x90, QUEUE | (wide ? 0x800n : 0n) | BigInt(size));
    this.#slot = 0n;
    this.command(QIE);
  }

  /** Puts 128-bit descriptors into the queue and moves the tail behind them. */
  submit(...descriptors: [bigint, bigint][]): void {
    for (const [low, high] of descriptors) {
      this.put64(QUEUE + 16n * this.#slot, low, high);
      this.#slot += 1n;
    }
    this.write64(0x88, this.#slot * 16n);
  }

  /** Puts 256-bit descriptors into the queue and moves the tail behind them. */
  submitWide(...descriptors: [bigint, bigint][]): void {
    for (const [low, high] of descriptors) {
      this.put64(QUEUE + 32n * this.#slot, low, high, 0n, 0n);
      this.#slot += 1n;
    }
    this.write64(0x88, this.#slot * 32n);
  }

  /** The root table at ROOT, mode bits included, and SRTP. */
  setRoot(bits = 0n): void {
    this.write64(0x20, ROOT | bits);
    this.command(SRTP);
  }

  /** The interrupt remapping table at 400000h, 256 entries unless `bits` say otherwise, and SIRTP. */
  setInterruptTable(bits = 7n): void {
    this.write64(0xb8, 0x40_0000n | bits);
    this.command(SIRTP);
  }

  /** A DMA request; the result of the unit. */
  dma(sourceId: number, address: bigint, access: number = Access.READ, pasid = -1): number {
    const request = new DmaRequest();
    request.sourceId = sourceId;
    request.hi = Number(address >> 30n);
    request.lo = Number(address & 0x3fff_ffffn);
    request.access = access;
    request.pasid = pasid;
    return this.unit.dma.translate(request);
  }

  /** An interrupt request; the result of the unit. */
  interrupt(sourceId: number, address: number, data = 0): number {
    const request = new InterruptRequest();
    request.sourceId = sourceId;
    request.address = address | 0;
    request.data = data;
    return this.unit.interrupts.remap(request);
  }

  /** FSTS.IQE, and the cause in IQERCD. */
  queueError(): number {
    if ((this.read32(0x34) & 0x10) === 0) return 0;
    return this.read32(0xb0) & 0xf;
  }

  /** Programs an event's message: control register with the mask clear, data, address, upper. */
  setEvent(control: number, data: number, address = 0xfee0_0000, upper = 0): void {
    this.write32(control + 4, data);
    this.write32(control + 8, address);
    this.write32(control + 12, upper);
    this.write32(control, 0);
  }
}
