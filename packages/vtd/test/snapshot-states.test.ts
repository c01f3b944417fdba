/** States that are easily lost when a machine is saved and goes on elsewhere, one by one. */
import { createAtc, createAtcRouter, createDmaPort, PageResponse } from "@viommu/memory";
import type { AnsweredGroup, Atc, DmaPort } from "@viommu/memory";
import { Access } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import type { ProfileOptions, UnitSettings } from "../src/index.ts";
import { Bench, QUEUE, ROOT, SRTP, STATUS, TE } from "./support/bench.ts";

const OPTIONS: ProfileOptions = {
  ...{ faultRecords: 2, deviceTlb: true, pageRequests: true, scalableMode: true, abortDma: true },
};
const CONTEXT = 0x21_0000n;
const DIRECTORY = 0x22_0000n;
const TABLE = 0x23_0000n;
const PAGE_QUEUE = 0x38_0000n;
const DEVICE = 0x10;
const PASID = 0x21;

/** Saves a unit and restores it into another one with the same memory. */
function moved(bench: Bench, settings: Partial<UnitSettings> = {}): Bench {
  const copy = new Bench(OPTIONS, settings);
  const bytes = 8 * 2 ** 20;
  copy.memory.view(0, 0, bytes, true)!.set(bench.memory.view(0, 0, bytes, false)!);
  copy.unit.restore(bench.unit.save());
  return copy;
}

/** A wait descriptor with status write. */
const wait = (data: bigint): [bigint, bigint] => [(data << 32n) | 0x25n, STATUS];
const BAD: [bigint, bigint] = [0xfn, 0n];

describe("a queue in error state", () => {
  it("IQE: stays on the bad descriptor, and goes on when software has mended it", () => {
    const bench = new Bench(OPTIONS);
    bench.enableQueue();
    bench.submit([0x11n, 0n], BAD, wait(7n));
    expect(bench.queueError()).toBe(3);
    const copy = moved(bench);
    expect([copy.queueError(), copy.read64(0x80), copy.unit.pending]).toEqual([3, 0x10n, false]);
    copy.write64(0x88, 0x30n);
    expect([copy.read64(0x80), copy.get32(STATUS)]).toEqual([0x10n, 0]);
    copy.put64(QUEUE + 0x10n, 0x11n, 0n);
    copy.write32(0x34, 0x10);
    expect([copy.read32(0x34), copy.get32(STATUS)]).toEqual([0, 7]);
  });

  it("ITE: the aborted wait stays aborted; the queue goes on when ITE is cleared", () => {
    const bench = new Bench(OPTIONS, { deviceTlb: { invalidate: () => "pending" } });
    bench.enableQueue();
    bench.submit([0x10_0000_0003n, 0n], wait(5n), [0x11n, 0n], wait(6n));
    bench.unit.deviceTlbTimedOut(DEVICE);
    const copy = moved(bench);
    expect([copy.read32(0x34), copy.read64(0xb0) >> 32n]).toEqual([0x40, 0x10n]);
    expect([copy.read64(0x80), copy.get32(STATUS)]).toEqual([0x20n, 0]);
    copy.write32(0x34, 0x40);
    expect([copy.read64(0x80), copy.get32(STATUS)]).toEqual([0x40n, 6]);
  });

  it("a queue that waits until a device can take one more invalidation", () => {
    const calls: number[] = [];
    const deviceTlb = {
      invalidate: (sourceId: number) => {
        calls.push(sourceId);
        return "pending" as const;
      },
    };
    const bench = new Bench(OPTIONS, { deviceTlb });
    bench.enableQueue();
    bench.submit(...Array<[bigint, bigint]>(34).fill([0x10_0000_0003n, 0n]), wait(9n));
    expect(calls).toHaveLength(32);
    const copy = moved(bench, { deviceTlb });
    copy.unit.run(10);
    expect(calls).toHaveLength(32);
    for (let i = 0; i < 33; i++) copy.unit.deviceTlbCompleted(DEVICE);
    expect([calls.length, copy.get32(STATUS)]).toEqual([34, 0]);
    copy.unit.deviceTlbCompleted(DEVICE);
    expect([copy.get32(STATUS), copy.read32(0x34)]).toEqual([9, 0]);
  });
});

