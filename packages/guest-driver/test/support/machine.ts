import { buildDmar, buildMadt, layoutTables } from "@viommu/acpi";
import type { Dmar, DmarStructure, Drhd, MadtEntry } from "@viommu/acpi";
import { createMemory } from "@viommu/memory";
import {
  Access,
  DmaRequest,
  hiFromBigint,
  hiFromNumber,
  InterruptRequest,
  loFromBigint,
  loFromNumber,
} from "@viommu/plugin";
import { createProfile, createUnit } from "@viommu/vtd";
import type { ProfileOptions, UnitOptions, UnitSettings, VtdUnit } from "@viommu/vtd";
import { createMmioBus, probe } from "../../src/index.ts";
import type { IommuDriver, MmioBus, ProbeOptions } from "../../src/index.ts";

export const MIB = 2 ** 20;
export const GIB = 2 ** 30;

/** Where the driver under test has its tables, and a second one after it. */
export const PAGES = { base: 16 * MIB, size: 8 * MIB };
export const PAGES_OF_SUCCESSOR = { base: 24 * MIB, size: 8 * MIB };
/** From here on memory is for devices. Where only addresses count, tests go beyond it. */
export const BUFFERS = 32 * MIB;

/** From here on there are page tables of processes. */
export const PROCESSES = 48 * MIB;

export const UNIT_BASE = 0xfed9_0000;
/** Requester of I/O APIC 0. */
export const IO_APIC = 0xff00;

/** One register access of the driver: offset, bytes, value. */
export type RegisterWrite = readonly [offset: number, size: number, value: bigint];

export interface UnitSpec {
  readonly profile?: ProfileOptions;
  readonly settings?: Partial<UnitSettings> & Pick<UnitOptions, "hooks">;
  /** As the DMAR table has it; the only unit has everything unless given. */
  readonly drhd?: Partial<Drhd>;
}

export interface MachineOptions {
  readonly units?: readonly UnitSpec[];
  readonly dmar?: Partial<Dmar>;
  /** Structures after the units. */
  readonly structures?: readonly DmarStructure[];
  readonly madt?: readonly MadtEntry[];
}

/** A scope for I/O APIC 0 at ff:00.0. */
export const IO_APIC_SCOPE = {
  type: "IOAPIC",
  flags: [],
  enumerationId: 0,
  startBus: 0xff,
  path: [{ device: 0, function: 0 }],
} as const;

/** A guest's hardware: memory with ACPI tables in it, and real units on a bus which keeps a log. */
export class Machine {
  readonly memory = createMemory({
    regions: [
      { base: 0, size: 64 * MIB },
      { base: 4 * GIB, size: 16 * MIB },
    ],
  });
  readonly units: readonly VtdUnit[];
  readonly bus: MmioBus;
  readonly writes: RegisterWrite[] = [];
  /** Interrupt messages of the units themselves: upper, address, data. */
  readonly messages: [number, number, number][] = [];
  readonly dmar: Uint8Array;
  readonly madt: Uint8Array;
  readonly rsdp: number;

