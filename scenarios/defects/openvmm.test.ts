/**
 * The 25 defects found by reading OpenVMM's virtual VT-d, numbered as there: each test shows the
 * behaviour that the specification asks for.
 */
import { Access } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { Gcmd, Guest, Reg } from "../support/guest.ts";
import { PAGE, RW } from "../support/second-stage.ts";

const DEVICE = 0x0010;
const IRTE_OK = 0x0000_0005_0031_0009n;

const remapping = (eime = true): { guest: Guest; table: bigint } => {
  const guest = new Guest();
  const table = guest.setInterruptTable(7, eime);
  guest.command(Gcmd.IRE);
  return { guest, table };
};

describe("defects of OpenVMM's virtual VT-d: queue and commands", () => {
  it("1: a tail beyond the ring is a queue error (IQEI 1)", () => {
    const guest = new Guest();
    guest.enableQueue(0);
    guest.write64(Reg.IQT, 4096n);
    expect(guest.read32(Reg.FSTS) & 0x10).toBe(0x10);
    expect(guest.read64(Reg.IQERCD) & 0xfn).toBe(1n);
    expect(guest.read64(Reg.IQH)).toBe(0n);
  });

  it("14: WBFS does not stay set", () => {
    const guest = new Guest({ capabilities: { RWBF: 1 } });
    expect(guest.command(Gcmd.WBF) & Gcmd.WBF).toBe(0);
  });

  it("15: SFL and EAFL do nothing: there is no advanced fault log", () => {
    const guest = new Guest();
    expect(guest.command(Gcmd.SFL) & Gcmd.SFL).toBe(0);
    expect(guest.command(1 << 28)).toBe(0);
  });

  it("16: QIE can be cleared while TE and IRE are set", () => {
    const { guest } = remapping();
    guest.enableTranslation(DEVICE);
    guest.enableQueue();
    expect(guest.flush([0x4n, 0n])).toBe(true);
    expect(guest.command(Gcmd.QIE, false) & Gcmd.QIE).toBe(0);
    expect(guest.read64(Reg.IQH)).toBe(0n);
  });

  it("17: IRTA is writable while IRES is set, and SIRTP switches the table", () => {
    const { guest } = remapping();
    const next = guest.alloc();
    guest.put128(next, IRTE_OK, 0n);
    expect(guest.msi(DEVICE, guest.handle(0)).result).toBe(0x22);
    guest.setInterruptTable(7, true, next);
    expect(guest.msi(DEVICE, guest.handle(0)).result).toBe(0);
  });

  it("18: a queue error raises the fault event", () => {
    const guest = new Guest();
    guest.write32(Reg.FEDATA, 0x21);
    guest.write32(Reg.FEADDR, 0xfee0_0000);
    guest.write32(Reg.FECTL, 0);
    guest.enableQueue();
    guest.submit([0xfn, 0n]);
    expect(guest.messages).toEqual([[0, 0xfee0_0000, 0x21]]);
  });

  it("23: DW is bit 11 of IQA, granularities are bits 5:4, the index mask is bits 31:27", () => {
    const guest = new Guest({ capabilities: { SMTS: 1, SSTS: 1 } });
    guest.enableTranslation(DEVICE).map(0n, 0x5000n);
    guest.enableQueue(0, true);
    expect(guest.read64(Reg.IQA) & 0x800n).toBe(0x800n);
    expect(
      guest.flush([0x12n, 0n], [0x1_00f2n, 0x0n], [0x14n | (4n << 27n) | (16n << 32n), 0n]),
    ).toBe(true);
    expect(guest.read32(Reg.FSTS)).toBe(0);
    // a granularity of 00b is reserved
    guest.submit([0x2n, 0n]);
    expect(guest.read32(Reg.FSTS) & 0x10).toBe(0x10);
  });

  it("24: device-TLB descriptors are refused without ECAP.DT", () => {
    const guest = new Guest();
    guest.enableQueue();
    guest.submit([0x3n, 0x7fff_ffff_ffff_f001n]);
    expect(guest.read64(Reg.IQERCD) & 0xfn).toBe(3n);
  });
});