describe("events", () => {
  const FECTL = 0x38;
  const IECTL = 0xa0;
  const PECTL = 0xe0;

  /** Makes the condition of an event happen. */
  const CONDITIONS: [name: string, control: number, cause: (bench: Bench) => void][] = [
    ["fault event", FECTL, (bench) => bench.dma(DEVICE, 0x1000n)],
    [
      "invalidation completion event",
      IECTL,
      (bench) => {
        bench.enableQueue(0, true);
        bench.submitWide([0x15n, 0n]);
      },
    ],
    ["page request event", PECTL, (bench) => ask(bench, 3)],
  ];

  const ask = (bench: Bench, group: number): number =>
    bench.unit.pageRequest({
      ...{ sourceId: DEVICE, pasid: PASID, hi: 0, lo: 0x5000, access: Access.READ },
      ...{ group, last: true },
    });

  it.each(CONDITIONS)(
    "masked and pending: the %s is sent once, when the mask goes",
    (_n, control, cause) => {
      const bench = scalable();
      bench.setEvent(control, 0x41);
      bench.write32(control, 0x8000_0000);
      cause(bench);
      expect(bench.read32(control)).toBe(0xc000_0000);
      const copy = moved(bench);
      expect([copy.read32(control), copy.messages]).toEqual([0xc000_0000, []]);
      copy.write32(control, 0);
      expect(copy.messages).toEqual([[0, 0xfee0_0000, 0x41]]);
      copy.write32(control, 0x8000_0000);
      copy.write32(control, 0);
      expect(copy.messages).toHaveLength(1);
    },
  );

  it.each(CONDITIONS)("sent already: the %s is not sent again", (_name, control, cause) => {
    const bench = scalable();
    bench.setEvent(control, 0x41);
    cause(bench);
    expect(bench.messages).toHaveLength(1);
    const copy = moved(bench);
    expect(copy.messages).toEqual([]);
    expect(copy.read32(control)).toBe(0);
  });

  it("masked, nothing pending: stays masked", () => {
    const copy = moved(new Bench(OPTIONS));
    expect([FECTL, IECTL, PECTL].map((control) => copy.read32(control))).toEqual(
      Array(3).fill(0x8000_0000),
    );
  });

  it("the fault log: the next record, overflow, and records that software has not read", () => {
    const bench = scalable();
    for (const sourceId of [1, 2, 3]) bench.dma(sourceId, 0x1000n);
    expect(bench.read32(0x34) & 3).toBe(3);
    const copy = moved(bench);
    expect(copy.read32(0x34)).toBe(bench.read32(0x34));
    expect([0x228, 0x238].map((at) => copy.read32(at))).toEqual([1, 2]);
    for (const at of [0x22c, 0x23c]) copy.write32(at, 0x8000_0000);
    copy.write32(0x34, 1);
    for (const sourceId of [4, 5]) copy.dma(sourceId, 0x1000n);
    expect([0x228, 0x238].map((at) => copy.read32(at))).toEqual([4, 5]);
  });
});

describe("registers that are half written", () => {
  it.each<[string, number, bigint]>([
    ["RTADDR", 0x20, 0x12_3456_7000n],
    ["IQA", 0x90, 0x12_3456_7803n],
    ["IRTA", 0xb8, 0x12_3456_7007n],
    ["PQA", 0xd0, 0x12_3456_7001n],
    ["IQT", 0x88, 0x30n],
    ["PQH", 0xc0, 0x60n],
    ["FEADDR and FEUADDR", 0x40, 0x200_fee0_1000n],
  ])("%s", (_name, offset, value) => {
    const bench = new Bench(OPTIONS);
    bench.write64(offset, 0n);
    bench.write32(offset, Number(value & 0xffff_ffffn));
    const copy = moved(bench);
    copy.write32(offset + 4, Number(value >> 32n));
    expect(copy.read64(offset)).toBe(value);
  });

  it("CCMD and IVA: the command comes with its other half", () => {
    const bench = new Bench({ ...OPTIONS, scalableMode: false, pageRequests: false });
    bench.write32(0x28, 0x10_0007); // SID 10h, DID 7
    bench.write32(0xf0, 0x5000);
    const copy = new Bench({ ...OPTIONS, scalableMode: false, pageRequests: false });
    copy.unit.restore(bench.unit.save());
    copy.write32(0x2c, 0xe000_0000 | 0);
    copy.write32(0xfc, 0xb000_0007 | 0);
    expect(copy.invalidations).toMatchObject([
      { kind: "context", granularity: "device", domainId: 7, sourceId: 0x10 },
      { kind: "iotlb", granularity: "page", domainId: 7, lo: 0x5000 },
    ]);
  });

  it("a pointer that is written, and not latched yet", () => {
    const bench = scalable();
    bench.write64(0x20, 0xc00n);
    const copy = moved(bench);
    expect(copy.dma(DEVICE, 0x1000n)).toBe(0x59);
    copy.command(SRTP);
    expect(copy.dma(DEVICE, 0x1000n)).toBe(0x33);
  });
});

