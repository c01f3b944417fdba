import { createMemory } from "@viommu/memory";
import type { AtcRouter } from "@viommu/memory";
import { Access, DmaRequest, InterruptRequest } from "@viommu/plugin";
import { createUnit, profileFromRegisters } from "@viommu/vtd";
import { encodeCapabilities } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { SecondStage } from "./second-stage.ts";

/** Register offsets, as a driver's header has them (VT-d 11.4). */
export const Reg = {
  VER: 0x00,
  CAP: 0x08,
  ECAP: 0x10,
  GCMD: 0x18,
  GSTS: 0x1c,
  RTADDR: 0x20,
  CCMD: 0x28,
  FSTS: 0x34,
  FECTL: 0x38,
  FEDATA: 0x3c,
  FEADDR: 0x40,
  FEUADDR: 0x44,
  IQH: 0x80,
  IQT: 0x88,
  IQA: 0x90,
  ICS: 0x9c,
  IECTL: 0xa0,
  IEDATA: 0xa4,
  IEADDR: 0xa8,
  IEUADDR: 0xac,
  IQERCD: 0xb0,
  IRTA: 0xb8,
  PQH: 0xc0,
  PQT: 0xc8,
  PQA: 0xd0,
  PRS: 0xdc,
  PECTL: 0xe0,
  PEDATA: 0xe4,
  PEADDR: 0xe8,
  IVA: 0xf0,
  IOTLB: 0xf8,
  FRCD: 0x220,
} as const;

/** Bits of GCMD and GSTS (VT-d 11.4.4). */
export const Gcmd = {
  TE: 1 << 31,
  SRTP: 1 << 30,
  SFL: 1 << 29,
  WBF: 1 << 27,
  QIE: 1 << 26,
  IRE: 1 << 25,
  SIRTP: 1 << 24,
  CFI: 1 << 23,
} as const;

/** A present-day unit in legacy mode: 48 and 57 bits, 2 MiB and 1 GiB pages, IR with EIM. */
export const CAPABILITIES: Partial<Capabilities> = {
  ND: 6,
  SAGAW: 0b1100,
  MGAW: 56,
  FRO: Reg.FRCD / 16,
  SSLPS: 3,
  PSI: 1,
  MAMV: 18,
  NFR: 0,
  DRD: 1,
  DWD: 1,
  ESRTPS: 1,
  ESIRTPS: 1,
  C: 1,
  QI: 1,
  IR: 1,
  EIM: 1,
  PT: 1,
  IRO: Reg.IVA / 16,
  MHMV: 15,
};

export interface GuestOptions {
  /** Changes to {@link CAPABILITIES}. */
  readonly capabilities?: Partial<Capabilities>;
  /** VER, 10h if absent. */
  readonly version?: number;
  readonly hostAddressWidth?: number;
  /** Descriptors per access. */
  readonly queueBudget?: number;
  /** The way to the devices with translation caches. */
  readonly devices?: AtcRouter;
}

export interface Fault {
  readonly index: number;
  readonly reason: number;
  readonly sourceId: number;
  readonly info: bigint;
  readonly high: bigint;
}

const MEMORY_BYTES = 64 * 2 ** 20;
const BASE = 0xfed9_0000;

/** A guest with one unit: it sees registers and memory, its devices see DMA and interrupts. */
export class Guest {
  readonly memory = createMemory({ regions: [{ base: 0, size: MEMORY_BYTES }] });
  /** Messages that reached the local APICs: `[upper, address, data]`, unsigned. */
  readonly messages: [number, number, number][] = [];
  readonly unit;
  #next = 0x10_0000n;
  #rootTable = 0n;
  #queue = { base: 0n, bytes: 16n, slots: 256n };
  #status: bigint | null = null;
  #waits = 0n;

  constructor(options: GuestOptions = {}) {
    const { cap, ecap } = encodeCapabilities({ ...CAPABILITIES, ...options.capabilities });
    this.unit = createUnit({
      name: "dmar0",
      base: BASE,
      profile: profileFromRegisters({
        ver: options.version ?? 0x10,
        cap,
        ecap,
        ...(options.hostAddressWidth === undefined
          ? {}
          : { hostAddressWidth: options.hostAddressWidth }),
      }),
      memory: this.memory,
      sink: {
        deliver: (upper, address, data) => {
          this.messages.push([upper >>> 0, address >>> 0, data >>> 0]);
        },
      },
      ...(options.queueBudget === undefined ? {} : { queueBudget: options.queueBudget }),
      ...(options.devices === undefined
        ? {}
        : { deviceTlb: options.devices, pageResponses: options.devices }),
    });
  }

