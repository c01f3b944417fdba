/**
 * A graphics device in the coherency domain of the processors (VT-d 3.11): firmware has set up the
 * MTRRs of its unit like those of the processors, drivers say in page tables and PASID table entries
 * how their memory is cached. Everything goes through registers and memory, as a guest does it.
 */
import { DmaRequest, NO_PASID } from "@viommu/plugin";
import { MemoryType } from "@viommu/vtd-spec";
import { beforeEach, describe, expect, it } from "vitest";
import { Guest, Reg } from "./support/guest.ts";
import { pasidCache, ScalableGuest } from "./support/scalable-guest.ts";
import type { FirstStage } from "./support/scalable-guest.ts";
import { RW } from "./support/second-stage.ts";
import type { SecondStage } from "./support/second-stage.ts";

const { UC, WC, WT, WP, WB } = MemoryType;
const BLOCKED = -1;

const DEVICE = 0x10;
const PASID = 5;
const DOMAIN = 7;
const CAPABILITIES = { MTS: 1, SC: 1 };

const MTRRDEF = 0x108;
const MTRR_FIX16K_A0000 = 0x130;
const base = (i: number): number => 0x180 + 16 * i;
const mask = (i: number): number => 0x188 + 16 * i;

// host physical addresses
const RAM = 0x1234_5000n;
const FRAME_BUFFER = 0xd000_1000n;
const REGISTERS = 0xf000_2000n;
const VGA = 0xa_0000n;

/** The page attribute table that Linux gives to processors: WB, WC, UC-, UC, WB, WP, UC-, WT. */
const PAT = 0x4756_0716n;
/** Bits PWT, PCD and PAT of a 4 KiB page, by entry of the PAT. */
const entryOfPat = (i: number): bigint => BigInt(((i & 4) << 5) | ((i & 3) << 3));
const CD = 1n << 25n;
const EMTE = 1n << 26n;
const WORD_OF_PAT = 32n;

/** Bits of a second-stage leaf (VT-d 9.8). */
const emt = (type: number): bigint => BigInt(type) << 3n;
const IPAT = 0x40n;

/** As firmware does: RAM is WB, 256 MiB of frame buffer WC, what is above and the VGA hole UC. */
function setUpMtrrs(guest: Guest): void {
  guest.write64(base(1), 0xd000_0000n | BigInt(WC));
  guest.write64(mask(1), 0x7f_f000_0800n);
  guest.write64(base(0), 0xe000_0000n | BigInt(UC));
  guest.write64(mask(0), 0x7f_e000_0800n);
  for (let offset = 0x120; offset < 0x178; offset += 8) {
    guest.write64(offset, 0x0606_0606_0606_0606n);
  }
  guest.write64(MTRR_FIX16K_A0000, 0n);
  guest.write64(MTRRDEF, 0xc00n | BigInt(WB));
}

function typeOf(guest: Guest, address: bigint, pasid = PASID): number {
  const request = new DmaRequest();
  Object.assign(request, { sourceId: DEVICE, pasid, access: 1 });
  request.hi = Number(address >> 30n);
  request.lo = Number(address & 0x3fff_ffffn);
  return guest.unit.memoryType(request);
}

class GraphicsGuest extends ScalableGuest {
  constructor(capabilities = {}) {
    super({ hostAddressWidth: 39, capabilities: { ...CAPABILITIES, ...capabilities } });
    if (this.unit.profile.capabilities.MTS !== 0) setUpMtrrs(this);
    this.addDevice(DEVICE);
  }

  /** Adds memory type bits to the PASID table entry, and drops what the unit has cached of it. */
  setTypes(bits: bigint, pat = PAT): void {
    const at = this.pasidEntry(PASID) + 8n;
    const entry = this.get64(at) & 0xf9ff_ffffn;
    this.put64(at, entry | bits | (pat << WORD_OF_PAT));
    this.flush(pasidCache(BigInt(DOMAIN), BigInt(PASID)));
  }

