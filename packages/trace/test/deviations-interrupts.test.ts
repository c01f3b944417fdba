import { describe, expect, it } from "vitest";
import { hex, outcome, read, reads, remapping } from "./recording.ts";

const TABLE = 0x10_0000;

/** Low and high half of an entry: vector 31h, destination 1, for the requester 00:02.0. */
const LOW = 0x0000_0100_0031_0001n;
const HIGH = 0x4_0010n;
const entry = (index: number, low = LOW, high = HIGH): object => ({
  reads: reads([[TABLE + 16 * index, low, high]]),
});
const address = (index: number, more = 0): string =>
  hex(0xfee0_0010 + ((index & 0x7fff) << 5) + ((index >> 15) << 2) + more);
const SHV = 8;

const irq = (addr: string, data: number, result: object, more: object = {}): object => ({
  e: "irq",
  sid: "0x0010",
  addr,
  data: hex(data),
  ...more,
  result,
});
const delivered = (data = 0x4031, destination = 1): object => ({
  ok: true,
  addr: hex(0xfee0_0000 + (destination << 12)),
  data: hex(data),
});
const blocked = (reason: number): object => ({ ok: false, fault: hex(reason) });
const record = (reason: number, index: number, sid = 0x10): object => ({
  frcd: [[0, hex((1n << 63n) | (BigInt(reason) << 32n) | BigInt(sid)), hex(BigInt(index) << 48n)]],
});
const logged = [read(0x34, 2), read(0x38, 0xc000_0000n)];
const clean = [read(0x34, 0)];
const EIM = { ecap: "0xf00f5a" };

describe("subhandle-wrap", () => {
  const name = "subhandle-wrap";

  it("takes handle and subhandle modulo 2^16", async () => {
    const event = irq(address(0xffff, SHV), 6, delivered(), entry(5));
    expect(await outcome([...remapping(), event, ...clean])).toBe(`clean ${name}:1`);
  });

  it("reports what is wrong with the entry there", async () => {
    const event = irq(address(0xffff, SHV), 6, blocked(0x22), {
      ...entry(5, 0n),
      ...record(0x22, 5),
    });
    expect(await outcome([...remapping(), event, ...logged])).toBe(`clean ${name}:1`);
  });

  it("accepts no other entry, and nothing beyond a smaller table", async () => {
    const other = irq(address(0xffff, SHV), 6, delivered(0x4032), entry(5));
    expect(await outcome([...remapping(), other])).toMatch(/^event 5 irq/);
    const small = irq(address(0xff, SHV), 1, delivered(), entry(0x100));
    expect(await outcome([...remapping(7), small])).toMatch(/^event 5 irq/);
  });
});

describe("request-reserved-late", () => {
  const name = "request-reserved-late";
  const event = (reason: number, low: bigint, index = 5): object =>
    irq(address(5, SHV), 0x1_0000, blocked(reason), { ...entry(5, low), ...record(reason, index) });

  it("reports what is wrong with the entry in place of the request", async () => {
    expect(await outcome([...remapping(), event(0x22, 0n), ...logged])).toBe(`clean ${name}:1`);
  });

  it("reports what only the reference finds wrong", async () => {
    const buses = irq(address(5, SHV), 0x1_0000, blocked(0x26), {
      ...entry(5, LOW, 0x8_0003n),
      ...record(0x26, 5),
    });
    expect(await outcome([...remapping(), buses, ...logged])).toBe(`clean ${name}:1`);
  });

  it("is not needed where the entry is in order", async () => {
    expect(await outcome([...remapping(), event(0x20, LOW, 0), ...logged])).toBe("clean");
  });

  it("does not accept that the request is let through, nor another reason", async () => {
    const passed = irq(address(5, SHV), 0x1_0000, delivered(), entry(5));
    expect(await outcome([...remapping(), passed])).toMatch(/^event 5 irq/);
    expect(await outcome([...remapping(), event(0x24, 0n)])).toMatch(/^event 5 irq/);
  });
});

describe("posted-format-accepted", () => {
  const name = "posted-format-accepted";
  const IM = 1n << 15n;

  it("takes the entry as one in remapped format", async () => {
    const event = irq(address(5), 0, delivered(), entry(5, LOW | IM));
    expect(await outcome([...remapping(), event, ...clean])).toBe(`clean ${name}:1`);
  });

  it("does so for an I/O APIC that the entry does not name", async () => {
    const event = { ...irq(address(5), 0, delivered(), entry(5, LOW | IM)), sid: null };
    expect(await outcome([...remapping(), event, ...clean])).toBe(`clean ${name}:1`);
  });

  it("accepts nothing else", async () => {
    const other = irq(address(5), 0, delivered(0x4032), entry(5, LOW | IM));
    expect(await outcome([...remapping(), other])).toMatch(/^event 5 irq/);
    const reserved = irq(address(5), 0, delivered(), entry(5, LOW | (1n << 24n)));
    expect(await outcome([...remapping(), reserved])).toMatch(/^event 5 irq/);
  });
});

