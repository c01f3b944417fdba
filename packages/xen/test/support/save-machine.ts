import { Ioapic, InterruptRoute, LapicBus, MsixCapability, ApicMode } from "@viommu/irq-hooks";
import { createMemory } from "@viommu/memory";
import type { Snapshottable } from "@viommu/plugin";
import { Access, DmaRequest } from "@viommu/plugin";
import { createProfile, createUnit } from "@viommu/vtd";
import type { ProfileOptions } from "@viommu/vtd";
import { DomainPages, restoreDomain, saveDomain } from "../../src/index.ts";
import type { SavedDomain, SaveSource } from "../../src/index.ts";

export const QUEUE = 0x10_0000;
const ROOT = 0x11_0000;
const TABLE = 0x12_0000;
const PAGE_REQUESTS = 0x13_0000;
export const STATUS = 0x14_0000;
const CONTEXTS = 0x15_0000;
const DIRECTORY = 0x16_0000;
const PASIDS = 0x17_0000;
/** Requester of the device, and of the I/O APIC. */
const DEVICE = 0x10;
const IO_APIC = 0xff00;

const TE = 0x8000_0000;
const SRTP = 0x4000_0000;
const QIE = 0x0400_0000;
const IRE = 0x0200_0000;
const SIRTP = 0x0100_0000;

/** What a machine of these tests can be made of. */
export interface ShapeOptions {
  readonly vcpus?: number;
  readonly pins?: number;
  readonly vectors?: number;
  readonly bytes?: number;
  readonly profile?: ProfileOptions;
  /** Parts under other names, or more of them. */
  readonly ioapicName?: string;
  readonly unitName?: string;
}

/** A machine with one of everything, whose guest is the test: registers and memory only. */
export class SaveMachine {
  readonly memory;
  readonly lapics;
  readonly unit;
  readonly chip;
  readonly msix;
  readonly domain: SavedDomain;
  #slot = 0;

  constructor(options: ShapeOptions = {}) {
    const regions = [{ base: 0, size: options.bytes ?? 0x20_0000 }];
    this.memory = createMemory({ regions, dirtyLog: true });
    const vcpus = options.vcpus ?? 4;
    this.lapics = new LapicBus({ vcpus, initialMode: ApicMode.X2APIC });
    this.unit = createUnit({
      name: options.unitName ?? "dmar0",
      base: 0xfed9_0000,
      profile: createProfile({
        scalableMode: true,
        deviceTlb: true,
        pageRequests: true,
        faultRecords: 4,
        eim: true,
        ...options.profile,
      }),
      memory: this.memory,
      sink: this.lapics,
      deviceTlb: { invalidate: () => "pending" },
      queueBudget: 4,
    });
    const route = (sourceId: number): InterruptRoute =>
      new InterruptRoute({ sink: this.lapics, remapper: this.unit.interrupts, sourceId });
    this.chip = new Ioapic({
      name: options.ioapicName ?? "ioapic0",
      base: 0xfec0_0000,
      pins: options.pins ?? 24,
      route: route(IO_APIC),
    });
    this.msix = new MsixCapability({
      snapshotId: "nic0",
      vectors: options.vectors ?? 4,
      route: route(DEVICE),
      table: { bar: 0, offset: 0 },
      pending: { bar: 0, offset: 0x800 },
    });
    for (let vcpu = 0; vcpu < vcpus; vcpu += 1) {
      this.lapics.lapics.words[this.lapics.lapics.base(vcpu) + 0x0f] = 0x1ff; // SVR: enabled
    }
    const parts: Snapshottable[] = [this.lapics, this.unit, this.chip, this.msix];
    this.domain = { parts, pages: new DomainPages(this.memory, regions) };
  }

  read32(offset: number): number {
    const out = new Int32Array(2);
    this.unit.read(offset, 4, out);
    return out[0]! >>> 0;
  }

  write32(offset: number, value: number): void {
    this.unit.write(offset, 4, value | 0, 0);
  }

  write64(offset: number, low: number, high = 0): void {
    this.unit.write(offset, 8, low | 0, high);
  }

  /** Words into memory. */
  put(address: number, ...words: number[]): void {
    words.forEach((word, i) => this.memory.writeWord(0, address + 4 * i, word | 0));
  }

  word(address: number): number {
    return this.memory.read32(address);
  }

  command(bit: number, on = true): void {
    const status = this.read32(0x1c) & 0x96ff_ffff;
    this.write32(0x18, on ? status | bit : status & ~bit);
  }

