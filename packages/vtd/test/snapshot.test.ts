import { encodeRecord } from "@viommu/plugin";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ProfileOptions } from "../src/index.ts";
import { Bench, IRE, QIE, QUEUE, ROOT, SRTP, STATUS, TE } from "./support/bench.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_251_122);

const OPTIONS: ProfileOptions = {
  faultRecords: 3,
  deviceTlb: true,
  abortDma: true,
  protectedMemory: true,
};

/** A bench with the state of another one, in memory of the same content. */
const copyOf = (bench: Bench): Bench => {
  const copy = new Bench(OPTIONS, { queueBudget: 4 });
  const page = new Uint8Array(4096);
  for (const address of [QUEUE, ROOT, STATUS]) {
    bench.memory.readBytes(0, Number(address), page);
    copy.memory.writeBytes(0, Number(address), page);
  }
  copy.unit.restore(bench.unit.save());
  copy.modes.length = 0;
  return copy;
};

/** A record in a form that compares fast. */
const stateOf = (bench: Bench): string => Buffer.from(bench.unit.save()).toString("hex");

type Operation = (bench: Bench) => unknown;

const command = fc
  .constantFrom(TE, SRTP, QIE, IRE, 0x0100_0000, 0x0080_0000)
  .map((bit): Operation => (bench) => {
    bench.write32(0x18, (bench.read32(0x1c) & 0x96ff_ffff) ^ bit);
  });
const register = fc
  .tuple(
    fc.constantFrom(
      0x20,
      0x24,
      0x28,
      0x2c,
      0x34,
      0x38,
      0x3c,
      0x40,
      0x44,
      0x64,
      0x68,
      0x6c,
      0x70,
      0x78,
      0x90,
      0x9c,
      0xa0,
      0xa4,
      0xa8,
      0xb8,
      0xf0,
      0xf8,
      0xfc,
      0x22c,
      0x23c,
      0x24c,
    ),
    fc.oneof(
      fc.constantFrom(0, -1, 0x8000_0000, Number(QUEUE), Number(QUEUE) | 0x801, Number(ROOT)),
      fc.integer(),
    ),
  )
  .map(([offset, value]): Operation => (bench) => {
    bench.write32(offset, value);
  });
const tail = fc.nat({ max: 300 }).map((slot): Operation => (bench) => {
  bench.write64(0x88, BigInt(slot * 16));
});
const descriptor = fc
  .tuple(
    fc.nat({ max: 63 }),
    fc.constantFrom(0x11n, 0x12n, 0x4n, 0x15n, 0x2_0000_0025n, 0x32n, 0x10_0000_0003n, 0xfn),
    fc.constantFrom(0n, STATUS, 0x1000n),
  )
  .map(([slot, low, high]): Operation => (bench) => {
    bench.put64(QUEUE + BigInt(slot * 16), low, high);
  });
const device = fc.tuple(fc.nat({ max: 7 }), fc.nat({ max: 3 }), fc.boolean()).map(
  ([sourceId, access, interrupts]): Operation =>
    (bench) =>
      interrupts
        ? bench.interrupt(sourceId, 0xfee0_0010 + 32 * access)
        : bench.dma(sourceId, 0x3000n, access),
);
const run = fc.nat({ max: 9 }).map(
  (budget): Operation =>
    (bench) =>
      bench.unit.run(budget),
);
const operations = fc.array(fc.oneof(command, register, tail, descriptor, device, run), {
  maxLength: 60,
});