  /** Binds a second stage alone to the PASID. */
  bindSecond(second: SecondStage): void {
    this.put64(this.pasidEntry(PASID) + 8n, 0x80_0000n | BigInt(DOMAIN));
    this.put64(this.pasidEntry(PASID), second.root | 0x89n);
  }
}

describe("a process of the device: first stage (PGTT 001b)", () => {
  const address = 0x7_0000n;
  let guest: GraphicsGuest;
  let tables: FirstStage;

  /** By entry of the PAT, the type of the page at a host address. */
  const typesOf = (page: bigint): number[] =>
    [0, 1, 2, 3, 4, 5, 6, 7].map((i) => {
      tables.map(address, page, 0x67n | entryOfPat(i));
      return typeOf(guest, address);
    });

  beforeEach(() => {
    guest = new GraphicsGuest();
    tables = guest.firstStage();
    guest.bind(PASID, tables, DOMAIN);
    guest.setTypes(0n);
  });

  it("combines the PAT with the MTRRs (tables 7 and 9)", () => {
    expect(typesOf(RAM)).toEqual([WB, WC, UC, UC, WB, WP, UC, WT]);
    expect(typesOf(FRAME_BUFFER)).toEqual([WC, WC, WC, UC, WC, UC, WC, UC]);
    expect(typesOf(REGISTERS)).toEqual([UC, WC, UC, UC, UC, UC, UC, UC]);
    expect(typesOf(VGA)).toEqual([UC, WC, UC, UC, UC, UC, UC, UC]);
    expect(typesOf(0x9_f000n)).toEqual(typesOf(RAM));
  });

  it("follows MTRRs that are changed", () => {
    tables.map(address, FRAME_BUFFER);
    expect(typeOf(guest, address)).toBe(WC);
    guest.write64(mask(1), 0n);
    expect(typeOf(guest, address)).toBe(WB);
    guest.write64(MTRRDEF, BigInt(WB)); // E is 0
    expect(typeOf(guest, address)).toBe(UC);
  });

  it("EMTE says nothing", () => {
    guest.setTypes(EMTE);
    expect(typesOf(RAM)).toEqual([WB, WC, UC, UC, WB, WP, UC, WT]);
  });

  it("with CD all is UC", () => {
    guest.setTypes(CD);
    expect(typesOf(RAM)).toEqual(Array(8).fill(UC));
  });

  it("is none where the page is not there", () => {
    expect(typeOf(guest, address)).toBe(BLOCKED);
    expect(guest.takeFaults()).toEqual([]);
  });

  it("is what it was after a move to another machine", () => {
    tables.map(address, FRAME_BUFFER);
    const record = guest.unit.save();
    guest.write64(MTRRDEF, 0n);
    guest.write64(base(1), 0n);
    expect(typeOf(guest, address)).toBe(UC);
    guest.unit.restore(record);
    expect(typeOf(guest, address)).toBe(WC);
  });
});

describe("a virtual machine: second stage (PGTT 010b)", () => {
  const address = 0x20_0000n;
  let guest: GraphicsGuest;
  let tables: SecondStage;

  beforeEach(() => {
    guest = new GraphicsGuest();
    tables = guest.secondStage();
    guest.bindSecond(tables);
  });

  it("is WB without EMTE, whatever MTRRs and EMT say", () => {
    for (const page of [RAM, FRAME_BUFFER, REGISTERS]) {
      tables.map(address, page, RW | emt(WC) | IPAT);
      expect(typeOf(guest, address)).toBe(WB);
    }
  });

  it("is EMT with EMTE, whatever the MTRRs say", () => {
    guest.setTypes(EMTE, 0n);
    for (const type of [UC, WC, WT, WP, WB]) {
      tables.map(address, REGISTERS, RW | emt(type));
      expect(typeOf(guest, address)).toBe(type);
    }
  });

  it("with CD all is UC", () => {
    guest.setTypes(CD | EMTE, 0n);
    tables.map(address, RAM, RW | emt(WB));
    expect(typeOf(guest, address)).toBe(UC);
  });
});