describe("defects of OpenVMM's virtual VT-d: fault records", () => {
  it("2: the reason is in bits 103:96", () => {
    const guest = new Guest();
    guest.enableTranslation(DEVICE);
    guest.dma(DEVICE, 0x1234n, Access.WRITE);
    expect(guest.read32(Reg.FRCD + 12)).toBe(0x8000_0005);
    expect(guest.read32(Reg.FRCD + 8)).toBe(DEVICE);
    expect(guest.read64(Reg.FRCD)).toBe(0x1000n);
  });

  it("5: interrupt faults hold the index", () => {
    const { guest } = remapping();
    guest.msi(DEVICE, guest.handle(7));
    expect(guest.takeFaults()).toMatchObject([{ reason: 0x22, info: 7n << 48n }]);
  });

  it("6: root and context faults hold the page and the whole source-id", () => {
    const guest = new Guest();
    guest.setRootTable();
    guest.command(Gcmd.TE);
    guest.dma(0x1234, 0x5678n);
    expect(guest.takeFaults()).toMatchObject([{ reason: 1, sourceId: 0x1234, info: 0x5000n }]);
  });

  it("7: FPD counts in a context entry that is not present", () => {
    const guest = new Guest();
    guest.setRootTable();
    guest.put128(guest.contextEntry(DEVICE), 2n, 0n);
    guest.command(Gcmd.TE);
    expect(guest.dma(DEVICE, 0n).result).toBe(2);
    expect(guest.takeFaults()).toEqual([]);
  });

  it("19: serviced by polling: clearing the status clears IP, and unmasking sends nothing", () => {
    const { guest } = remapping();
    guest.enableQueue();
    guest.msi(DEVICE, guest.handle(0));
    guest.submit([0x15n, 0n]);
    expect(guest.takeFaults()).toHaveLength(1);
    guest.write32(Reg.ICS, 1);
    expect([guest.read32(Reg.FECTL), guest.read32(Reg.IECTL)]).toEqual([0x8000_0000, 0x8000_0000]);
    guest.write32(Reg.FECTL, 0);
    guest.write32(Reg.IECTL, 0);
    expect(guest.messages).toEqual([]);
  });

  it("20: nothing is recorded while PFO is set, and no event repeats while status is pending", () => {
    const guest = new Guest();
    guest.write32(Reg.FECTL, 0);
    guest.enableTranslation(DEVICE);
    guest.dma(DEVICE, 0n);
    guest.dma(DEVICE + 8, 0n);
    expect(guest.read32(Reg.FSTS) & 3).toBe(3);
    guest.write32(Reg.FRCD + 12, 1 << 31);
    guest.dma(DEVICE + 16, 0n);
    expect(guest.read32(Reg.FSTS) & 3).toBe(1);
    expect(guest.messages).toHaveLength(1);
    guest.write32(Reg.FSTS, 1);
    guest.dma(DEVICE + 16, 0n);
    expect(guest.takeFaults()).toMatchObject([{ sourceId: DEVICE + 16 }]);
    expect(guest.messages).toHaveLength(2);
  });
});

describe("defects of OpenVMM's virtual VT-d: interrupt remapping", () => {
  it("3: SVT 2 takes the start bus from SID[15:8] and the end bus from SID[7:0]", () => {
    const { guest, table } = remapping();
    guest.put128(table, IRTE_OK, 0x8_0507n);
    expect(
      [0x0400, 0x0500, 0x06f8, 0x07ff, 0x0800].map((sid) => guest.msi(sid, guest.handle(0)).result),
    ).toEqual([0x26, 0, 0, 0, 0x26]);
  });

  it("4: SVT 3 is reserved (24h)", () => {
    const { guest, table } = remapping();
    guest.put128(table, IRTE_OK, 0xc_0010n);
    expect(guest.msi(DEVICE, guest.handle(0)).result).toBe(0x24);
  });

  it("12: handle plus subhandle does not wrap (21h)", () => {
    const guest = new Guest();
    guest.setInterruptTable(15, true);
    guest.command(Gcmd.IRE);
    expect(guest.msi(DEVICE, guest.handle(0xfff0) | 8, 0x10).result).toBe(0x21);
  });

  it("21: switching remapping, the table or compatibility mode is announced to route owners", () => {
    // the mode change is a hook; what a guest sees is that the very next interrupt obeys it
    const { guest, table } = remapping(false);
    guest.put128(table, (5n << 40n) | 0x31_0009n, 0n);
    expect(guest.msi(DEVICE, 0xfee0_1000, 0x31).result).toBe(0x25);
    guest.command(Gcmd.IRE, false);
    expect(guest.msi(DEVICE, 0xfee0_1000, 0x31)).toMatchObject({ result: 0, address: 0xfee0_1000 });
    guest.command(Gcmd.IRE);
    expect(guest.msi(DEVICE, guest.handle(0)).result).toBe(0);
  });

  it("25: with remapping off every interrupt passes, whoever sends it", () => {
    const guest = new Guest();
    expect(guest.msi(0xffff, 0xfee0_1000, 0x31)).toMatchObject({ result: 0, data: 0x31 });
  });
});

