import { describe, expect, it } from "vitest";
import { Bench, QIE, QUEUE, STATUS } from "./support/bench.ts";

const CONTEXT_GLOBAL: [bigint, bigint] = [0x11n, 0n];
const waitFor = (data: bigint): [bigint, bigint] => [(data << 32n) | 0x25n, STATUS];

describe("processing (VT-d 6.5.2)", () => {
  it("runs what lies between head and tail, and moves the head", () => {
    const bench = new Bench();
    bench.enableQueue();
    bench.submit(CONTEXT_GLOBAL, waitFor(2n));
    expect(bench.get32(STATUS)).toBe(2);
    expect(bench.read64(0x80)).toBe(0x20n);
    expect(bench.invalidations.map((what) => what.kind)).toEqual(["context"]);
  });

  it("does not look at TES and IRES, but at QIES", () => {
    const bench = new Bench();
    bench.write64(0x90, QUEUE);
    bench.submit(CONTEXT_GLOBAL);
    expect(bench.invalidations).toEqual([]);
    bench.command(QIE);
    expect(bench.invalidations).toHaveLength(1);
  });

  it("wraps at the end of the queue, of every size and width", () => {
    for (const wide of [false, true]) {
      for (let size = 0; size < 8; size++) {
        const bench = new Bench({ abortDma: true }, { queueBudget: 40_000 });
        const bytes = 4096n << BigInt(size);
        const width = wide ? 32n : 16n;
        for (let at = 0n; at < bytes; at += width) bench.put64(QUEUE + at, 0x15n, 0n);
        bench.put64(QUEUE + bytes - width, ...waitFor(7n));
        bench.put64(QUEUE, ...waitFor(8n));
        bench.enableQueue(size, wide);
        bench.write64(0x88, bytes - width);
        expect(bench.read64(0x80)).toBe(bytes - width);
        bench.write64(0x88, 0n);
        expect(bench.read64(0x80)).toBe(0n);
        expect(bench.get32(STATUS)).toBe(7);
        bench.write64(0x88, width);
        expect(bench.get32(STATUS)).toBe(8);
      }
    }
  });

  it("reads descriptors behind a 1 GiB border inside the queue", () => {
    const bench = new Bench();
    bench.put64(0x4000_0000n, ...waitFor(6n));
    for (let slot = 0n; slot < 256n; slot++) bench.put64(0x3fff_f000n + slot * 16n, 0x15n, 0n);
    bench.write64(0x90, 0x3fff_f001n);
    bench.command(QIE);
    bench.write64(0x88, 257n * 16n);
    expect(bench.get32(STATUS)).toBe(6);
  });

  it("takes the tail as two halves in either order", () => {
    for (const order of [
      [0x88, 0x8c],
      [0x8c, 0x88],
    ]) {
      const bench = new Bench();
      bench.enableQueue();
      bench.put64(QUEUE, ...waitFor(5n));
      for (const offset of order) bench.write32(offset, offset === 0x88 ? 16 : 0);
      expect(bench.get32(STATUS)).toBe(5);
    }
  });

  it("zeroes the head when it is switched off", () => {
    const bench = new Bench();
    bench.enableQueue();
    bench.submit(CONTEXT_GLOBAL);
    bench.command(QIE, false);
    expect([bench.read64(0x80), bench.read64(0x88)]).toEqual([0n, 16n]);
  });
});