  /**
   * Root table (scalable mode, a device whose first-stage table is in no memory), remapping table with
   * 256 entries in EIM, queue of wide descriptors: all switched on.
   */
  enable(): void {
    this.put(ROOT, CONTEXTS | 1);
    this.put(CONTEXTS + 32 * DEVICE, DIRECTORY | 0xe1d);
    this.put(DIRECTORY, PASIDS | 1);
    this.put(PASIDS, 0x49, 0, 5, 0, 0x444_4000);
    this.write64(0x20, ROOT | 0x400);
    this.command(SRTP);
    this.write64(0xb8, TABLE | 0x807);
    this.command(SIRTP);
    this.write64(0x90, QUEUE | 0x800);
    for (const bit of [QIE, IRE, TE]) this.command(bit);
    this.write32(0x38, 0); // FECTL: fault events get out
    this.write32(0x3c, 0xef); // to vCPU 0
    this.write32(0x40, 0xfee0_0000);
  }

  /** An entry of the remapping table: a vector of a vCPU. */
  entry(index: number, vcpu: number, vector: number, sourceId: number): void {
    this.put(TABLE + 16 * index, (vector << 16) | 1, vcpu, 0x4_0000 | sourceId, 0);
  }

  /** Puts descriptors (their first words) into the queue and moves the tail. */
  submit(...descriptors: (readonly number[])[]): void {
    for (const descriptor of descriptors) {
      this.put(QUEUE + 32 * this.#slot, ...descriptor);
      this.#slot += 1;
    }
    this.write64(0x88, this.#slot * 32);
  }

  /** A DMA request of the device; the fault reason, or 0. */
  dma(address: number): number {
    const request = new DmaRequest();
    request.sourceId = DEVICE;
    request.access = Access.WRITE;
    request.lo = address;
    return this.unit.dma.translate(request);
  }

  /** Writes an entry of the I/O APIC in remappable format. */
  program(pin: number, index: number, flags: number): void {
    const write = (register: number, value: number): void => {
      this.chip.write(0, 4, register);
      this.chip.write(0x10, 4, value | 0);
    };
    write(0x11 + 2 * pin, (index << 17) | 0x1_0000);
    write(0x10 + 2 * pin, flags | pin);
  }

  /** The whole machine as bytes. */
  save(): Uint8Array {
    return bytesOf((write) => saveDomain(this.domain, { write }));
  }

  restore(bytes: Uint8Array): void {
    restoreDomain(this.domain, sourceOf(bytes));
  }
}

/** What `save` has written, in one piece. */
export function bytesOf(save: (write: (bytes: Uint8Array) => void) => unknown): Uint8Array {
  const parts: Uint8Array[] = [];
  save((bytes) => parts.push(bytes.slice()));
  return Buffer.concat(parts);
}

/** Bytes to restore from. */
export function sourceOf(bytes: Uint8Array): SaveSource {
  return {
    length: bytes.length,
    read: (offset, length) => bytes.subarray(offset, offset + length),
  };
}

/**
 * A machine in the middle of everything: the queue stopped at a descriptor that it refuses, with a
 * wait behind it; a fault event that waits behind its mask; a register written by half; a page request
 * that nobody has served; a masked vector that is pending; a level in service; interrupts in the IRR.
 */
export function busyMachine(): SaveMachine {
  const machine = new SaveMachine();
  machine.enable();
  machine.entry(3, 2, 0x51, DEVICE);
  machine.entry(4, 1, 0x61, IO_APIC);
  machine.dma(0x1000); // no table: recorded, fault event to vCPU 0
  machine.write32(0x22c, 0x8000_0000); // the guest has seen it
  machine.write32(0x38, 0x8000_0000);
  machine.dma(0x2000); // the event of this one waits behind the mask
  machine.program(5, 4, 0x8000);
  machine.chip.setPin(5, true);
  machine.msix.table.write(0, 8, 0xfee0_0010 | (3 << 5), 0);
  machine.msix.table.write(8, 4, 0, 0);
  machine.msix.table.write(16, 8, 0xfee0_0010 | (3 << 5), 0);
  machine.msix.write(0, 0x8000_0000 | 0);
  machine.msix.signal(0); // masked as after reset: pending
  machine.msix.table.write(28, 4, 0, 0);
  machine.msix.signal(1);
  machine.msix.signal(1); // comes while the first one waits: merged
  machine.lapics.accept(1);
  machine.write64(0xd0, PAGE_REQUESTS);
  machine.unit.pageRequest({
    sourceId: DEVICE,
    pasid: -1,
    hi: 0,
    lo: 0x5000,
    access: Access.READ,
    group: 3,
    last: true,
  });
  machine.submit([0x11], [0xf], [0x25, 5, STATUS]);
  machine.write32(0x20, 0x7777_7000); // the low half of RTADDR: no effect before SRTP
  return machine;
}
