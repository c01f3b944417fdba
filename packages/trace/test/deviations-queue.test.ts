import { describe, expect, it } from "vitest";
import { hex, outcome, read, reads, write } from "./recording.ts";
import type { Reads } from "./recording.ts";

const FSTS = 0x34;
const FECTL = 0x38;
const IQH = 0x80;
const IQT = 0x88;
const IQA = 0x90;
const ICS = 0x9c;
const IECTL = 0xa0;
const GCMD = 0x18;
const QIE = 0x0400_0000;
const QUEUE = 0x8000;

const WRONG = 0xf;
const GLOBAL = 0x11;
/** A wait descriptor that writes `data` to `address`. */
const wait = (data: number): bigint => (BigInt(data) << 32n) | 0x25n;
const status = (address: number, data: number): object => ({
  writes: [[hex(address), `0${data}000000`]],
});
const descriptors = (...list: readonly (readonly [number, bigint | number, number])[]): Reads =>
  list.map(([index, low, high]) => [QUEUE + 16 * index, low, high]);

const enabled = [{ e: "reset" }, write(IQA, QUEUE, 8), write(GCMD, QIE)];
/** The queue stops at its first descriptor; a wait descriptor is behind that. */
const stopped = [
  ...enabled,
  { ...write(IQT, 0x20), reads: reads(descriptors([0, WRONG, 0])) },
  read(FSTS, 0x10),
  read(FECTL, 0xc000_0000n),
  read(IQH, 0, 8),
];

describe("queue-error-record-absent", () => {
  const name = "queue-error-record-absent";
  const IQERCD = 0xb0;

  it("accepts that IQERCD says nothing", async () => {
    expect(await outcome([...stopped, read(IQERCD, 0, 8)])).toBe(`clean ${name}:1`);
    expect(await outcome([...stopped, read(IQERCD, 0x1234, 8)])).toMatch(/^event 8 mmioRead/);
  });

  it("goes on when the tail is written, not when IQE is cleared", async () => {
    const tail = {
      ...write(IQT, 0x30),
      reads: reads(descriptors([0, GLOBAL, 0], [1, wait(1), 0x9000], [2, wait(2), 0x9004])),
      writes: [
        ["0x9000", "01000000"],
        ["0x9004", "02000000"],
      ],
    };
    const events = [
      ...stopped,
      write(FSTS, 0x10),
      read(FSTS, 0),
      read(IQH, 0, 8),
      read(IQT, 0x20, 8),
      tail,
      read(IQH, 0x30, 8),
      read(IQT, 0x30, 8),
    ];
    expect(await outcome(events)).toBe(`clean ${name}:2`);
  });

  it("is the same when the tail is written again as it was", async () => {
    const tail = {
      ...write(IQT, 0x20),
      reads: reads(descriptors([0, GLOBAL, 0], [1, wait(1), 0x9000])),
      ...status(0x9000, 1),
    };
    expect(await outcome([...stopped, write(FSTS, 0x10), tail])).toBe(`clean ${name}:1`);
  });

  it("accepts no other tail, no missing status write, and holds nothing without an error", async () => {
    const other = [...stopped, write(FSTS, 0x10), read(IQT, 0x30, 8)];
    expect(await outcome(other)).toMatch(/^event 9 mmioRead/);
    const tail = {
      ...write(IQT, 0x20),
      reads: reads(descriptors([0, GLOBAL, 0], [1, wait(1), 0x9000])),
    };
    const missing = [...stopped, write(FSTS, 0x10), tail];
    expect(await outcome(missing)).toMatch(/^event 9 memWrite/);
    expect(await outcome([...enabled, write(FSTS, 0x10), { ...tail, ...status(0x9000, 1) }])).toBe(
      "clean",
    );
  });

  it("ends with a reset", async () => {
    const tail = {
      ...write(IQT, 0x20),
      reads: reads(descriptors([0, GLOBAL, 0], [1, wait(1), 0x9000])),
      ...status(0x9000, 1),
    };
    const events = [...stopped, write(FSTS, 0x10), ...enabled, read(IQT, 0, 8), tail];
    expect(await outcome(events)).toBe("clean");
  });
});

describe("queue-address-latched", () => {
  const name = "queue-address-latched";

  it("accepts the base of the queue that was enabled last, or none", async () => {
    const before = [{ e: "reset" }, write(IQA, QUEUE | 1, 8), read(IQA, 1, 8)];
    expect(await outcome([...before, write(GCMD, QIE), read(IQA, QUEUE | 1, 8)])).toBe(
      `clean ${name}:1`,
    );
    const later = [...enabled, write(IQA, 0xa000, 8), read(IQA, QUEUE, 4)];
    expect(await outcome(later)).toBe(`clean ${name}:1`);
  });

  it("accepts no other base, and no other bit", async () => {
    const written = [{ e: "reset" }, write(IQA, QUEUE | 1, 8)];
    expect(await outcome([...written, read(IQA, 0xa001, 8)])).toMatch(/^event 3 mmioRead/);
    expect(await outcome([...written, read(IQA, 0, 8)])).toMatch(/^event 3 mmioRead/);
  });
});

describe("gcmd-ignored-bits", () => {
  const CFI = 0x0080_0000;

  it("accepts that CFIS stays clear, and nothing else of GSTS", async () => {
    const set = [{ e: "reset" }, write(GCMD, CFI)];
    expect(await outcome([...set, read(0x1c, 0)])).toBe("clean gcmd-ignored-bits:1");
    expect(await outcome([...set, read(0x1c, QIE)])).toMatch(/^event 3 mmioRead/);
    expect(await outcome([...enabled, read(0x1c, 0)])).toMatch(/^event 4 mmioRead/);
  });
});

describe("queue without a deviation", () => {
  it("sends completion interrupts, and holds them back while they are masked", async () => {
    const IF = 0x15;
    const events = [
      ...enabled,
      write(0xa4, 0x33),
      write(0xa8, 0xfee0_1000n),
      { ...write(IQT, 0x10), reads: reads(descriptors([0, IF, 0])) },
      read(ICS, 1),
      read(IECTL, 0xc000_0000n),
      { ...write(IECTL, 0), msi: [["0xfee01000", "0x33"]] },
      read(IECTL, 0),
      { ...write(IQT, 0x20), reads: reads(descriptors([1, IF, 0])) },
      write(ICS, 1),
      {
        ...write(IQT, 0x30),
        reads: reads(descriptors([2, IF, 0])),
        msi: [["0xfee01000", "0x33"]],
      },
    ];
    expect(await outcome(events)).toBe("clean");
  });

  it("takes a tail that was written before the queue is enabled", async () => {
    const events = [
      { e: "reset" },
      write(IQA, QUEUE, 8),
      write(IQT, 0x10),
      {
        ...write(GCMD, QIE),
        reads: reads(descriptors([0, wait(1), 0x9000])),
        ...status(0x9000, 1),
      },
      read(IQH, 0x10, 8),
    ];
    expect(await outcome(events)).toBe("clean");
  });

  it("stops at a tail outside the queue", async () => {
    expect(await outcome([...enabled, write(IQT, 0x2000), read(FSTS, 0x10), read(IQH, 0, 8)])).toBe(
      "clean",
    );
  });
});