describe("errors (VT-d 11.4.9.9)", () => {
  it("1: the tail lies outside the queue", () => {
    const bench = new Bench();
    bench.enableQueue(0);
    bench.write64(0x88, 0x1000n);
    expect(bench.queueError()).toBe(1);
    expect(bench.read64(0x80)).toBe(0n);
  });

  it("2: the descriptor can't be read", () => {
    const bench = new Bench();
    bench.write64(0x90, 0x8000_0000n);
    bench.command(QIE);
    bench.write64(0x88, 16n);
    expect(bench.queueError()).toBe(2);
  });

  it.each([
    ["0", 0x0n],
    ["Bh", 0xbn],
    ["Fh", 0xfn],
    ["with bits 11:9", 0x211n],
    ["3 without DT", 0x3n],
    ["6 in legacy mode", 0x26n],
    ["7 in legacy mode", 0x7n],
  ])("3: type %s", (_name, low) => {
    const bench = new Bench();
    bench.enableQueue();
    bench.submit([low, 0n]);
    expect(bench.queueError()).toBe(3);
  });

  it("3: types of 256 bits in legacy mode, in a queue of that width", () => {
    for (const low of [0x26n, 0x7n, 0x8n, 0x9n, 0xan]) {
      const bench = new Bench({ scalableMode: true, deviceTlb: true, pageRequests: true });
      bench.enableQueue(0, true);
      bench.submitWide([low, 0n]);
      expect(bench.queueError()).toBe(3);
    }
  });

  it.each([
    ["context: reserved granularity", 0x1n, 0n],
    ["context: bit 6", 0x51n, 0n],
    ["context: bit 50", 0x4_0000_0000_0011n, 0n],
    ["context: high half", 0x11n, 1n],
    ["IOTLB: reserved granularity", 0x2n, 0n],
    ["IOTLB: bit 8", 0x112n, 0n],
    ["IOTLB: bit 32", 0x1_0000_0012n, 0n],
    ["IOTLB: bit 7 of the high half", 0x12n, 0x80n],
    ["IOTLB: AM above MAMV", 0x32n, 19n],
    ["device-TLB: PFSID without DIT", 0x1003n, 0n],
    ["device-TLB: bit 1 of the high half", 0x3n, 2n],
    ["IEC: bit 5", 0x24n, 0n],
    ["IEC: bit 12", 0x1004n, 0n],
    ["IEC: IM above MHMV", 0x8000_0014n, 0n],
    ["wait: PD without PDS", 0xa5n, 0n],
    ["wait: bit 8", 0x125n, 0n],
    ["wait: status address bit 0", 0x25n, 1n],
  ])("4: %s", (_name, low, high) => {
    const bench = new Bench({ deviceTlb: true });
    bench.enableQueue();
    bench.submit([low, high]);
    expect(bench.queueError()).toBe(4);
    expect(bench.read64(0x80)).toBe(0n);
    expect(bench.invalidations).toEqual([]);
  });

  it("4: page-selective without PSI, and a second half that is not zero", () => {
    const bench = new Bench({ pageSelectiveInvalidation: false });
    bench.enableQueue();
    bench.submit([0x32n, 0n]);
    expect(bench.queueError()).toBe(4);
    const wide = new Bench({ abortDma: true });
    wide.enableQueue(0, true);
    wide.put64(QUEUE, 0x11n, 0n, 0n, 1n);
    wide.write64(0x88, 32n);
    expect(wide.queueError()).toBe(4);
  });

  it("accepts the largest AM and IM", () => {
    const bench = new Bench();
    bench.enableQueue();
    bench.submit([0x32n, 18n], [0x7800_0014n, 0n]);
    expect(bench.queueError()).toBe(0);
    expect(bench.invalidations[1]).toEqual({ kind: "interrupt-entry", index: 0, count: 32768 });
  });

  it("5: 256-bit descriptors in a unit that has neither scalable nor abort-DMA mode", () => {
    const bench = new Bench();
    bench.enableQueue(0, true);
    bench.write64(0x88, 32n);
    expect(bench.queueError()).toBe(5);
    expect(bench.read64(0x90) & 0x800n).toBe(0x800n);
  });

  it("5: 128-bit descriptors outside legacy mode", () => {
    const bench = new Bench({ abortDma: true });
    bench.setRoot(0xc00n);
    bench.enableQueue();
    bench.submit(CONTEXT_GLOBAL);
    expect(bench.queueError()).toBe(5);
  });

  it("6: a tail that is not aligned to 256-bit descriptors", () => {
    const bench = new Bench({ abortDma: true });
    bench.enableQueue(0, true);
    bench.write64(0x88, 48n);
    expect(bench.queueError()).toBe(6);
  });

  it("7: a translation table mode that the unit has not", () => {
    for (const bits of [0x400n, 0x800n, 0xc00n]) {
      const bench = new Bench();
      bench.setRoot(bits);
      bench.enableQueue();
      bench.submit(CONTEXT_GLOBAL);
      expect(bench.queueError()).toBe(7);
    }
  });

  it("looks at the mode in effect, not at RTADDR before SRTP", () => {
    const bench = new Bench();
    bench.write64(0x20, 0xc00n);
    bench.enableQueue();
    bench.submit(CONTEXT_GLOBAL);
    expect(bench.queueError()).toBe(0);
  });
});

describe("after an error (VT-d 6.5.2.11)", () => {
  it("stays at the bad descriptor, and goes on by itself when IQE is cleared", () => {
    const bench = new Bench();
    bench.enableQueue();
    bench.submit(waitFor(1n), [0xfn, 0n], waitFor(2n));
    expect(bench.get32(STATUS)).toBe(1);
    expect(bench.read64(0x80)).toBe(0x10n);
    // tail updates fetch nothing
    bench.submit(waitFor(3n));
    expect(bench.get32(STATUS)).toBe(1);
    bench.put64(QUEUE + 16n, ...CONTEXT_GLOBAL);
    expect(bench.get32(STATUS)).toBe(1);
    bench.write32(0x34, 0x10);
    expect(bench.get32(STATUS)).toBe(3);
    expect(bench.read32(0x34)).toBe(0);
    expect(bench.read64(0x80)).toBe(0x40n);
  });

  it("reports again when the descriptor was not mended", () => {
    const bench = new Bench();
    bench.setEvent(0x38, 0x21);
    bench.enableQueue();
    bench.submit([0xfn, 0n]);
    bench.write32(0x34, 0x10);
    expect(bench.queueError()).toBe(3);
    expect(bench.messages).toHaveLength(2);
  });

  it("can be left by switching the queue off", () => {
    const bench = new Bench();
    bench.enableQueue();
    bench.submit([0xfn, 0n]);
    bench.command(QIE, false);
    bench.write32(0x34, 0x10);
    bench.enableQueue();
    bench.submit(waitFor(4n));
    expect(bench.get32(STATUS)).toBe(4);
  });
});