describe("save and restore", () => {
  it("goes on exactly as the unit that was saved, from any point", () => {
    fc.assert(
      fc.property(operations, operations, (before, after) => {
        const bench = new Bench(OPTIONS, { queueBudget: 4 });
        for (const operation of before) operation(bench);
        const copy = copyOf(bench);
        expect(stateOf(copy)).toBe(stateOf(bench));
        const [messages, invalidations] = [bench.messages.length, bench.invalidations.length];
        const modes = bench.modes.length;
        for (const operation of after) expect(operation(copy)).toEqual(operation(bench));
        expect(stateOf(copy)).toBe(stateOf(bench));
        expect(copy.messages).toEqual(bench.messages.slice(messages));
        expect(copy.invalidations).toEqual(bench.invalidations.slice(invalidations));
        expect(copy.modes).toEqual(bench.modes.slice(modes));
        expect(copy.get64(STATUS)).toBe(bench.get64(STATUS));
      }),
      { seed, numRuns: 200 },
    );
  });

  it("keeps the pointers in effect, not what the registers say since", () => {
    const bench = new Bench(OPTIONS);
    bench.setRoot();
    bench.setInterruptTable(7n);
    bench.command(TE);
    bench.command(IRE);
    bench.write64(0x20, 0xc00n);
    bench.write64(0xb8, 0x80fn);
    const copy = copyOf(bench);
    expect(copy.read64(0x20)).toBe(0xc00n);
    expect(copy.dma(0x10, 0n)).toBe(1);
    expect(copy.interrupt(0x10, 0xfee0_0010)).toBe(0x22);
    expect(copy.interrupt(0x18, 0xfee0_2010)).toBe(0x21);
  });

  it("keeps the rest of a long queue as pending work", () => {
    const bench = new Bench(OPTIONS, { queueBudget: 4 });
    bench.enableQueue();
    bench.submit(...Array<[bigint, bigint]>(9).fill([0x11n, 0n]), [0x7_0000_0025n, STATUS]);
    const pending: string[] = [];
    const copy = new Bench(OPTIONS, { queueBudget: 4 });
    copy.hooks.workPending = (unit) => pending.push(unit);
    copy.put64(QUEUE + 9n * 16n, 0x7_0000_0025n, STATUS);
    for (let slot = 4n; slot < 9n; slot++) copy.put64(QUEUE + slot * 16n, 0x11n, 0n);
    copy.unit.restore(bench.unit.save());
    expect(pending).toEqual(["dmar0"]);
    expect(copy.unit.run(100)).toBe(6);
    expect(copy.get32(STATUS)).toBe(7);
  });

  it("keeps a wait that is not complete, and completes it as pending work", () => {
    const bench = new Bench(OPTIONS);
    bench.unit.dma.enter();
    bench.enableQueue();
    bench.submit([0x5_0000_0035n, STATUS]);
    const copy = copyOf(bench);
    expect(copy.get32(STATUS)).toBe(0);
    expect(copy.unit.pending).toBe(true);
    copy.unit.run(1);
    expect(copy.get32(STATUS)).toBe(5);
    expect(copy.read32(0x9c)).toBe(1);
  });

  it("keeps a wait for a device, which the device of the copy completes", () => {
    const settings = { deviceTlb: { invalidate: () => "pending" as const } };
    const bench = new Bench(OPTIONS, settings);
    bench.enableQueue();
    bench.submit([0x10_0000_0003n, 0n], [0x10_0000_0003n, 0n], [0x5_0000_0025n, STATUS]);
    const copy = copyOf(bench);
    expect(copy.unit.pending).toBe(false);
    copy.unit.deviceTlbCompleted(0x10);
    expect(copy.get32(STATUS)).toBe(0);
    copy.unit.deviceTlbCompleted(0x10);
    expect(copy.get32(STATUS)).toBe(5);
  });

  it("completes commands that waited for accesses in flight, which the copy has not", () => {
    const bench = new Bench(OPTIONS);
    bench.unit.dma.enter();
    bench.write64(0x28, 0xa000_0000_0000_0000n);
    bench.write64(0xf8, 0x9000_0000_0000_0000n);
    bench.write32(0x64, 0x8000_0000);
    bench.command(TE);
    expect(bench.read32(0x1c)).toBe(0);
    const copy = copyOf(bench);
    expect([copy.read32(0x2c) >>> 31, copy.read32(0xfc) >>> 31]).toEqual([0, 0]);
    expect([copy.read32(0x64), copy.read32(0x1c)]).toEqual([0x8000_0001, TE]);
  });

  it("waits for the accesses in flight where it is restored", () => {
    const bench = new Bench(OPTIONS);
    bench.unit.dma.enter();
    bench.write64(0xf8, 0x9000_0000_0000_0000n);
    const copy = new Bench(OPTIONS);
    const ticket = copy.unit.dma.enter();
    copy.unit.restore(bench.unit.save());
    expect(copy.read32(0xfc) >>> 31).toBe(1);
    copy.write64(0xf8, 0n);
    expect(copy.read32(0xfc) >>> 31).toBe(1);
    copy.unit.dma.leave(ticket);
    expect(copy.read32(0xfc) >>> 31).toBe(0);
  });

  it("protects memory again", () => {
    const bench = new Bench(OPTIONS);
    bench.write32(0x6c, 0x0010_0000);
    bench.write32(0x64, 0x8000_0000);
    const copy = copyOf(bench);
    expect(copy.dma(0x10, 0x1000n)).toBe(-1);
    copy.write32(0x6c, 0);
    expect(copy.read32(0x6c)).toBe(0x0010_0000);
  });

  it("drops caches, tells observers, and does not touch memory", () => {
    const bench = new Bench(OPTIONS);
    bench.setRoot();
    bench.command(TE);
    const copy = copyOf(bench);
    copy.unit.restore(bench.unit.save());
    expect(copy.modes).toEqual([
      {
        translation: true,
        remapping: false,
        rootTable: [0x20_0000, 0],
        interruptTable: [0, 0],
        cause: "restore",
      },
    ]);
    expect(copy.get64(STATUS)).toBe(0n);
  });
});