  // Registers

  read32(offset: number): number {
    const out = new Int32Array(2);
    this.unit.read(offset, 4, out);
    return out[0]! >>> 0;
  }

  read64(offset: number): bigint {
    const out = new Int32Array(2);
    this.unit.read(offset, 8, out);
    return (BigInt(out[1]! >>> 0) << 32n) | BigInt(out[0]! >>> 0);
  }

  write32(offset: number, value: number): void {
    this.unit.write(offset, 4, value | 0, 0);
  }

  write64(offset: number, value: bigint): void {
    this.unit.write(offset, 8, Number(value & 0xffff_ffffn) | 0, Number(value >> 32n) | 0);
  }

  /** Sets or clears one command bit the way the specification asks for (11.4.4); returns GSTS. */
  command(bit: number, on = true): number {
    const kept = this.read32(Reg.GSTS) & 0x96ff_ffff;
    this.write32(Reg.GCMD, on ? kept | bit : kept & ~bit);
    return this.read32(Reg.GSTS);
  }

  // Memory

  /** Address of fresh zeroed pages. */
  alloc(pages = 1): bigint {
    const page = this.#next;
    this.#next += BigInt(pages) * 0x1000n;
    if (this.#next > MEMORY_BYTES) throw new RangeError("the guest is out of memory");
    return page;
  }

  put64(address: bigint, value: bigint): void {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    this.memory.writeBytes(Number(address >> 30n), Number(address & 0x3fff_ffffn), bytes);
  }

  get64(address: bigint): bigint {
    const bytes = new Uint8Array(8);
    this.memory.readBytes(Number(address >> 30n), Number(address & 0x3fff_ffffn), bytes);
    return new DataView(bytes.buffer).getBigUint64(0, true);
  }

  put128(address: bigint, low: bigint, high: bigint): void {
    this.put64(address, low);
    this.put64(address + 8n, high);
  }

  // DMA remapping

  /** Points RTADDR at a fresh root table and latches it. */
  setRootTable(address = this.alloc()): bigint {
    this.#rootTable = address;
    this.write64(Reg.RTADDR, address);
    this.command(Gcmd.SRTP);
    return address;
  }

  /** Address of the legacy context entry of a device; makes its context table where missing. */
  contextEntry(sourceId: number): bigint {
    const root = this.#rootTable + BigInt(sourceId >> 8) * 16n;
    if ((this.get64(root) & 1n) === 0n) this.put128(root, this.alloc() | 1n, 0n);
    return (this.get64(root) & ~0xfffn) + BigInt(sourceId & 0xff) * 16n;
  }

  secondStage(levels = 4): SecondStage {
    return new SecondStage(this, levels);
  }

  /** Puts a device into a domain: a present context entry of type 00b. */
  attach(sourceId: number, tables: SecondStage, domainId = 1, flags = 0n): void {
    const width = BigInt(tables.levels - 2);
    const high = width | (BigInt(domainId) << 8n);
    this.put128(this.contextEntry(sourceId), tables.root | 1n | flags, high);
  }

  /** A root table, one device in one domain, translation on. */
  enableTranslation(sourceId: number, tables = this.secondStage(), domainId = 1): SecondStage {
    this.setRootTable();
    this.attach(sourceId, tables, domainId);
    this.command(Gcmd.TE);
    return tables;
  }

  /** A DMA request of a device: the unit's answer, 0 or the fault reason, and the address. */
  dma(
    sourceId: number,
    iova: bigint,
    access: number = Access.READ,
    addressType = 0,
  ): { result: number; gpa: bigint; granted: number } {
    const request = new DmaRequest();
    request.sourceId = sourceId;
    request.access = access;
    request.addressType = addressType;
    const top = iova >> 57n;
    request.hi =
      top === 0n ? Number(iova >> 30n) : 0x2000_0000 | Number((iova >> 30n) & 0x7ff_ffffn);
    request.lo = Number(iova & 0x3fff_ffffn);
    const result = this.unit.dma.translate(request);
    const gpa = (BigInt(request.outHi) << 30n) | BigInt(request.outLo);
    return { result, gpa: result === 0 ? gpa : 0n, granted: request.granted };
  }

  // Interrupt remapping

  /** A table of 2^(size+1) entries; returns its address. */
  setInterruptTable(
    size = 7,
    eime = false,
    address = this.alloc(size > 7 ? 1 << (size - 7) : 1),
  ): bigint {
    this.write64(Reg.IRTA, address | (eime ? 0x800n : 0n) | BigInt(size));
    this.command(Gcmd.SIRTP);
    return address;
  }

  /** An interrupt request of a device. */
  msi(
    sourceId: number,
    address: number,
    data = 0,
  ): { result: number; upper: number; address: number; data: number } {
    const request = new InterruptRequest();
    request.sourceId = sourceId;
    request.address = address | 0;
    request.data = data | 0;
    const result = this.unit.interrupts.remap(request);
    if (result !== 0) return { result, upper: 0, address: 0, data: 0 };
    return {
      result,
      upper: request.messageUpper >>> 0,
      address: request.messageAddress >>> 0,
      data: request.messageData >>> 0,
    };
  }

  /** A remappable message address for a table index, without subhandle. */
  handle(index: number): number {
    return (0xfee0_0010 | ((index & 0x7fff) << 5) | ((index >> 15) << 2)) >>> 0;
  }

  // Invalidation queue

  /** Sets a queue up as drivers do, and switches it on. */
  enableQueue(size = 0, wide = false): void {
    const base = this.alloc(1 << size);
    const bytes = wide ? 32n : 16n;
    this.#queue = { base, bytes, slots: (4096n << BigInt(size)) / bytes };
    this.write64(Reg.IQT, 0n);
    this.write64(Reg.IQA, base | (wide ? 0x800n : 0n) | BigInt(size));
    this.command(Gcmd.QIE);
  }

  /** Switches the queue on as it was set up, empty. */
  enableQueueAgain(): void {
    this.write64(Reg.IQT, 0n);
    this.command(Gcmd.QIE);
  }

  /** Puts descriptors at the tail and moves it. */
  submit(...descriptors: readonly (readonly [bigint, bigint])[]): void {
    const { base, bytes, slots } = this.#queue;
    let slot = this.read64(Reg.IQT) / bytes;
    const used = (slot + slots - this.read64(Reg.IQH) / bytes) % slots;
    if (used + BigInt(descriptors.length) >= slots) throw new RangeError("the queue is full");
    for (const [low, high] of descriptors) {
      this.put128(base + slot * bytes, low, high);
      if (bytes === 32n) this.put128(base + slot * bytes + 16n, 0n, 0n);
      slot = (slot + 1n) % slots;
    }
    this.write64(Reg.IQT, slot * bytes);
  }

  /** Submits descriptors and a wait with status write; true when the wait has completed. */
  flush(...descriptors: readonly (readonly [bigint, bigint])[]): boolean {
    return this.hasCompleted(this.flushLater(...descriptors));
  }

  /** Submits descriptors and a wait; its number, for {@link hasCompleted}. */
  flushLater(...descriptors: readonly (readonly [bigint, bigint])[]): bigint {
    this.#status ??= this.alloc();
    this.#waits += 1n;
    this.submit(...descriptors, [(this.#waits << 32n) | 0x25n, this.#status]);
    return this.#waits;
  }

  /** Whether a wait has completed. Waits complete in order. */
  hasCompleted(wait: bigint): boolean {
    return this.#status !== null && (this.get64(this.#status) & 0xffff_ffffn) >= wait;
  }

  // Faults

  /** Reads and clears the pending records, from FRI on, then the overflow bit (VT-d 7.2.2). */
  takeFaults(records = 1): Fault[] {
    const found: Fault[] = [];
    let index = (this.read32(Reg.FSTS) >>> 8) & 0xff;
    for (let i = 0; i < records; i += 1) {
      const offset = Reg.FRCD + 16 * index;
      const high = this.read64(offset + 8);
      if (high >> 63n === 0n) break;
      found.push({
        index,
        reason: Number((high >> 32n) & 0xffn),
        sourceId: Number(high & 0xffffn),
        info: this.read64(offset),
        high,
      });
      this.write32(offset + 12, 1 << 31);
      index = (index + 1) % records;
    }
    this.write32(Reg.FSTS, 0x71);
    return found;
  }
}