  constructor(options: MachineOptions = {}) {
    const specs = options.units ?? [{}];
    this.units = specs.map((spec, i) => this.#createUnit(spec, i));
    this.bus = this.#logged(createMmioBus(this.units));
    const madt = {
      localApicAddress: 0xfee0_0000,
      flags: [],
      entries: options.madt ?? [
        { type: "IO_APIC", ioApicId: 0, address: 0xfec0_0000, interruptBase: 0 } as const,
      ],
    };
    this.madt = buildMadt(madt);
    this.dmar = buildDmar({
      hostAddressWidth: 48,
      flags: ["INTR_REMAP"],
      structures: [
        ...specs.map((spec, i): Drhd => ({ ...this.#drhd(i, specs.length), ...spec.drhd })),
        ...(options.structures ?? []),
      ],
      ...options.dmar,
    });
    const image = layoutTables(0xe_0000, [this.madt, this.dmar]);
    this.rsdp = image.rsdp;
    this.memory.writeBytes(0, 0xe_0000, image.bytes);
  }

  get unit(): VtdUnit {
    return this.units[0]!;
  }

  probe(options: Partial<ProbeOptions> = {}): IommuDriver {
    return probe({ bus: this.bus, memory: this.memory, pages: PAGES, ...options });
  }

  /** A driver with its units running. */
  start(options: Partial<ProbeOptions> = {}): IommuDriver {
    const driver = this.probe(options);
    driver.start();
    return driver;
  }

  /** Values written to one register, in order. */
  written(offset: number): bigint[] {
    return this.writes.filter((write) => write[0] === offset).map((write) => write[2]);
  }

  read32(offset: number, unit = this.unit): number {
    const out = new Int32Array(2);
    unit.read(offset, 4, out);
    return out[0]! >>> 0;
  }

  /** The answer to one DMA request: a guest-physical address, or -reason. */
  dma(sourceId: number, iova: number, access: number = Access.READ, unit = this.unit): number {
    const request = new DmaRequest();
    request.sourceId = sourceId;
    request.access = access;
    request.hi = hiFromNumber(iova);
    request.lo = loFromNumber(iova);
    const result = unit.dma.translate(request);
    return result === 0 ? request.outHi * GIB + request.outLo : -result;
  }

  /** The answer to one DMA request with a PASID: a guest-physical address, or -reason. */
  dmaWith(pasid: number, sourceId: number, address: bigint, access: number = Access.READ): number {
    const request = new DmaRequest();
    request.sourceId = sourceId;
    request.pasid = pasid;
    request.access = access;
    request.hi = hiFromBigint(address);
    request.lo = loFromBigint(address);
    const result = this.unit.dma.translate(request);
    return result === 0 ? request.outHi * GIB + request.outLo : -result;
  }

  /** Bits of the page which an answer holds for; 0: blocked. Nothing is recorded or cached. */
  pageShift(sourceId: number, iova: number, unit = this.unit): number {
    const request = new DmaRequest();
    request.sourceId = sourceId;
    request.access = Access.READ;
    request.hi = hiFromNumber(iova);
    request.lo = loFromNumber(iova);
    return unit.dma.probe(request) === 0 ? request.pageShift : 0;
  }

  /** The answer to one interrupt request. */
  interrupt(
    sourceId: number,
    message: { address: number; data: number },
    unit = this.unit,
  ): { result: number; vector: number; destination: number; logical: boolean } {
    const request = new InterruptRequest();
    request.sourceId = sourceId;
    request.address = message.address | 0;
    request.data = message.data | 0;
    const result = unit.interrupts.remap(request);
    return {
      result,
      vector: request.messageData & 0xff,
      destination:
        ((request.messageUpper & ~0xff) | ((request.messageAddress >>> 12) & 0xff)) >>> 0,
      logical: (request.messageAddress & 4) !== 0,
    };
  }

  /** Queue descriptors put in since the tail was at `from`, 4 words each; waits are left out. */
  descriptors(from: number): string[] {
    const base = Number(this.written(0x90).at(-1)! & ~0xfffn);
    const tail = Number(this.written(0x88).at(-1)!);
    const found: string[] = [];
    for (let at = from; at !== tail; at = (at + 32) % 0x2000) {
      const [low, high] = this.qwords(base + at, 2);
      if ((low! & 0xfn) !== 5n) found.push(`${low!.toString(16)} ${high!.toString(16)}`);
    }
    return found;
  }

  /** Where the tail of the queue is. */
  get tail(): number {
    return Number(this.written(0x88).at(-1)!);
  }

  /** 64-bit words from an address on. */
  qwords(address: number, count: number): bigint[] {
    return Array.from({ length: count }, (_, i) => this.memory.read64(address + 8 * i));
  }

  #createUnit({ profile, settings }: UnitSpec, i: number): VtdUnit {
    return createUnit({
      name: `dmar${i}`,
      base: UNIT_BASE + 0x1000 * i,
      profile: createProfile(profile),
      memory: this.memory,
      sink: {
        deliver: (upper, address, data) => {
          this.messages.push([upper >>> 0, address >>> 0, data >>> 0]);
        },
      },
      ...settings,
    });
  }

  #drhd(i: number, count: number): Drhd {
    const last = i === count - 1;
    return {
      type: "DRHD",
      flags: last ? ["INCLUDE_PCI_ALL"] : [],
      size: 0,
      segment: 0,
      registerBase: UNIT_BASE + 0x1000 * i,
      scopes: last ? [IO_APIC_SCOPE] : [],
    };
  }

  #logged(bus: MmioBus): MmioBus {
    return {
      read: (address, size, out) => {
        bus.read(address, size, out);
      },
      write: (address, size, low, high) => {
        const value = BigInt(low >>> 0) | (size === 8 ? BigInt(high >>> 0) << 32n : 0n);
        this.writes.push([address - UNIT_BASE, size, value]);
        bus.write(address, size, low, high);
      },
    };
  }
}
