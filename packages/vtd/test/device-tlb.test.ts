import { describe, expect, it } from "vitest";
import { ALL_PASIDS } from "@viommu/plugin";
import type { DeviceTlbSink } from "../src/index.ts";
import { Bench, STATUS } from "./support/bench.ts";

type Answer = ReturnType<DeviceTlbSink["invalidate"]>;
type Call = [sourceId: number, pasid: number, hi: number, lo: number, order: number];

const ALL: [bigint, bigint] = [0x10_0000_0003n, 0x7fff_ffff_ffff_f001n];
const wait = (data: bigint): [bigint, bigint] => [(data << 32n) | 0x25n, STATUS];

const withDevices = (answer: (call: number) => Answer) => {
  const calls: Call[] = [];
  const bench = new Bench(
    { deviceTlb: true, abortDma: true },
    {
      deviceTlb: {
        invalidate: (...call) => {
          calls.push(call);
          return answer(calls.length);
        },
      },
    },
  );
  bench.enableQueue();
  return { bench, calls };
};

describe("device-TLB invalidations (VT-d 6.5.2.5, 6.5.2.6)", () => {
  it.each([
    ["one page", 0x20_0000n, 0, 0x20_0000, 0],
    ["two pages", 0x20_0001n, 0, 0x20_0000, 1],
    ["2 MiB, low bits filled", 0x2f_f001n, 0, 0x20_0000, 9],
    ["1 GiB", 0x5fff_f001n, 1, 0, 18],
    ["256 GiB behind the middle of 2^40", 0x9f_ffff_f001n, 0x200, 0, 26],
    ["everything", 0x7fff_ffff_ffff_f001n, 0, 0, 52],
    ["everything, all ones", 0xffff_ffff_ffff_f001n, 0, 0, 52],
  ])("names %s", (_name, address, hi, lo, order) => {
    const { bench, calls } = withDevices(() => "done");
    bench.submit([0x10_0000_0003n, address]);
    expect(calls).toEqual([[0x10, -1, hi, lo, order]]);
    expect(bench.invalidations).toEqual([
      { kind: "device-tlb", sourceId: 0x10, pasid: -1, hi, lo, order },
    ]);
  });

  it("names a PASID, or all of them with GI", () => {
    const calls: Call[] = [];
    const bench = new Bench(
      { deviceTlb: true, abortDma: true },
      {
        deviceTlb: {
          invalidate: (...call) => {
            calls.push(call);
            return "done";
          },
        },
      },
    );
    bench.setRoot(0xc00n);
    bench.enableQueue(0, true);
    bench.submitWide(
      [0x21_0010_0008n, 0x7fff_ffff_ffff_f800n],
      [0x21_0010_0008n, 0x2f_f800n],
      [0x21_0010_0008n, 0x1000n],
      [0x21_0010_0008n, 0x7fff_ffff_ffff_f801n],
    );
    expect(calls).toEqual([
      [0x10, 0x21, 0, 0, 52],
      [0x10, 0x21, 0, 0x20_0000, 9],
      [0x10, 0x21, 0, 0x1000, 0],
      [0x10, ALL_PASIDS, 0, 0, 52],
    ]);
  });

  it("complete at once without devices", () => {
    const bench = new Bench({ deviceTlb: true });
    bench.enableQueue();
    bench.submit(ALL, wait(2n));
    expect(bench.get32(STATUS)).toBe(2);
  });

  it("hold a wait descriptor back until every device has answered", () => {
    const { bench } = withDevices(() => "pending");
    bench.submit(ALL, [0x18_0000_0003n, 0n], wait(2n), [0x11n, 0n]);
    bench.unit.deviceTlbCompleted(0x18);
    expect(bench.get32(STATUS)).toBe(0);
    expect(bench.read64(0x80)).toBe(0x30n);
    bench.unit.deviceTlbCompleted(0x10);
    expect(bench.get32(STATUS)).toBe(2);
    expect(bench.read64(0x80)).toBe(0x40n);
  });

  it("may be completed inside the call", () => {
    const { bench } = withDevices(() => {
      bench.unit.deviceTlbCompleted(0x10);
      return "pending";
    });
    bench.submit(ALL, wait(2n));
    expect(bench.get32(STATUS)).toBe(2);
    expect(bench.read32(0x34)).toBe(0);
  });

  it("are at most 32 under way for a device; the queue goes on when one completes", () => {
    const { bench, calls } = withDevices(() => "pending");
    bench.submit(...Array<[bigint, bigint]>(40).fill(ALL), wait(2n));
    expect(calls).toHaveLength(32);
    expect(bench.read64(0x80)).toBe(0x200n);
    expect(bench.unit.pending).toBe(false);
    bench.unit.deviceTlbCompleted(0x10);
    expect(calls).toHaveLength(33);
    for (let i = 0; i < 39; i++) bench.unit.deviceTlbCompleted(0x10);
    expect(calls).toHaveLength(40);
    expect(bench.get32(STATUS)).toBe(2);
  });
});

