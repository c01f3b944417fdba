/**
 * A hostile guest writes any register, any table and any descriptor at any time, while its devices
 * send any request. Nothing may throw or hang, the work of one operation is bounded, and memory
 * does not grow.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { createMemory, type ChunkedMemory } from "@viommu/memory";
import { DmaRequest, InterruptRequest, type GuestMemory } from "@viommu/plugin";
import { createUnit, profileFromRegisters } from "@viommu/vtd";
import { encodeCapabilities } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { CAPABILITIES, Gcmd, Reg } from "./support/guest.ts";
import { Random, seed } from "./support/random.ts";

const MEMORY = 8 * 2 ** 20;
const PAGES = MEMORY / 4096;
const OPERATIONS = 1_000_000;

const UNITS = [
  { ...CAPABILITIES },
  { ...CAPABILITIES, DT: 1, NFR: 7, CM: 1, ZLR: 1, SC: 1, PLMR: 1, PHMR: 1, PI: 1 },
  {
    ...CAPABILITIES,
    SMTS: 1,
    SSTS: 1,
    FSTS: 1,
    NEST: 1,
    PASID: 1,
    PSS: 19,
    DT: 1,
    PRS: 1,
    SRS: 1,
    RPS: 1,
    FS1GP: 1,
    FS5LP: 1,
    SMPWCS: 1,
    SSADS: 1,
    EAFS: 1,
  },
  { ...CAPABILITIES, SAGAW: 0 },
];

const COMMANDS = [Gcmd.TE, Gcmd.SRTP, Gcmd.QIE, Gcmd.IRE, Gcmd.SIRTP, Gcmd.CFI, Gcmd.WBF, Gcmd.SFL];

/** Counts what one operation costs: every access of the unit to guest memory. */
class CountingMemory implements GuestMemory {
  readonly chunks = [];
  readonly shared = false;
  readonly inner: ChunkedMemory;
  accesses = 0;

  constructor(inner: ChunkedMemory) {
    this.inner = inner;
  }
  readWords(hi: number, lo: number, count: number, out: Int32Array): boolean {
    this.accesses += 1;
    return this.inner.readWords(hi, lo, count, out);
  }
  writeWord(hi: number, lo: number, value: number): boolean {
    this.accesses += 1;
    return this.inner.writeWord(hi, lo, value);
  }
  exchangeWord(hi: number, lo: number, expected: number, value: number): number {
    this.accesses += 1;
    return this.inner.exchangeWord(hi, lo, expected, value);
  }
  readBytes(hi: number, lo: number, target: Uint8Array): boolean {
    this.accesses += 1;
    return this.inner.readBytes(hi, lo, target);
  }
  writeBytes(hi: number, lo: number, source: Uint8Array): boolean {
    this.accesses += 1;
    return this.inner.writeBytes(hi, lo, source);
  }
  view(hi: number, lo: number, length: number, write: boolean): Uint8Array | null {
    return this.inner.view(hi, lo, length, write);
  }
}

class HostileGuest {
  readonly ram = createMemory({ regions: [{ base: 0, size: MEMORY }] });
  readonly counting = new CountingMemory(this.ram);
  readonly unit;
  readonly #random: Random;
  readonly #dma = new DmaRequest();
  readonly #interrupt = new InterruptRequest();
  readonly #out = new Int32Array(2);
  readonly #word = new Uint8Array(8);
  readonly #wordView = new DataView(this.#word.buffer);
  readonly #tickets: number[] = [];

  constructor(random: Random, capabilities: (typeof UNITS)[number], counted: boolean) {
    this.#random = random;
    this.unit = createUnit({
      name: "dmar0",
      base: 0xfed9_0000,
      profile: profileFromRegisters({
        ver: 0x10,
        ...encodeCapabilities(capabilities),
        hostAddressWidth: 46,
      }),
      memory: counted ? this.counting : this.ram,
      sink: { deliver: () => undefined },
      queueBudget: 64,
    });
  }

