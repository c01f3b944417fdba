import { describe, expect, it } from "vitest";
import { Bench, QIE, STATUS } from "./support/bench.ts";

const wait = (flags: bigint, data = 2n, address = STATUS): [bigint, bigint] => [
  (data << 32n) | flags | 5n,
  address,
];

describe("completion (VT-d 6.5.2.9)", () => {
  it("writes one dword with SW", () => {
    const bench = new Bench();
    bench.put64(STATUS, 0xffff_ffff_ffff_ffffn);
    bench.enableQueue();
    bench.submit(wait(0x20n, 0x8765_4321n));
    expect(bench.get64(STATUS)).toBe(0xffff_ffff_8765_4321n);
    bench.submit(wait(0x20n, 1n, STATUS + 4n));
    expect(bench.get64(STATUS)).toBe(0x0000_0001_8765_4321n);
  });

  it("writes nothing without SW", () => {
    const bench = new Bench();
    bench.enableQueue();
    bench.submit(wait(0x40n), wait(0n));
    expect(bench.get32(STATUS)).toBe(0);
    expect(bench.read64(0x80)).toBe(0x20n);
  });

  it("ignores address bits from the host address width up", () => {
    const bench = new Bench({ hostAddressWidth: 40 });
    bench.enableQueue();
    bench.submit(wait(0x20n, 6n, 0xffff_ff00_0000_0000n | STATUS));
    expect(bench.get32(STATUS)).toBe(6);
  });

  it("loses a status write that goes nowhere", () => {
    const bench = new Bench();
    bench.enableQueue();
    bench.submit(wait(0x20n, 1n, 0xfee0_0000n), wait(0x20n, 3n));
    expect(bench.read32(0x34)).toBe(0);
    expect(bench.get32(STATUS)).toBe(3);
  });

  it("accepts FN, IF and, with PDS, PD", () => {
    const bench = new Bench({ scalableMode: true, deviceTlb: true, pageRequests: true });
    bench.enableQueue();
    bench.submit(wait(0xf0n, 4n));
    expect(bench.get32(STATUS)).toBe(4);
    expect(bench.read32(0x9c)).toBe(1);
  });
});

describe("draining (VT-d 6.5.4)", () => {
  it("completes when the accesses begun before it have ended, then the queue goes on", () => {
    const bench = new Bench();
    const before = bench.unit.dma.enter();
    bench.enableQueue();
    bench.submit([0x12n, 0n], wait(0x20n, 1n), [0x11n, 0n], wait(0x20n, 2n));
    expect(bench.get32(STATUS)).toBe(0);
    expect(bench.invalidations.map((what) => what.kind)).toEqual(["iotlb"]);
    expect(bench.read64(0x80)).toBe(0x20n);
    expect(bench.unit.pending).toBe(false);

    const after = bench.unit.dma.enter();
    bench.unit.dma.leave(before);
    // the second wait waits for the access that began in between
    expect(bench.get32(STATUS)).toBe(1);
    expect(bench.read64(0x80)).toBe(0x40n);
    bench.unit.dma.leave(after);
    expect(bench.get32(STATUS)).toBe(2);
  });

  it("sends the completion event after the drain only", () => {
    const bench = new Bench();
    const ticket = bench.unit.dma.enter();
    bench.setEvent(0xa0, 0x31);
    bench.enableQueue();
    bench.submit(wait(0x10n));
    expect(bench.read32(0x9c)).toBe(0);
    bench.unit.dma.leave(ticket);
    expect(bench.messages).toHaveLength(1);
  });

  it("drops a wait when the queue is switched off: its memory may have a new owner", () => {
    const bench = new Bench();
    const ticket = bench.unit.dma.enter();
    bench.enableQueue();
    bench.submit(wait(0x20n));
    expect(bench.command(QIE, false) & QIE).toBe(0);
    bench.unit.dma.leave(ticket);
    expect(bench.get32(STATUS)).toBe(0);
  });

  it("leaves over what exceeds the budget when it goes on", () => {
    const bench = new Bench({}, { queueBudget: 2 });
    const ticket = bench.unit.dma.enter();
    bench.enableQueue();
    bench.submit(wait(0x20n, 1n), ...Array<[bigint, bigint]>(5).fill([0x11n, 0n]));
    bench.unit.dma.leave(ticket);
    expect(bench.get32(STATUS)).toBe(1);
    expect(bench.invalidations).toHaveLength(2);
    expect(bench.unit.pending).toBe(true);
    expect(bench.unit.run(10)).toBe(3);
  });
});