describe("changes of the queue while it is in use", () => {
  it("finds a tail that a smaller queue has left outside", () => {
    const bench = new Bench();
    bench.enableQueue(3);
    for (let slot = 0n; slot < 300n; slot++) bench.put64(QUEUE + slot * 16n, 0x15n, 0n);
    bench.write64(0x88, 300n * 16n);
    expect(bench.read64(0x80)).toBe(300n * 16n);
    bench.put64(QUEUE + 301n * 16n, 0x15n, 0n);
    bench.write64(0x90, QUEUE);
    bench.write64(0x88, 301n * 16n);
    expect(bench.queueError()).toBe(1);
  });

  it("brings a head outside back in, and ends", () => {
    const bench = new Bench();
    bench.enableQueue(3);
    for (let slot = 0n; slot < 300n; slot++) bench.put64(QUEUE + slot * 16n, 0x15n, 0n);
    bench.write64(0x88, 300n * 16n);
    bench.write64(0x90, QUEUE);
    bench.write64(0x88, 0n);
    expect(bench.queueError()).toBe(0);
    expect(bench.read64(0x80)).toBe(0n);
    expect(bench.unit.pending).toBe(false);
  });

  it("stays within bounds when the size shrinks in the middle of a long run", () => {
    const bench = new Bench({}, { queueBudget: 8 });
    for (let slot = 0n; slot < 32768n; slot++) bench.put64(QUEUE + slot * 16n, 0x15n, 0n);
    bench.enableQueue(7);
    bench.write64(0x88, 32760n * 16n);
    expect(bench.unit.pending).toBe(true);
    bench.write64(0x90, QUEUE);
    expect(bench.unit.run(1000)).toBe(0);
    expect(bench.queueError()).toBe(1);
    expect(bench.unit.pending).toBe(false);
  });

  it("takes a wider descriptor up from an even slot", () => {
    const bench = new Bench({ abortDma: true });
    bench.enableQueue();
    bench.submit(CONTEXT_GLOBAL);
    bench.write64(0x90, QUEUE | 0x800n);
    bench.put64(QUEUE, 0x15n, 0n, 0n, 0n);
    bench.write64(0x88, 32n);
    expect(bench.queueError()).toBe(0);
    expect(bench.read64(0x80)).toBe(32n);
  });
});

describe("bounded work", () => {
  const long = (budget?: number): { bench: Bench; pending: string[] } => {
    const bench = new Bench({}, budget === undefined ? {} : { queueBudget: budget });
    const pending: string[] = [];
    bench.hooks.workPending = (unit) => pending.push(unit);
    for (let slot = 0n; slot < 32767n; slot++) bench.put64(QUEUE + slot * 16n, 0x11n, 0n);
    bench.put64(QUEUE + 32766n * 16n, ...waitFor(9n));
    bench.enableQueue(7);
    bench.write64(0x88, 32767n * 16n);
    return { bench, pending };
  };

  it("processes 1024 descriptors in one access and the rest as pending work", () => {
    const { bench, pending } = long();
    expect(bench.invalidations).toHaveLength(1024);
    expect(bench.read64(0x80)).toBe(1024n * 16n);
    expect(pending).toEqual(["dmar0"]);
    expect(bench.unit.pending).toBe(true);
    expect(bench.unit.run(1000)).toBe(1000);
    expect(bench.invalidations).toHaveLength(2024);
    expect(bench.unit.run(Infinity)).toBe(32767 - 2024);
    expect(bench.get32(STATUS)).toBe(9);
    expect(bench.unit.pending).toBe(false);
    expect(bench.unit.run(1)).toBe(0);
  });

  it("counts each descriptor once, also with budget 1", () => {
    const { bench } = long(1);
    expect(bench.invalidations).toHaveLength(1);
    for (let i = 0; i < 32766; i++) expect(bench.unit.run(1)).toBe(1);
    expect(bench.get32(STATUS)).toBe(9);
  });

  it("does not run inside itself", () => {
    const bench = new Bench();
    const inner: number[] = [];
    bench.hooks.invalidate = () => inner.push(bench.unit.run(100));
    bench.enableQueue();
    bench.submit(CONTEXT_GLOBAL, CONTEXT_GLOBAL);
    expect(inner).toEqual([0, 0]);
  });

  it("goes on after an observer has thrown", () => {
    const bench = new Bench();
    bench.hooks.invalidate = () => {
      throw new Error("an observer's mistake");
    };
    bench.enableQueue();
    expect(() => {
      bench.submit(CONTEXT_GLOBAL);
    }).toThrow("an observer's mistake");
    bench.hooks.invalidate = null;
    bench.submit(waitFor(3n));
    expect(bench.get32(STATUS)).toBe(3);
  });
});
