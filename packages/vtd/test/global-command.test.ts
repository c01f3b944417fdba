import { describe, expect, it } from "vitest";
import {
  Bench,
  CFI,
  IRE,
  QIE,
  QUEUE,
  ROOT,
  SIRTP,
  SRTP,
  STATUS,
  TE,
  WBF,
} from "./support/bench.ts";

describe("status of each command (VT-d 11.4.4)", () => {
  it.each([
    ["TE and TES", TE, TE],
    ["SRTP and RTPS", SRTP, SRTP],
    ["QIE and QIES", QIE, QIE],
    ["IRE and IRES", IRE, IRE],
    ["SIRTP and IRTPS", SIRTP, SIRTP],
    ["CFI and CFIS", CFI, CFI],
    ["WBF, over at once", WBF, 0],
    ["SFL and EAFL, removed", 0x3000_0000, 0],
    ["reserved bits", 0x007f_ffff, 0],
  ])("%s", (_name, command, status) => {
    const bench = new Bench({ writeBufferFlush: true });
    bench.write32(0x18, command);
    expect(bench.read32(0x1c)).toBe(status);
  });

  it("follows the level bits and keeps the one-shots", () => {
    const bench = new Bench();
    bench.write32(0x18, SRTP | SIRTP);
    bench.write32(0x18, TE | IRE);
    expect(bench.read32(0x1c)).toBe((TE | SRTP | IRE | SIRTP) >>> 0);
    bench.write32(0x18, TE);
    expect(bench.read32(0x1c)).toBe((TE | SRTP | SIRTP) >>> 0);
    bench.write32(0x18, 0);
    expect(bench.read32(0x1c)).toBe(SRTP | SIRTP);
  });

  it("ignores commands whose capability is absent", () => {
    const bench = new Bench({ queuedInvalidation: false });
    bench.write32(0x18, QIE | IRE | SIRTP | CFI);
    expect(bench.read32(0x1c)).toBe(0);
  });

  it("takes several changes of one write in the order pointers, CFI, IRE, TE, queue", () => {
    const bench = new Bench();
    bench.write64(0x88, 16n);
    bench.write64(0x90, QUEUE);
    bench.put64(QUEUE, 0x11n, 0n);
    bench.write32(0x18, TE | SRTP | QIE | IRE | SIRTP | CFI);
    expect(bench.modes.map((mode) => mode.cause)).toEqual([
      "root-table",
      "interrupt-table",
      "compatibility",
      "remapping",
      "translation",
    ]);
    expect(bench.modes.at(-1)).toEqual({
      translation: true,
      remapping: true,
      rootTable: [0, 0],
      interruptTable: [0, 0],
      cause: "translation",
    });
    expect(bench.read64(0x80)).toBe(16n);
  });

  it("switches a unit without address widths as well: a guest that waits for TES gets it", () => {
    const bench = new Bench({ addressWidths: [] });
    bench.setRoot();
    expect(bench.command(TE) & TE).not.toBe(0);
    // a present root and context entry, but no width that the unit has
    bench.put64(ROOT, 0x21_0001n, 0n);
    bench.put64(0x21_0000n, 0x1n, 0x102n);
    expect(bench.dma(0, 0x1000n)).toBe(3);
    expect(bench.command(TE, false) & TE).toBe(0);
    expect(bench.dma(0, 0x1000n)).toBe(0);
  });
});

describe("root table pointer (VT-d 6.6)", () => {
  it("has no effect before SRTP, and takes it with translation on", () => {
    const bench = new Bench();
    bench.setRoot();
    bench.command(TE);
    expect(bench.dma(0x10, 0n)).toBe(1);
    // an abort-DMA table type in the register alone changes nothing
    bench.write64(0x20, ROOT | 0xc00n);
    expect(bench.dma(0x18, 0n)).toBe(1);
    expect(bench.command(SRTP) & SRTP).not.toBe(0);
    expect(bench.dma(0x20, 0n)).toBe(0x30);
  });

  it("invalidates all caches with ESRTPS only", () => {
    const enhanced = new Bench({ scalableMode: true });
    enhanced.setRoot();
    expect(enhanced.invalidations.map((what) => what.kind)).toEqual([
      "context",
      "pasid-cache",
      "iotlb",
    ]);
    const legacy = new Bench();
    legacy.setRoot();
    expect(legacy.invalidations.map((what) => what.kind)).toEqual(["context", "iotlb"]);
    const plain = new Bench({ enhancedSetRootPointer: false });
    plain.setRoot();
    expect(plain.invalidations).toEqual([]);
  });

  it("invalidates when translation is switched off in a scalable-mode unit", () => {
    const bench = new Bench({ scalableMode: true, enhancedSetRootPointer: false });
    bench.setRoot();
    bench.command(TE);
    expect(bench.invalidations).toEqual([]);
    bench.command(TE, false);
    expect(bench.invalidations).toHaveLength(3);
  });
});