describe("entry-fields-unchecked", () => {
  const name = "entry-fields-unchecked";

  it("delivers with a reserved delivery mode", async () => {
    const event = irq(address(5), 0, delivered(0x4331), entry(5, LOW | (3n << 5n)));
    expect(await outcome([...remapping(), event, ...clean])).toBe(`clean ${name}:1`);
  });

  it("delivers with destination bits beyond 8-bit APIC ids", async () => {
    const event = irq(address(5), 0, delivered(), entry(5, LOW | (0x1200_34n << 32n)));
    expect(await outcome([...remapping(), event, ...clean])).toBe(`clean ${name}:1`);
  });

  it("accepts no other message, and no other reserved bit", async () => {
    const mode = irq(address(5), 0, delivered(0x4631), entry(5, LOW | (3n << 5n)));
    expect(await outcome([...remapping(), mode])).toMatch(/^event 5 irq/);
    for (const bit of [12n, 24n]) {
      const event = irq(address(5), 0, delivered(), entry(5, LOW | (1n << bit)));
      expect(await outcome([...remapping(), event])).toMatch(/^event 5 irq/);
    }
    const high = irq(address(5), 0, delivered(), entry(5, LOW, HIGH | (1n << 20n)));
    expect(await outcome([...remapping(), high])).toMatch(/^event 5 irq/);
  });

  it("is not needed with 32-bit APIC ids", async () => {
    const result = { ok: true, addr: hex(0x1200_0100_fee3_4000n), data: "0x4031" };
    const events = remapping(0x80f); // EIME
    const event = irq(address(5), 0, result, entry(5, 0x1200_0134_0031_0001n));
    expect(await outcome([...events, event], EIM)).toBe("clean");
  });
});

describe("source-buses-reversed", () => {
  const name = "source-buses-reversed";
  const buses = (first: number, last: number): bigint => 0x8_0000n | BigInt((first << 8) | last);
  const from = (sid: number, result: object, high: bigint, more: object = {}): object => ({
    ...irq(address(5), 0, result, { ...entry(5, LOW, high), ...more }),
    sid: `0x${sid.toString(16).padStart(4, "0")}`,
  });

  it("blocks a requester inside the range, and lets it pass in a reversed one", async () => {
    const inside = from(0x0310, blocked(0x26), buses(2, 4), record(0x26, 5, 0x0310));
    expect(await outcome([...remapping(), inside, ...logged])).toBe(`clean ${name}:1`);
    const reversed = from(0x0310, delivered(), buses(4, 2));
    expect(await outcome([...remapping(), reversed, ...clean])).toBe(`clean ${name}:1`);
  });

  it("is not needed for a single bus, nor outside the range", async () => {
    expect(await outcome([...remapping(), from(0x0310, delivered(), buses(3, 3))])).toBe("clean");
    const outside = from(0x0510, blocked(0x26), buses(2, 4), record(0x26, 5, 0x0510));
    expect(await outcome([...remapping(), outside])).toBe("clean");
  });

  it("accepts no requester that neither order allows", async () => {
    const event = from(0x0510, delivered(), buses(2, 4));
    expect(await outcome([...remapping(), event])).toMatch(/^event 5 irq/);
  });
});

describe("entry-check-order", () => {
  const name = "entry-check-order";

  it("reports a reserved bit before the requester", async () => {
    const event = irq(address(5), 0, blocked(0x24), {
      ...entry(5, LOW | (1n << 24n), 0x4_0020n),
      ...record(0x24, 5),
    });
    expect(await outcome([...remapping(), event, ...logged])).toBe(`clean ${name}:1`);
  });

  it("reports the requester for the reserved way to verify it", async () => {
    const event = irq(address(5), 0, blocked(0x26), {
      ...entry(5, LOW, 0xc_0010n),
      ...record(0x26, 5),
    });
    expect(await outcome([...remapping(), event, ...logged])).toBe(`clean ${name}:1`);
  });

  it("accepts neither where only one of them is wrong", async () => {
    const requester = irq(address(5), 0, blocked(0x24), { ...entry(5, LOW, 0x4_0020n) });
    expect(await outcome([...remapping(), requester])).toMatch(/^event 5 irq/);
    const format = irq(address(5), 0, blocked(0x26), { ...entry(5, LOW | (1n << 24n)) });
    expect(await outcome([...remapping(), format])).toMatch(/^event 5 irq/);
  });
});

describe("ioapic-requester-unchecked", () => {
  const name = "ioapic-requester-unchecked";
  const ioapic = (result: object, low: bigint, high: bigint, more: object = {}): object => ({
    ...irq(address(5), 0, result, { ...entry(5, low, high), ...more }),
    sid: null,
  });

  it.each<[string, bigint]>([
    ["another requester", HIGH],
    ["buses", 0x8_0204n],
    ["no bus at all", 0x8_0402n],
    ["a reserved way", 0xc_0010n],
  ])("delivers by an entry for %s", async (_, high) => {
    const event = ioapic(delivered(), LOW, high);
    expect(await outcome([...remapping(), event, ...clean])).toBe(`clean ${name}:1`);
  });

  it("reports what else is wrong with such an entry", async () => {
    const event = ioapic(blocked(0x24), LOW | (1n << 24n), HIGH, record(0x24, 5, 0xffff));
    expect(await outcome([...remapping(), event, ...logged])).toBe(
      `clean ${name}:1 fault-record-no-requester:1`,
    );
  });
});

describe("interrupt faults without a deviation", () => {
  it("of an I/O APIC name no requester in the reference", async () => {
    const event = {
      ...irq(address(5), 0x31, blocked(0x22), { ...entry(5, 0n), ...record(0x22, 5, 0xffff) }),
      sid: null,
    };
    expect(await outcome([...remapping(), event, ...logged])).toBe(
      "clean fault-record-no-requester:1",
    );
  });

  it("under FPD are not recorded", async () => {
    const event = irq(address(5), 0, { ...blocked(0x22), disabled: true }, entry(5, 2n));
    expect(await outcome([...remapping(), event, ...clean])).toBe("clean");
  });
});
