/**
 * The defects of QEMU's intel-iommu that were verified by running it, numbered as there: each test
 * shows the behaviour that the specification asks for. Legacy mode; scalable mode is in its own file.
 */
import { Access } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { Gcmd, Guest, Reg } from "../support/guest.ts";
import { R } from "../support/second-stage.ts";

const DEVICE = 0x0010;
const IRTE_OK = 0x0000_0005_0031_0009n;

describe("defects of QEMU's intel-iommu, legacy mode", () => {
  it("1: a write denied by a cached read-only translation is recorded", () => {
    const guest = new Guest();
    guest.enableTranslation(DEVICE).map(0x3000n, 0x5000n, R);
    expect(guest.dma(DEVICE, 0x3000n, Access.READ).result).toBe(0);
    expect(guest.dma(DEVICE, 0x3abcn, Access.WRITE).result).toBe(5);
    expect(guest.takeFaults()).toMatchObject([
      { reason: 5, info: 0x3000n, high: 0x8000_0005_0000_0010n },
    ]);
  });

  it("2: a compatibility-format interrupt is blocked with IRES = 1 and CFIS = 0, and with EIME", () => {
    for (const eime of [false, true]) {
      const guest = new Guest();
      guest.setInterruptTable(7, eime);
      guest.command(Gcmd.IRE);
      expect(guest.msi(DEVICE, 0xfee0_0000, 0x31).result).toBe(0x25);
      expect(guest.takeFaults()).toMatchObject([{ reason: 0x25, sourceId: DEVICE }]);
    }
  });

  it("3: the posted format is reserved without CAP.PI", () => {
    const guest = new Guest();
    const table = guest.setInterruptTable(7, true);
    guest.command(Gcmd.IRE);
    guest.put128(table, IRTE_OK | 0x8000n, 0n);
    expect(guest.msi(DEVICE, guest.handle(0)).result).toBe(0x24);
  });

  it("4: an I/O APIC is a requester like any other", () => {
    const guest = new Guest();
    const table = guest.setInterruptTable(7, true);
    guest.command(Gcmd.IRE);
    guest.put128(table, IRTE_OK, 0x4_f0f8n);
    expect(guest.msi(0xf0f8, guest.handle(0), 0x31).result).toBe(0);
    expect(guest.msi(0xff00, guest.handle(0), 0x31).result).toBe(0x26);
  });

  it("11: legacy-mode records carry no PASID", () => {
    const guest = new Guest();
    guest.enableTranslation(DEVICE);
    guest.dma(DEVICE, 0x1000n, Access.READ);
    expect(guest.takeFaults()).toMatchObject([{ high: 0xc000_0006_0000_0010n }]);
  });

  it("12: the upper message address is writable with EIM and used", () => {
    const guest = new Guest();
    guest.write32(Reg.FEUADDR, 0x0001_2300);
    guest.write32(Reg.IEUADDR, 0x0001_2300);
    expect(guest.read32(Reg.FEUADDR)).toBe(0x0001_2300);
    expect(guest.read32(Reg.IEUADDR)).toBe(0x0001_2300);
    guest.write32(Reg.FECTL, 0);
    guest.enableTranslation(DEVICE);
    guest.dma(DEVICE, 0n);
    expect(guest.messages).toEqual([[0x0001_2300, 0, 0]]);
  });

  it("13: 8-byte writes over two registers are two writes", () => {
    const guest = new Guest();
    for (const offset of [0x38, 0xa0, 0xa8, 0xe0, 0xe8]) guest.write64(offset, 0x21_0000_0000n);
    expect(guest.read32(Reg.FEDATA)).toBe(0x21);
    expect(guest.read32(Reg.FECTL)).toBe(0);
    expect(guest.read32(Reg.IEDATA)).toBe(0x21);
  });

  it("14: IQERCD names the error, and the queue goes on when IQE is cleared", () => {
    const guest = new Guest();
    guest.enableQueue();
    const [queue, status] = [guest.read64(Reg.IQA), guest.alloc()];
    guest.submit([0xfn, 0n], [0x2_0000_0025n, status]);
    expect(guest.read64(Reg.IQERCD)).toBe(3n);
    expect(guest.read64(Reg.IQH)).toBe(0n);
    guest.put128(queue, 0x4n, 0n);
    guest.write32(Reg.FSTS, 0x10);
    expect(guest.get64(status)).toBe(2n);
    expect(guest.read64(Reg.IQH)).toBe(32n);
  });

  it("15: a domain-selective context invalidation leaves other domains alone, and CAIG says so", () => {
    const guest = new Guest();
    const [a, b] = [guest.secondStage(), guest.secondStage()];
    guest.setRootTable();
    guest.attach(0x10, a.map(0n, 0x5000n), 1);
    guest.attach(0x18, b.map(0n, 0x6000n), 2);
    guest.command(Gcmd.TE);
    expect([guest.dma(0x10, 0n).gpa, guest.dma(0x18, 0n).gpa]).toEqual([0x5000n, 0x6000n]);
    guest.write64(Reg.CCMD, (1n << 63n) | (2n << 61n) | 1n);
    const answer = guest.read64(Reg.CCMD);
    expect(answer >> 63n).toBe(0n);
    // 10b: domain-selective performed (01b, global, would be legal too)
    expect((answer >> 59n) & 3n).toBe(2n);
  });
});

describe("read from QEMU's code, not run there", () => {
  it("handle plus subhandle does not wrap at 16 bits (21h)", () => {
    const guest = new Guest();
    const table = guest.setInterruptTable(15, true);
    guest.command(Gcmd.IRE);
    guest.put128(table, IRTE_OK, 0n);
    expect(guest.msi(DEVICE, guest.handle(0xffff) | 8, 1).result).toBe(0x21);
  });

  it("a read of the interrupt address range is blocked, not answered with undefined data", () => {
    const guest = new Guest();
    guest.enableTranslation(DEVICE).map(0xfee0_0000n, 0x5000n);
    expect(guest.dma(DEVICE, 0xfee0_0000n, Access.READ).result).not.toBe(0);
  });

  it("FPD is taken from an entry that was read, never from one that could not be", () => {
    const guest = new Guest();
    const root = guest.setRootTable();
    guest.command(Gcmd.TE);
    guest.put128(root, 0x3_ffff_f000n | 1n, 0n); // context table outside of memory
    guest.dma(DEVICE, 0n);
    expect(guest.takeFaults()).toMatchObject([{ reason: 9 }]);
  });

  it("a translated request is refused by a context entry of type 00b (0Dh)", () => {
    const guest = new Guest({ capabilities: { DT: 1 } });
    guest.enableTranslation(DEVICE).map(0n, 0x5000n);
    expect(guest.dma(DEVICE, 0n, Access.READ, 2).result).toBe(0x0d);
  });

  it("PFSID bits of a device-TLB descriptor are no queue error where DIT offers them", () => {
    const guest = new Guest({ capabilities: { DT: 1, DIT: 1 } });
    guest.enableQueue();
    expect(guest.flush([0x3n | (1n << 12n) | (1n << 32n), 0x7fff_ffff_ffff_f001n])).toBe(true);
  });
});