  /** A page number inside memory, mostly; low pages often, so that structures meet. */
  #page(): bigint {
    const random = this.#random;
    if (random.oneIn(40)) return random.u64() >> BigInt(12 + random.below(20));
    return BigInt(random.oneIn(3) ? random.below(PAGES) : random.below(24));
  }

  #put(address: number, value: bigint): void {
    this.#wordView.setBigUint64(0, value, true);
    this.ram.writeBytes(Math.floor(address / 2 ** 30), address % 2 ** 30, this.#word);
  }

  /** Something that could be an entry or a descriptor: a page address, low and high bits. */
  #entry(): bigint {
    const random = this.#random;
    if (random.oneIn(8)) return random.u64();
    const low = BigInt(random.oneIn(2) ? random.pick([1, 3, 7, 0x83, 9, 5]) : random.below(0x1000));
    return (this.#page() << 12n) | low | (random.oneIn(10) ? random.u64() << 52n : 0n);
  }

  #descriptor(): bigint {
    const random = this.#random;
    const type = BigInt(random.below(12));
    const fields = random.oneIn(2) ? BigInt(random.below(16)) << 4n : 0n;
    const ids = random.oneIn(2) ? BigInt(random.below(4)) << 16n : random.u64() << 16n;
    return type | fields | ids | (random.oneIn(2) ? BigInt(random.below(32)) << 32n : 0n);
  }

  #store(): void {
    const random = this.#random;
    const slot = random.below(512) * 8;
    const address = Number(this.#page() % BigInt(PAGES)) * 4096 + slot;
    this.#put(address, random.oneIn(3) ? this.#descriptor() : this.#entry());
  }

  #register(): void {
    const random = this.#random;
    const { unit } = this;
    switch (random.below(8)) {
      case 0: {
        unit.read(Reg.GSTS, 4, this.#out);
        const command = random.oneIn(4) ? random.u32() : this.#out[0]! ^ random.pick(COMMANDS);
        unit.write(Reg.GCMD, 4, command | 0, 0);
        break;
      }
      case 1: {
        const offset = random.pick([Reg.RTADDR, Reg.IRTA, Reg.IQA]);
        const low = Number(this.#page() & 0xf_ffffn) * 4096;
        unit.write(offset, 8, low | random.below(16) | (random.below(4) << 10), 0);
        break;
      }
      case 2:
        unit.write(Reg.IQT, 8, random.below(random.oneIn(9) ? 2 ** 20 : 4096) & ~15, 0);
        break;
      case 3:
        unit.write(Reg.FSTS, 4, 0xff, 0);
        break;
      case 4:
        unit.write(
          random.pick([Reg.CCMD, Reg.IOTLB, Reg.IVA]),
          8,
          random.u32() | 0,
          random.u32() | (random.oneIn(2) ? 1 << 31 : 0),
        );
        break;
      case 5:
        unit.write(Reg.FRCD + random.below(8) * 16 + 12, 4, 1 << 31, 0);
        break;
      default:
        unit.write(
          random.below(0x1004),
          random.pick([1, 2, 4, 4, 4, 8, 8]),
          random.u32() | 0,
          random.u32() | 0,
        );
        break;
    }
  }

  #request(): void {
    const random = this.#random;
    const request = this.#dma;
    request.sourceId = random.oneIn(4) ? random.below(0x1_0000) : random.below(4);
    request.pasid = random.oneIn(4) ? random.below(random.oneIn(2) ? 4 : 2 ** 20) : -1;
    request.addressType = random.oneIn(6) ? random.below(3) : 0;
    request.access = random.oneIn(6) ? random.below(16) : random.below(4);
    request.hi = random.oneIn(8) ? random.u32() | 0 : random.below(4);
    request.lo = random.oneIn(2) ? random.below(2 ** 14) : random.below(2 ** 30);
    if (random.oneIn(16)) this.unit.dma.probe(request);
    else this.unit.dma.translate(request);
  }

  #message(): void {
    const random = this.#random;
    const request = this.#interrupt;
    request.sourceId = random.below(4);
    request.address = random.oneIn(8)
      ? random.u32() | 0
      : 0xfee0_0000 | 0 | (random.below(64) << 5) | random.below(32);
    request.upper = random.oneIn(20) ? random.u32() | 0 : 0;
    request.data = random.oneIn(2) ? random.below(64) : random.u32() | 0;
    if (random.oneIn(16)) this.unit.interrupts.probe(request);
    else this.unit.interrupts.remap(request);
  }

  #flight(): void {
    if (this.#tickets.length < 4 && this.#random.oneIn(2)) {
      this.#tickets.push(this.unit.dma.enter());
    } else {
      const ticket = this.#tickets.shift();
      if (ticket !== undefined) this.unit.dma.leave(ticket);
    }
  }

  step(): void {
    const kind = this.#random.below(20);
    if (kind < 6) this.#store();
    else if (kind < 10) this.#register();
    else if (kind < 15) this.#request();
    else if (kind < 17) this.#message();
    else if (kind < 18) this.#flight();
    else if (kind < 19) this.unit.read(this.#random.below(0x1004), 8, this.#out);
    else this.unit.run(64);
  }
}

function heapAfterCollection(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  return process.memoryUsage().heapUsed;
}

describe("a hostile guest", () => {
  it(`does ${OPERATIONS} operations without an exception, and memory stays as it was`, () => {
    const start = seed(20_161_019);
    for (const [i, capabilities] of UNITS.entries()) {
      const guest = new HostileGuest(new Random(start + i), capabilities, false);
      const each = OPERATIONS / UNITS.length;
      let before = 0;
      for (let operation = 0; operation < each; operation += 1) {
        if (operation === each >> 2) before = heapAfterCollection();
        try {
          guest.step();
        } catch (error) {
          throw new Error(`VIOMMU_SEED=${start}: unit ${i}, operation ${operation}`, {
            cause: error,
          });
        }
      }
      expect(heapAfterCollection() - before).toBeLessThan(8 * 2 ** 20);
    }
  });

  it("gets a bounded amount of work out of each operation", () => {
    const start = seed(20_161_019);
    let most = 0;
    for (const [i, capabilities] of UNITS.entries()) {
      const guest = new HostileGuest(new Random(start + i), capabilities, true);
      for (let operation = 0; operation < 50_000; operation += 1) {
        guest.counting.accesses = 0;
        guest.step();
        most = Math.max(most, guest.counting.accesses);
      }
    }
    // 64 descriptors, each read in up to 2 pieces and with a status write; a nested walk has fewer
    expect(most).toBeLessThanOrEqual(64 * 3);
  });
});
