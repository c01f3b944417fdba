/**
 * The defects of QEMU's intel-iommu in scalable mode, numbered as in its list: each test shows the
 * behaviour that the specification asks for. Registers and memory only.
 */
import { Access } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { Gcmd, Guest, Reg } from "../support/guest.ts";

const DEVICE = 0x0010;
/** RTADDR.TTM: scalable mode. */
const SCALABLE = 0x400n;
/** Present, user, writable; A; D. */
const [PRESENT, A, D] = [7n, 0x20n, 0x40n];
const IOVA = 0x3000n;
const PAGE = 0x5000n;
const FIRST_STAGE = 0x41n;
const SECOND_STAGE = 0x81n;
/** AW of 48 bits, in its place in a PASID table entry. */
const AW_48 = 2n << 2n;
/** Domain 5, page walks snoop. */
const DOMAIN = 0x80_0005n;

/** A guest whose device goes by PASID 0 to what the PASID table entry says. */
class ScalableGuest extends Guest {
  readonly root = this.alloc();
  readonly context = this.alloc();
  readonly pasidEntry = this.alloc();

  constructor() {
    super({
      capabilities: { SMTS: 1, FSTS: 1, SSTS: 1, SMPWCS: 1, PASID: 1, PSS: 19 },
    });
    const directory = this.alloc();
    this.put128(this.root, this.context | 1n, 0n);
    this.put128(this.contextEntry(DEVICE), directory | 1n, 0n);
    this.put64(directory, this.pasidEntry | 1n);
    this.write64(Reg.RTADDR, this.root | SCALABLE);
    this.command(Gcmd.SRTP);
    this.command(Gcmd.TE);
  }

  override contextEntry(sourceId: number): bigint {
    return this.context + 32n * BigInt(sourceId & 0x7f);
  }

  /** Writes the PASID table entry. */
  setEntry(low: bigint, high: bigint, first = 0n): void {
    this.put128(this.pasidEntry, low, high);
    this.put64(this.pasidEntry + 16n, first);
  }

  /** A first-stage table with one page; returns the address of the entry that maps it. */
  firstStage(flags: bigint, aw = AW_48): bigint {
    const tables = [this.alloc(), this.alloc(), this.alloc(), this.alloc()] as const;
    for (const level of [0, 1, 2] as const) {
      this.put64(tables[level], tables[level + 1]! | PRESENT | A);
    }
    const leaf = tables[3] + (IOVA >> 12n) * 8n;
    this.put64(leaf, PAGE | flags);
    this.setEntry(FIRST_STAGE | aw, DOMAIN, tables[0]);
    return leaf;
  }

  /** The reason in the next fault record, and the record. */
  fault(iova: bigint, access: number = Access.READ): unknown {
    const { result } = this.dma(DEVICE, iova, access);
    return [result, this.takeFaults()];
  }
}

const recorded = (reason: number, high: bigint, info = IOVA): unknown => [
  reason,
  [expect.objectContaining({ reason, info, high })],
];

describe("defects of QEMU's intel-iommu, scalable mode", () => {
  it("5: a write sets D in a first-stage entry whose A is 1 already", () => {
    const guest = new ScalableGuest();
    const leaf = guest.firstStage(PRESENT | A);
    expect(guest.dma(DEVICE, IOVA, Access.WRITE)).toMatchObject({ result: 0, gpa: PAGE });
    expect(guest.get64(leaf)).toBe(PAGE | PRESENT | A | D);
  });

  it("6: a write sets D after a read has cached the translation", () => {
    const guest = new ScalableGuest();
    const leaf = guest.firstStage(PRESENT);
    expect(guest.dma(DEVICE, IOVA, Access.READ).result).toBe(0);
    expect(guest.get64(leaf)).toBe(PAGE | PRESENT | A);
    expect(guest.dma(DEVICE, IOVA, Access.WRITE).result).toBe(0);
    expect(guest.get64(leaf)).toBe(PAGE | PRESENT | A | D);
  });

  it("7: first-stage addresses are canonical by the paging mode, not by AW", () => {
    const guest = new ScalableGuest();
    guest.firstStage(PRESENT | A, 0n);
    expect(guest.dma(DEVICE, IOVA)).toMatchObject({ result: 0, gpa: PAGE });
    // beyond 30 bits, and mapped nowhere: not present instead of not canonical
    expect(guest.fault(0x4001_0000n)).toEqual(recorded(0x71, 0xc000_0071_0000_0010n, 0x4001_0000n));
    expect(guest.fault(1n << 47n)).toEqual(recorded(0x80, 0xc000_0080_0000_0010n, 1n << 47n));
  });

  it("8: a PASID table entry of zeros is not present (59h)", () => {
    const guest = new ScalableGuest();
    expect(guest.fault(IOVA)).toEqual(recorded(0x59, 0xc000_0059_0000_0010n));
  });

  it("9: scalable mode has its own reasons for root, context and second-stage entries", () => {
    const root = new ScalableGuest();
    root.put64(root.root, 0n);
    expect(root.fault(IOVA)).toEqual(recorded(0x39, 0xc000_0039_0000_0010n));
    const context = new ScalableGuest();
    context.put64(context.contextEntry(DEVICE), 0n);
    expect(context.fault(IOVA)).toEqual(recorded(0x41, 0xc000_0041_0000_0010n));

    const guest = new ScalableGuest();
    const tables = guest.secondStage();
    guest.setEntry(tables.root | SECOND_STAGE | AW_48, DOMAIN);
    tables.map(IOVA, PAGE, 1n).map(0x4000n, PAGE, 2n).map(0x5000n, PAGE, 0x803n);
    expect(guest.fault(IOVA, Access.WRITE)).toEqual(recorded(0x85, 0x8000_0085_0000_0010n));
    expect(guest.fault(0x4000n)).toEqual(recorded(0x86, 0xc000_0086_0000_0010n, 0x4000n));
    expect(guest.fault(0x5000n)).toEqual(recorded(0x7a, 0xc000_007a_0000_0010n, 0x5000n));
    expect(guest.fault(0x6000n)).toEqual(recorded(0x79, 0xc000_0079_0000_0010n, 0x6000n));
    expect(guest.fault(1n << 48n)).toEqual(recorded(0x84, 0xc000_0084_0000_0010n, 1n << 48n));
  });

  it("10: requests without PASID are recorded with PP = 0", () => {
    const guest = new ScalableGuest();
    guest.firstStage(0n);
    const [, [record]] = guest.fault(IOVA) as [number, [{ high: bigint }]];
    expect((record.high >> 31n) & 1n).toBe(0n);
    expect((record.high >> 40n) & 0xf_ffffn).toBe(0n);
  });
});
