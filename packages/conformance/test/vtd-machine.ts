import { createMemory } from "@viommu/memory";
import { createHookTable, toBigint } from "@viommu/plugin";
import { createProfile, createUnit } from "@viommu/vtd";
import type { ProfileOptions, UnitSettings } from "@viommu/vtd";
import { CC_INV_DSC, DescriptorType, encode, GCMD, Granularity } from "@viommu/vtd-spec";
import { IEC_INV_DSC, INV_WAIT_DSC, IOTLB_INV_DSC, IQA, IRTA, Offset } from "@viommu/vtd-spec";
import { RootTable, SecondStageTable, TableSpace } from "../src/index.ts";
import type { DmaMapping, InterruptTable } from "../src/index.ts";

const SIZE = 0x8_0000;
const TABLES = 0x1000;

/** A VT-d unit with memory and a driver that programs it through registers. */
export class VtdMachine {
  readonly memory = createMemory({ regions: [{ base: 0, size: SIZE }] });
  readonly space = new TableSpace({ memory: this.memory, base: TABLES, size: SIZE - TABLES });
  readonly unit;
  /** Faults and messages so far. */
  faults = 0;
  readonly messages: string[] = [];
  readonly #queue = this.space.allocate();
  readonly #status = this.space.allocate();
  #tail = 0;
  #waits = 0;

  constructor(profile: ProfileOptions = {}, settings: Partial<UnitSettings> = {}) {
    const hooks = createHookTable();
    hooks.fault = () => (this.faults += 1);
    this.unit = createUnit({
      name: "dmar0",
      base: 0xfed9_0000,
      profile: createProfile(profile),
      memory: this.memory,
      hooks,
      sink: {
        deliver: (...message) => {
          this.messages.push(message.join());
        },
      },
      ...settings,
    });
    this.#write(Offset.IQT, Int32Array.of(0, 0));
    this.#write(Offset.IQA, encode(IQA, { IQA: this.#queue }));
    this.command({ QIE: 1 });
  }

  /** Everything that a request may change. */
  state(): string {
    const { unit } = this;
    const memory = new Int32Array(SIZE / 4);
    this.memory.readWords(0, 0, memory.length, memory);
    let hash = 1;
    for (const word of memory) hash = Math.imul(hash ^ word, 0x0100_0193);
    const registers = unit.save().join();
    return [registers, JSON.stringify(unit.dma.counters), hash, this.faults, this.messages].join();
  }

  /** Sets command bits, one at a time, keeping those that are on. */
  command(bits: Parameters<typeof encode<typeof GCMD>>[1]): void {
    const out = new Int32Array(2);
    this.unit.read(Offset.GSTS, 4, out);
    const [bit] = encode(GCMD, bits);
    this.unit.write(Offset.GCMD, 4, (out[0]! & 0x96ff_ffff) | bit!, 0);
  }

  /** Points the unit to a root table and switches translation on. */
  translateWith(root: RootTable): void {
    this.#write(Offset.RTADDR, words(root.address));
    this.command({ SRTP: 1 });
    this.command({ TE: 1 });
  }

  /** Points the unit to an interrupt table and switches remapping on. */
  remapWith(table: InterruptTable): void {
    const { address, sizeLog2, extended } = table;
    const EIME = extended ? 1 : 0;
    this.#write(Offset.IRTA, encode(IRTA, { IRTA: address, EIME, S: sizeLog2 - 1 }));
    this.command({ SIRTP: 1 });
    this.command({ IRE: 1 });
  }

  /** Invalidates everything; the result tells whether the wait descriptor has completed. */
  invalidate(): () => boolean {
    const G = Granularity.GLOBAL;
    this.#waits += 1;
    const SDATA = this.#waits;
    this.#submit(encode(CC_INV_DSC, { TYPE: DescriptorType.CONTEXT_CACHE, G }));
    this.#submit(encode(IOTLB_INV_DSC, { TYPE: DescriptorType.IOTLB, G, DR: 1, DW: 1 }));
    this.#submit(encode(IEC_INV_DSC, { TYPE: DescriptorType.INTERRUPT_ENTRY_CACHE }));
    const SADDR = this.#status;
    this.#submit(encode(INV_WAIT_DSC, { TYPE: DescriptorType.WAIT, SW: 1, SDATA, SADDR }));
    this.#write(Offset.IQT, Int32Array.of(this.#tail, 0));
    return () => this.space.load(this.#status, 1)[0]! >= SDATA;
  }

  #submit(descriptor: Int32Array): void {
    this.space.store(this.#queue + BigInt(this.#tail), descriptor);
    this.#tail = (this.#tail + 16) % 4096;
  }

  #write(offset: number, [low, high]: Int32Array): void {
    this.unit.write(offset, 8, low!, high!);
  }
}

/** The tables of a machine's devices: each device has a domain of its own. */
export class DeviceTables {
  readonly root: RootTable;
  readonly #space: TableSpace;
  readonly #levels: number;
  readonly #tables = new Map<number, SecondStageTable>();

  constructor(space: TableSpace, levels: number) {
    this.#space = space;
    this.#levels = levels;
    this.root = new RootTable(space);
  }

  map({ sourceId, hi, lo, outHi, outLo, pageShift, access }: DmaMapping): void {
    let table = this.#tables.get(sourceId);
    if (table === undefined) {
      table = new SecondStageTable(this.#space, this.#levels);
      this.#tables.set(sourceId, table);
      this.root.attach(sourceId, table, this.#tables.size);
    }
    table.map({ iova: toBigint(hi, lo), gpa: toBigint(outHi, outLo), pageShift, access });
  }

  unmap({ sourceId, hi, lo, pageShift }: DmaMapping): void {
    this.#tables.get(sourceId)?.unmap(toBigint(hi, lo), pageShift);
  }
}

function words(address: bigint): Int32Array {
  return Int32Array.of(Number(address & 0xffff_ffffn), Number(address >> 32n));
}