describe("refusals", () => {
  it("refuses a unit of another shape, with both shapes in the reason", () => {
    const bench = new Bench(OPTIONS);
    const other = new Bench({ ...OPTIONS, faultRecords: 4 });
    const before = other.unit.save();
    expect(() => {
      other.unit.restore(bench.unit.save());
    }).toThrow(/record fits ver=10 cap=[0-9a-f]+ ecap=[0-9a-f]+ haw=48/);
    expect(other.unit.save()).toEqual(before);
  });

  it("names every capability that differs", () => {
    const bench = new Bench(OPTIONS);
    const other = new Bench({ ...OPTIONS, faultRecords: 4, eim: false, hostAddressWidth: 46 });
    expect(() => {
      other.unit.check(bench.unit.save());
    }).toThrow(/ \(NFR 2 instead of 3, EIM 1 instead of 0, host address width 48 instead of 46\)/);
    const shape = "ver=10";
    const record = encodeRecord({ id: "dmar0", version: 1, shape }, new Int32Array(10));
    expect(() => {
      bench.unit.check(record);
    }).toThrow("it is no shape of a unit");
  });

  it("refuses a unit of another name, and damage", () => {
    const bench = new Bench(OPTIONS);
    const record = bench.unit.save();
    const other = new Bench(OPTIONS, { name: "dmar1" });
    expect(() => {
      other.unit.restore(record);
    }).toThrow("dmar0");
    record[record.length - 1]! ^= 1;
    expect(() => {
      bench.unit.restore(record);
    }).toThrow("checksum");
  });

  it("refuses a payload that is no state", () => {
    const bench = new Bench(OPTIONS);
    const { version, cap, ecap, hostAddressWidth } = bench.unit.profile;
    const shape = `ver=${version.toString(16)} cap=${cap.toString(16)} ecap=${ecap.toString(16)} haw=${hostAddressWidth}`;
    const record = encodeRecord({ id: "dmar0", version: 1, shape }, new Int32Array(10));
    expect(() => {
      bench.unit.restore(record);
    }).toThrow(/ERR_VIOMMU_SNAPSHOT|10 words are no state/);
  });
});