describe("errors (VT-d 6.5.2.11)", () => {
  it("ITE: a time-out aborts the pending wait; the queue goes on when ITE is cleared", () => {
    const { bench } = withDevices(() => "pending");
    bench.setEvent(0x38, 0x21);
    bench.submit(ALL, [0x2_0000_0025n, STATUS + 8n], [0x11n, 0n], wait(3n));
    bench.unit.deviceTlbTimedOut(0x10);
    expect(bench.read32(0x34)).toBe(0x40);
    expect(bench.read64(0xb0)).toBe(0x0000_0010_0000_0000n);
    expect(bench.messages).toHaveLength(1);
    expect(bench.read64(0x80)).toBe(0x20n);
    expect(bench.get32(STATUS)).toBe(0);
    // a new tail fetches nothing
    bench.submit([0x11n, 0n]);
    expect(bench.read64(0x80)).toBe(0x20n);
    bench.write32(0x34, 0x40);
    expect([bench.get32(STATUS), bench.get32(STATUS + 8n)]).toEqual([3, 0]);
    expect(bench.read64(0x80)).toBe(0x50n);
  });

  it("ITE: a time-out inside the call stops the queue behind the descriptor", () => {
    const { bench } = withDevices((call) => (call === 1 ? "timeout" : "done"));
    bench.submit(ALL, wait(2n));
    expect(bench.read32(0x34)).toBe(0x40);
    expect(bench.read64(0x80)).toBe(0x10n);
    bench.write32(0x34, 0x40);
    expect(bench.get32(STATUS)).toBe(2);
  });

  it("ITE: names the first of several, and completions of others count", () => {
    const { bench } = withDevices(() => "pending");
    bench.submit(ALL, [0x18_0000_0003n, 0n], [0x20_0000_0003n, 0n], wait(2n));
    bench.unit.deviceTlbTimedOut(0x18);
    bench.unit.deviceTlbTimedOut(0x10);
    expect(bench.read64(0xb0) >> 32n).toBe(0x18n);
    bench.unit.deviceTlbCompleted(0x20);
    bench.write32(0x34, 0x40);
    bench.submit(wait(5n));
    expect(bench.get32(STATUS)).toBe(5);
  });

  it("ICE: a completion that nobody waits for; the queue goes on", () => {
    const { bench } = withDevices(() => "done");
    bench.setEvent(0x38, 0x21);
    bench.unit.deviceTlbCompleted(0x1234);
    bench.unit.deviceTlbCompleted(0x4321);
    expect(bench.read32(0x34)).toBe(0x20);
    expect(bench.read64(0xb0)).toBe(0x1234_0000_0000_0000n);
    expect(bench.messages).toHaveLength(1);
    bench.submit(ALL, wait(2n));
    expect(bench.get32(STATUS)).toBe(2);
    bench.write32(0x34, 0x20);
    expect(bench.read32(0x34)).toBe(0);
  });

  it("a time-out of what is not pending is nothing, and nothing happens without DT", () => {
    const { bench } = withDevices(() => "done");
    bench.unit.deviceTlbTimedOut(0x10);
    expect(bench.read32(0x34)).toBe(0);
    const plain = new Bench();
    plain.unit.deviceTlbCompleted(0x10);
    plain.unit.deviceTlbTimedOut(0x10);
    expect(plain.read32(0x34)).toBe(0);
  });
});