describe("a process in a virtual machine: nested (PGTT 011b)", () => {
  const address = 0x7_0000n;
  const page = 0x2345_6000n;
  let guest: GraphicsGuest;
  let first: FirstStage;
  let second: SecondStage;

  /** By entry of the PAT, with this second-stage leaf. */
  const typesOf = (leaf: bigint): number[] =>
    [0, 1, 2, 3, 4, 5, 6, 7].map((i) => {
      first.map(address, page, 0x67n | entryOfPat(i));
      second.put(page, 1, leaf);
      return typeOf(guest, address);
    });

  beforeEach(() => {
    guest = new GraphicsGuest();
    second = guest.secondStage();
    first = guest.firstStage();
    first.map(address, page);
    for (const level of [4, 3, 2, 1]) {
      const table = first.entryAddress(address, level) & ~0xfffn;
      second.map(table, table);
    }
    guest.bindNested(PASID, first, second, DOMAIN);
  });

  it("without EMTE combines the PAT with the MTRRs of the host's address", () => {
    guest.setTypes(0n);
    expect(typesOf(RAM | RW | emt(UC) | IPAT)).toEqual([WB, WC, UC, UC, WB, WP, UC, WT]);
    expect(typesOf(FRAME_BUFFER | RW)).toEqual([WC, WC, WC, UC, WC, UC, WC, UC]);
  });

  it("with EMTE combines the PAT with EMT, in place of the MTRRs", () => {
    guest.setTypes(EMTE);
    expect(typesOf(REGISTERS | RW | emt(WB))).toEqual([WB, WC, UC, UC, WB, WP, UC, WT]);
    expect(typesOf(RAM | RW | emt(WC))).toEqual([WC, WC, WC, UC, WC, UC, WC, UC]);
  });

  it("with IPAT is EMT alone", () => {
    guest.setTypes(EMTE);
    expect(typesOf(REGISTERS | RW | emt(WB) | IPAT)).toEqual(Array(8).fill(WB));
    expect(typesOf(RAM | RW | emt(WP) | IPAT)).toEqual(Array(8).fill(WP));
  });

  it("with CD all is UC", () => {
    guest.setTypes(CD | EMTE);
    expect(typesOf(RAM | RW | emt(WB) | IPAT)).toEqual(Array(8).fill(UC));
  });
});

describe("in a unit without memory types", () => {
  it("CD, EMTE and PAT of a PASID table entry are reserved, and the MTRRs are not there", () => {
    const guest = new GraphicsGuest({ MTS: 0 });
    const tables = guest.firstStage().map(0x7000n, RAM);
    guest.bind(PASID, tables, DOMAIN);
    const dma = (): number => {
      const request = new DmaRequest();
      Object.assign(request, { sourceId: DEVICE, pasid: PASID, access: 1, lo: 0x7000 });
      return guest.unit.dma.translate(request);
    };
    for (const [bits, pat] of [
      [CD, 0n],
      [EMTE, 0n],
      [0n, PAT],
    ] as const) {
      guest.setTypes(bits, pat);
      expect(dma()).toBe(0x5a);
      expect(guest.takeFaults()).toMatchObject([{ reason: 0x5a, sourceId: DEVICE }]);
    }
    guest.setTypes(0n, 0n);
    expect(dma()).toBe(0);
    expect(typeOf(guest, 0x7000n)).toBe(BLOCKED);
    setUpMtrrs(guest);
    expect([guest.read64(0x100), guest.read64(MTRRDEF), guest.read64(mask(1))]).toEqual([
      0n,
      0n,
      0n,
    ]);
  });
});

describe("in legacy mode (VT-d 3.11.4.1)", () => {
  it("is WB", () => {
    const guest = new Guest({ hostAddressWidth: 39, capabilities: { SMTS: 1, ...CAPABILITIES } });
    setUpMtrrs(guest);
    const tables = guest.secondStage().map(0x7000n, REGISTERS, RW | emt(WC));
    guest.enableTranslation(DEVICE, tables, DOMAIN);
    expect(guest.read64(Reg.RTADDR) & 0xc00n).toBe(0n);
    expect(typeOf(guest, 0x7000n, NO_PASID)).toBe(WB);
  });
});