describe("page requests in flight", () => {
  /** A unit, a device with a translation cache behind it, and what it was answered. */
  function withDevice(): { bench: Bench; atc: Atc; port: DmaPort; answered: AnsweredGroup[] } {
    const router = createAtcRouter();
    const bench = scalable({ deviceTlb: router, pageResponses: router });
    return { bench, ...deviceOf(bench, router) };
  }

  function deviceOf(bench: Bench, router: ReturnType<typeof createAtcRouter>) {
    const answered: AnsweredGroup[] = [];
    const atc = createAtc({
      remapper: bench.unit.dma,
      agent: bench.unit,
      pageRequests: { answered: (group) => answered.push(group) },
    });
    router.attach(DEVICE, atc);
    const { memory } = bench;
    const port = createDmaPort({ memory, remapper: atc, sourceId: DEVICE, pasid: PASID });
    return { atc, port, answered };
  }

  it("in the queue: software finds them, answers, and the device goes on; nothing is doubled", () => {
    const { bench, atc, port, answered } = withDevice();
    bench.enableQueue(0, true);
    for (const page of [0x5000, 0x6000]) port.read(page, new Uint8Array(4));
    expect(bench.read64(0xc8)).toBe(0x40n);

    const router = createAtcRouter();
    const copy = moved(bench, { deviceTlb: router, pageResponses: router });
    const device = deviceOf(copy, router);
    device.atc.restore(atc.save());
    device.atc.settle();
    expect([copy.read64(0xc8), copy.read32(0xdc)]).toEqual([0x40n, 1]);
    expect(copy.get64(PAGE_QUEUE + 0x28n)).toBe(0x600dn);
    // the page is not there yet, and not asked for again
    device.port.read(0x6000, new Uint8Array(4));
    expect(copy.read64(0xc8)).toBe(0x40n);

    copy.submitWide([0x21_0010_0019n, 0n], [0x21_0010_0019n, 8n]);
    expect(device.answered.map(({ group, code }) => [group, code])).toEqual([
      [0, PageResponse.SUCCESS],
      [1, PageResponse.SUCCESS],
    ]);
    expect([answered, device.atc.pending]).toEqual([[], { invalidations: 0, groups: 0 }]);
  });

  it("an overflow that software has not serviced: everything is dropped until it has", () => {
    const { bench, port } = withDevice();
    bench.write64(0xc0, 0x20n); // full: the tail is one behind the head
    port.read(0x5000, new Uint8Array(4));
    expect(bench.read32(0xdc)).toBe(2);
    const router = createAtcRouter();
    const copy = moved(bench, { deviceTlb: router, pageResponses: router });
    const device = deviceOf(copy, router);
    copy.write64(0xc0, 0n);
    device.port.read(0x5000, new Uint8Array(4));
    expect([copy.read32(0xdc), copy.read64(0xc8), device.answered.length]).toEqual([2, 0n, 1]);
    copy.write32(0xdc, 2);
    device.port.read(0x5000, new Uint8Array(4));
    expect([copy.read32(0xdc), copy.read64(0xc8), device.answered.length]).toEqual([1, 0x20n, 1]);
  });

  it("an invalidation that a transfer held up is completed where the transfer is no more", () => {
    const { bench, atc } = withDevice();
    bench.enableQueue(0, true);
    const ticket = atc.enter();
    bench.submitWide([0x21_0010_0008n, 0x7fff_ffff_ffff_f800n], wait(3n));
    const saved = atc.save();

    const router = createAtcRouter();
    const copy = moved(bench, { deviceTlb: router, pageResponses: router });
    const device = deviceOf(copy, router);
    device.atc.restore(saved);
    copy.unit.run(10);
    expect(copy.get32(STATUS)).toBe(0);
    device.atc.settle();
    expect([copy.get32(STATUS), copy.read32(0x34)]).toEqual([3, 0]);
    atc.leave(ticket);
    expect(bench.get32(STATUS)).toBe(3);
  });
});

/** Scalable mode with page requests; the PASID table entries of PASIDs 0 and 21h have no pages. */
function scalable(settings: Partial<UnitSettings> = {}): Bench {
  const bench = new Bench(OPTIONS, settings);
  bench.put64(ROOT, CONTEXT | 1n, 0n);
  bench.put64(CONTEXT + BigInt(DEVICE) * 32n, DIRECTORY | 0xe1dn, 0n);
  bench.put64(DIRECTORY, TABLE | 1n);
  bench.put64(TABLE + BigInt(PASID) * 64n, 0x49n, 5n, 0x44_4000n);
  bench.write64(0xd0, PAGE_QUEUE);
  bench.setRoot(0x400n);
  bench.command(TE);
  return bench;
}