describe("defects of OpenVMM's virtual VT-d: walks", () => {
  it("8: an address above the width of the context entry is refused (04h)", () => {
    const guest = new Guest({ capabilities: { SAGAW: 0b0110, MGAW: 47 } });
    guest.enableTranslation(DEVICE, guest.secondStage(3)).map(0n, 0x5000n);
    expect(guest.dma(DEVICE, 1n << 39n).result).toBe(4);
    expect(guest.dma(DEVICE, 0n).result).toBe(0);
  });

  it("9: an AW that SAGAW does not offer is refused (03h), for pass-through too", () => {
    const guest = new Guest({ capabilities: { SAGAW: 0b0100, MGAW: 47 } });
    guest.setRootTable();
    guest.attach(DEVICE, guest.secondStage(5));
    guest.command(Gcmd.TE);
    expect(guest.dma(DEVICE, 0n).result).toBe(3);
    guest.put128(guest.contextEntry(DEVICE), 0x9n, 0x103n);
    guest.write64(Reg.CCMD, (1n << 63n) | (1n << 61n));
    expect(guest.dma(DEVICE, 0n).result).toBe(3);
  });

  it("10: reserved bits of root, context and page-table entries are checked (0Ah, 0Bh, 0Ch)", () => {
    const fresh = (): Guest => {
      const guest = new Guest();
      guest.enableTranslation(DEVICE).map(0n, 0x5000n);
      return guest;
    };
    const root = fresh();
    root.put64(root.read64(Reg.RTADDR) + 8n, 1n);
    expect(root.dma(DEVICE, 0n).result).toBe(0x0a);
    const context = fresh();
    const entry = context.contextEntry(DEVICE);
    context.put64(entry, context.get64(entry) | 0x10n);
    expect(context.dma(DEVICE, 0n).result).toBe(0x0b);
    const table = new Guest();
    const tables = table.enableTranslation(DEVICE).map(0n, 0x5000n);
    tables.put(0n, 4, table.get64(tables.entryAddress(0n, 4)) | 0x80n);
    expect(table.dma(DEVICE, 0n).result).toBe(0x0c);
  });

  it("11: requests into FEEx_xxxxh are no memory, and no mapping may lead there (0Eh)", () => {
    const guest = new Guest();
    guest.enableTranslation(DEVICE).map(0xfee0_0000n, 0x5000n).map(0n, 0xfee0_0000n);
    expect(guest.dma(DEVICE, 0xfee0_0000n, Access.WRITE).result).toBe(0x29);
    expect(guest.dma(DEVICE, 0n, Access.WRITE).result).toBe(0x0e);
  });

  it("13: the last page of the address space is reachable, the next address is a fault", () => {
    const guest = new Guest({ capabilities: { SAGAW: 0b0100, MGAW: 47 } });
    const last = (1n << 48n) - PAGE;
    guest.enableTranslation(DEVICE).map(last, 0x5000n, RW);
    expect(guest.dma(DEVICE, last + 0xfffn).gpa).toBe(0x5fffn);
    expect(guest.dma(DEVICE, last + PAGE).result).toBe(4);
    expect(guest.takeFaults()).toMatchObject([{ reason: 4 }]);
  });

  it("22: a table type that the unit does not offer faults (30h) instead of acting as legacy", () => {
    const guest = new Guest();
    guest.setRootTable(guest.alloc() | 0x400n);
    guest.command(Gcmd.TE);
    expect(guest.dma(DEVICE, 0n).result).toBe(0x30);
  });
});
