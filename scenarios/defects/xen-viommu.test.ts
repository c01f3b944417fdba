/**
 * Defects D1 to D29 of the first virtual VT-d for Xen, as far as they concern a unit: each is a
 * behaviour that a guest can see, and each test shows the right one. (D17, D19, D20, D22, D24 and
 * D27 concern hypercalls, configuration or the hypervisor's own mappings, not a unit.)
 */
import { Access, InterruptRequest } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { Gcmd, Guest, Reg } from "../support/guest.ts";
import { PAGE } from "../support/second-stage.ts";

const DEVICE = 0x0010;
const IRTE_OK = 0x0000_0005_0031_0009n; // fixed, vector 31h, APIC id 5 with EIME
const remapping = (eime = true, size = 7): { guest: Guest; table: bigint } => {
  const guest = new Guest();
  const table = guest.setInterruptTable(size, eime);
  guest.command(Gcmd.IRE);
  return { guest, table };
};

describe("defects of the first virtual VT-d", () => {
  it("D1: index equal to the table size is beyond the table (21h)", () => {
    const { guest, table } = remapping(true, 7);
    guest.put128(table + 255n * 16n, IRTE_OK, 0n);
    expect(guest.msi(DEVICE, guest.handle(255)).result).toBe(0);
    expect(guest.msi(DEVICE, guest.handle(256)).result).toBe(0x21);
  });

  it("D2: a tail left outside by a smaller queue is a queue error, not an endless loop", () => {
    const guest = new Guest();
    guest.enableQueue(1);
    guest.command(Gcmd.QIE, false);
    guest.write64(Reg.IQT, 300n * 16n);
    guest.write64(Reg.IQA, guest.alloc());
    guest.command(Gcmd.QIE);
    expect(guest.read32(Reg.FSTS) & 0x10).toBe(0x10);
    expect(guest.read64(Reg.IQERCD) & 0xfn).toBe(1n);
  });

  it("D3: one tail write runs a bounded number of descriptors, the rest goes on later", () => {
    const guest = new Guest({ queueBudget: 100 });
    guest.enableQueue(0);
    guest.submit(...Array.from({ length: 255 }, () => [0x4n, 0n] as const));
    expect(guest.read64(Reg.IQH)).toBe(100n * 16n);
    expect(guest.unit.pending).toBe(true);
    while (guest.unit.pending) expect(guest.unit.run(100)).toBeLessThanOrEqual(100);
    expect(guest.read64(Reg.IQH)).toBe(255n * 16n);
  });

  it("D3: an index mask above MHMV is refused instead of walking 2^31 entries", () => {
    const guest = new Guest({ capabilities: { MHMV: 4 } });
    guest.enableQueue();
    expect(guest.flush([0x14n | (4n << 27n), 0n])).toBe(true);
    expect(guest.flush([0x14n | (31n << 27n), 0n])).toBe(false);
    expect(guest.read32(Reg.FSTS) & 0x10).toBe(0x10);
  });

  it("D4: destinations above 255 keep all 32 bits", () => {
    const { guest, table } = remapping();
    guest.put128(table, (0x0012_3456n << 32n) | 0x31_0009n, 0n);
    const message = guest.msi(DEVICE, guest.handle(0));
    expect([message.upper, (message.address >>> 12) & 0xff]).toEqual([0x0012_3400, 0x56]);
  });

  it("D5: writing the tail is what runs the queue", () => {
    const guest = new Guest();
    guest.enableQueue();
    expect(guest.flush([0x1n | (1n << 4n), 0n])).toBe(true);
  });

  it("D5: enabling a queue that is not empty runs it too", () => {
    const guest = new Guest();
    const [queue, status] = [guest.alloc(), guest.alloc()];
    guest.put128(queue, 0x7_0000_0025n, status);
    guest.write64(Reg.IQA, queue);
    guest.write64(Reg.IQT, 16n);
    guest.command(Gcmd.QIE);
    expect(guest.get64(status)).toBe(7n);
  });

  it("D6: an invalidation waits for accesses in flight, and then completes by itself", () => {
    const guest = new Guest();
    guest.enableTranslation(DEVICE).map(0n, 0x5000n);
    guest.enableQueue();
    const ticket = guest.unit.dma.enter();
    expect(guest.dma(DEVICE, 0n).gpa).toBe(0x5000n);
    const status = guest.alloc();
    guest.submit([0x12n, 0n], [0x2_0000_0025n, status]);
    expect(guest.get64(status)).toBe(0n);
    guest.unit.dma.leave(ticket);
    expect(guest.get64(status)).toBe(2n);
  });

  it("D7: nothing runs while QIES is clear; clearing IQE restarts the queue", () => {
    const guest = new Guest();
    const [queue, status] = [guest.alloc(), guest.alloc()];
    guest.put128(queue, 0x7_0000_0025n, status);
    guest.write64(Reg.IQA, queue);
    guest.write64(Reg.IQT, 16n);
    expect(guest.get64(status)).toBe(0n);
    guest.put64(queue, 0xfn); // no such descriptor
    guest.command(Gcmd.QIE);
    expect(guest.read32(Reg.FSTS) & 0x10).toBe(0x10);
    guest.put64(queue, 0x7_0000_0025n);
    guest.write32(Reg.FSTS, 0x10);
    expect(guest.get64(status)).toBe(7n);
    expect(guest.read32(Reg.FSTS) & 0x10).toBe(0);
  });

  it("D8: every command a guest may poll for is answered", () => {
    const guest = new Guest({ capabilities: { RWBF: 1 } });
    expect(guest.setRootTable()).toBeGreaterThan(0n);
    expect(guest.read32(Reg.GSTS) & Gcmd.SRTP).not.toBe(0);
    expect(guest.command(Gcmd.TE) & Gcmd.TE).not.toBe(0);
    expect(guest.command(Gcmd.WBF) & Gcmd.WBF).toBe(0); // WBFS reads 1 only while flushing
    expect(guest.command(Gcmd.CFI) & Gcmd.CFI).not.toBe(0);
    expect(guest.command(Gcmd.CFI, false) & Gcmd.CFI).toBe(0);
    expect(guest.command(Gcmd.TE, false) & Gcmd.TE).toBe(0);
  });

  it("D9: compatibility format is blocked with 25h, passes with CFIS, never with EIME", () => {
    const { guest } = remapping(false);
    expect(guest.msi(DEVICE, 0xfee0_1000, 0x31).result).toBe(0x25);
    guest.command(Gcmd.CFI);
    expect(guest.msi(DEVICE, 0xfee0_1000, 0x31)).toMatchObject({ result: 0, data: 0x31 });
    const { guest: x2apic } = remapping(true);
    x2apic.command(Gcmd.CFI);
    expect(x2apic.msi(DEVICE, 0xfee0_1000, 0x31).result).toBe(0x25);
  });

  it("D10: the requester is checked against SID, SQ and SVT", () => {
    const { guest, table } = remapping();
    guest.put128(table, IRTE_OK, 0x4_0010n); // SVT 1, SQ 0, SID 00:02.0
    expect(guest.msi(0x0010, guest.handle(0)).result).toBe(0);
    expect(guest.msi(0x0011, guest.handle(0)).result).toBe(0x26);
    guest.put128(table, IRTE_OK, 0x7_0010n); // SQ 3: any function
    expect(guest.msi(0x0017, guest.handle(0)).result).toBe(0);
    expect(guest.msi(0x0018, guest.handle(0)).result).toBe(0x26);
  });

  it("D11: an interrupt fault holds its index in bits 63:48 of FI", () => {
    const { guest } = remapping();
    guest.msi(DEVICE, guest.handle(0x12));
    expect(guest.takeFaults()).toMatchObject([
      { reason: 0x22, sourceId: DEVICE, info: 0x0012_0000_0000_0000n },
    ]);
  });

  it("D12: FRI names the first pending record, the ring goes on behind it", () => {
    const guest = new Guest({ capabilities: { NFR: 3 } });
    guest.enableTranslation(DEVICE);
    for (const function_ of [0, 1]) guest.dma(DEVICE + function_, 0n);
    expect(guest.takeFaults(4).map((fault) => fault.index)).toEqual([0, 1]);
    guest.dma(DEVICE, 0n);
    expect((guest.read32(Reg.FSTS) >>> 8) & 0xff).toBe(2);
    expect(guest.takeFaults(4).map((fault) => fault.index)).toEqual([2]);
  });

  it("D13: F and PPF always agree", () => {
    const { guest } = remapping();
    guest.msi(DEVICE, guest.handle(1));
    expect(guest.read64(Reg.FRCD + 8) >> 63n).toBe(1n);
    expect(guest.read32(Reg.FSTS) & 2).toBe(2);
    guest.write32(Reg.FRCD + 12, 1 << 31);
    expect(guest.read64(Reg.FRCD + 8) >> 63n).toBe(0n);
    expect(guest.read32(Reg.FSTS) & 2).toBe(0);
  });

  it("D14: a write of ones clears just those status bits", () => {
    const guest = new Guest();
    guest.enableTranslation(DEVICE);
    guest.dma(DEVICE, 0n);
    guest.dma(DEVICE + 1, 0n); // the only record is full: PFO
    guest.enableQueue();
    guest.submit([0xfn, 0n]);
    expect(guest.read32(Reg.FSTS) & 0xff).toBe(0x13);
    guest.write32(Reg.FSTS, 0x10);
    // the bad descriptor is still there: the queue runs into it again
    expect(guest.read32(Reg.FSTS) & 0xff).toBe(0x13);
    guest.write32(Reg.FSTS, 0x01);
    expect(guest.read32(Reg.FSTS) & 0xff).toBe(0x12);
    guest.write32(Reg.FSTS, 0x02); // PPF follows the records
    expect(guest.read32(Reg.FSTS) & 0x02).toBe(0x02);
  });

  it("D15: reserved bits of requests, entries and descriptors are checked", () => {
    const { guest, table } = remapping();
    guest.put128(table, IRTE_OK, 0n);
    expect(guest.msi(DEVICE, guest.handle(0) | 8, 0x1_0000).result).toBe(0x20);
    guest.put128(table, IRTE_OK | 0x8000n, 0n); // IM = 1 without CAP.PI
    expect(guest.msi(DEVICE, guest.handle(0)).result).toBe(0x24);
    guest.put128(table, IRTE_OK, (1n << 84n) >> 64n);
    expect(guest.msi(DEVICE, guest.handle(0)).result).toBe(0x24);
    guest.enableQueue();
    guest.submit([0x4n | (1n << 5n), 0n]);
    expect(guest.read64(Reg.IQERCD) & 0xfn).toBe(4n);
  });

  it("D16: asking without delivering gives the reason, and no message or record", () => {
    const { guest, table } = remapping();
    guest.put128(table, 0n, 0n);
    const request = new InterruptRequest();
    request.sourceId = DEVICE;
    request.address = guest.handle(0) | 0;
    expect(guest.unit.interrupts.probe(request)).toBe(0x22);
    expect(request.messageAddress).toBe(0);
    expect(guest.takeFaults()).toEqual([]);
  });

  it("D18: SIRTP takes table, size and EIME together, also while remapping is on", () => {
    const { guest, table } = remapping(true, 7);
    guest.put128(table, (5n << 40n) | 0x31_0009n, 0n);
    expect(guest.msi(DEVICE, guest.handle(0)).upper).toBe(0x500);
    guest.setInterruptTable(7, false, table);
    expect(guest.msi(DEVICE, guest.handle(0))).toMatchObject({ upper: 0, address: 0xfee0_5008 });
    guest.setInterruptTable(0, false, table);
    expect(guest.msi(DEVICE, guest.handle(2)).result).toBe(0x21);
  });

  it("D21: the whole 4 KiB page belongs to the unit", () => {
    const guest = new Guest();
    guest.write32(0xffc, 0xffff_ffff);
    expect([guest.read32(0xffc), guest.read64(0xff8)]).toEqual([0, 0n]);
    expect(guest.unit.size).toBe(0x1000);
  });

  it("D23: a record restores pointers and modes, another unit's record is refused", () => {
    const { guest, table } = remapping();
    guest.put128(table, IRTE_OK, 0n);
    const record = guest.unit.save();
    guest.unit.reset();
    expect(guest.read32(Reg.GSTS)).toBe(0);
    guest.unit.restore(record);
    expect(guest.msi(DEVICE, guest.handle(0)).result).toBe(0);
    const other = new Guest({ capabilities: { ND: 4 } });
    expect(() => {
      other.unit.restore(record);
    }).toThrow(expect.objectContaining({ code: "ERR_VIOMMU_SNAPSHOT" }) as Error);
  });

  it("D25: both events, masked and then unmasked, reach 32-bit destinations", () => {
    const { guest } = remapping();
    guest.enableQueue();
    for (const [control, data] of [
      [Reg.FECTL, 0x21],
      [Reg.IECTL, 0x22],
    ] as const) {
      guest.write32(control + 4, data);
      guest.write32(control + 8, 0xfee0_2000);
      guest.write32(control + 12, 0x0000_0100);
    }
    guest.msi(DEVICE, guest.handle(0));
    guest.submit([0x15n, 0n]);
    expect(guest.messages).toEqual([]);
    expect([guest.read32(Reg.FECTL), guest.read32(Reg.IECTL)]).toEqual([0xc000_0000, 0xc000_0000]);
    guest.write32(Reg.FECTL, 0);
    guest.write32(Reg.IECTL, 0);
    expect(guest.messages).toEqual([
      [0x100, 0xfee0_2000, 0x21],
      [0x100, 0xfee0_2000, 0x22],
    ]);
    expect([guest.read32(Reg.FECTL), guest.read32(Reg.IECTL)]).toEqual([0, 0]);
  });

  it("D26: SMI, NMI, INIT, ExtINT and the redirection hint pass", () => {
    const { guest, table } = remapping();
    for (const mode of [0n, 1n, 2n, 4n, 5n, 7n]) {
      guest.put128(table, IRTE_OK | (mode << 5n), 0n);
      const message = guest.msi(DEVICE, guest.handle(0));
      expect(message.data).toBe(0x4031 | (Number(mode) << 8));
      expect(message.address & 8).toBe(8);
    }
  });

  it("D28: widths follow the profile: 39, 48 and 57 bits", () => {
    for (const [sagaw, levels, width] of [
      [2, 3, 39],
      [4, 4, 48],
      [8, 5, 57],
    ] as const) {
      const guest = new Guest({
        capabilities: { SAGAW: sagaw, MGAW: width - 1 },
        hostAddressWidth: Math.min(width, 52),
      });
      const top = (1n << BigInt(width)) - PAGE;
      guest.enableTranslation(DEVICE, guest.secondStage(levels)).map(top, 0x7000n);
      expect(guest.dma(DEVICE, top, Access.WRITE).gpa).toBe(0x7000n);
      expect(guest.dma(DEVICE, top + PAGE).result).toBe(4);
    }
  });

  it("D29: accesses of other sizes or alignments read zeros and change nothing", () => {
    const guest = new Guest();
    for (const [offset, size] of [
      [0, 1],
      [1, 4],
      [2, 2],
      [4, 8],
      [0xffe, 4],
      [0x1000, 4],
      [-4, 4],
    ] as const) {
      const out = Int32Array.of(-1, -1);
      guest.unit.read(offset, size, out);
      expect([...out]).toEqual([0, 0]);
      guest.unit.write(Reg.FEDATA + offset, size, -1, -1);
    }
    expect(guest.read32(Reg.FECTL)).toBe(0x8000_0000);
  });
});