describe("interrupt remapping table pointer (VT-d 6.7)", () => {
  const entry = (bench: Bench, table: bigint): void => {
    bench.put64(table, 0x0000_0005_0031_0009n, 0x4_0010n);
  };

  it("takes a new table while IRES is set", () => {
    const bench = new Bench();
    bench.setInterruptTable(0x80fn);
    bench.command(IRE);
    expect(bench.interrupt(0x10, 0xfee0_0010)).toBe(0x22);
    entry(bench, 0x50_0000n);
    bench.write64(0xb8, 0x50_080fn);
    expect(bench.interrupt(0x10, 0xfee0_0010)).toBe(0x22);
    bench.command(SIRTP);
    expect(bench.interrupt(0x10, 0xfee0_0010)).toBe(0);
  });

  it("invalidates the interrupt entries with ESIRTPS: SIRTP, and switching off", () => {
    const bench = new Bench();
    bench.setInterruptTable();
    const all = { kind: "interrupt-entry", index: 0, count: 65536 };
    expect(bench.invalidations).toEqual([all]);
    bench.command(IRE);
    bench.command(IRE, false);
    expect(bench.invalidations).toEqual([all, all]);
    const plain = new Bench({ enhancedSetInterruptPointer: false });
    plain.setInterruptTable();
    expect(plain.invalidations).toEqual([]);
  });

  it("lets compatibility format interrupts pass with CFI, unless EIME is set", () => {
    const bench = new Bench();
    bench.setInterruptTable(7n);
    bench.command(IRE);
    expect(bench.interrupt(0x10, 0xfee0_1000, 0x31)).toBe(0x25);
    bench.command(CFI);
    expect(bench.interrupt(0x10, 0xfee0_1000, 0x31)).toBe(0);
    bench.setInterruptTable(0x807n);
    expect(bench.interrupt(0x10, 0xfee0_1000, 0x31)).toBe(0x25);
    bench.setInterruptTable(7n);
    bench.command(CFI, false);
    expect(bench.interrupt(0x18, 0xfee0_1000, 0x31)).toBe(0x25);
  });
});

describe("drain of accesses in flight (VT-d 6.5.4)", () => {
  it.each([
    ["TE", TE],
    ["SRTP", SRTP],
    ["IRE", IRE],
    ["SIRTP", SIRTP],
  ])("reports %s when the accesses begun before it have ended", (_name, bit) => {
    const bench = new Bench();
    const before = bench.unit.dma.enter();
    expect(bench.command(bit) & bit).toBe(0);
    const after = bench.unit.dma.enter();
    bench.unit.dma.leave(before);
    expect(bench.read32(0x1c) & bit).not.toBe(0);
    bench.unit.dma.leave(after);
  });

  it("clears RTPS when SRTP is written again, until it is done", () => {
    const bench = new Bench();
    bench.setRoot();
    const ticket = bench.unit.dma.enter();
    expect(bench.command(SRTP) & SRTP).toBe(0);
    bench.unit.dma.leave(ticket);
    expect(bench.read32(0x1c)).toBe(SRTP);
  });

  it("reports QIE and CFI at once", () => {
    const bench = new Bench();
    bench.unit.dma.enter();
    expect(bench.command(QIE)).toBe(QIE);
    expect(bench.command(CFI)).toBe(QIE | CFI);
  });

  it("does not wait longer for the sake of a later command that drains nothing", () => {
    const bench = new Bench();
    const before = bench.unit.dma.enter();
    bench.command(TE);
    bench.unit.dma.enter();
    // the queue bit alone changes, TE is carried along
    bench.write32(0x18, TE | QIE);
    bench.unit.dma.leave(before);
    expect(bench.read32(0x1c)).toBe((TE | QIE) >>> 0);
  });

  it("drops a change that is taken back before it was reported", () => {
    const bench = new Bench();
    const ticket = bench.unit.dma.enter();
    bench.write32(0x18, TE);
    bench.write32(0x18, 0);
    bench.unit.dma.leave(ticket);
    expect(bench.read32(0x1c)).toBe(0);
    expect(bench.dma(0x10, 0n)).toBe(0);
  });
});

describe("a kernel takes over from a crashed one", () => {
  it("switches the queue off and on again with TE and IRE set, and loses no command", () => {
    const bench = new Bench();
    bench.setRoot();
    bench.setInterruptTable();
    bench.enableQueue();
    bench.command(IRE);
    bench.command(TE);
    bench.submit([0x11n, 0n], [0x12n, 0n], [0x0000_0001_0000_0025n, STATUS]);
    expect(bench.get32(STATUS)).toBe(1);
    expect(bench.read64(0x80)).toBe(0x30n);

    expect(bench.command(QIE, false)).toBe((TE | SRTP | IRE | SIRTP) >>> 0);
    expect(bench.read64(0x80)).toBe(0n);
    bench.enableQueue(1);
    bench.write64(0x20, 0x21_0000n);
    bench.command(SRTP);
    bench.write64(0xb8, 0x41_000fn);
    bench.command(SIRTP);
    bench.submit([0x4n, 0n], [0x0000_0002_0000_0025n, STATUS]);
    expect(bench.get32(STATUS)).toBe(2);
    expect(bench.read32(0x1c)).toBe((TE | SRTP | QIE | IRE | SIRTP) >>> 0);
    expect(bench.read32(0x34)).toBe(0);
  });
});
