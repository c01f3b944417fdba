import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createMemory } from "@viommu/memory";
import { createHookTable, hiFromNumber, InterruptRequest, loFromNumber } from "@viommu/plugin";
import { decodeCapabilities } from "@viommu/vtd-spec";
import { InterruptRemappingEngine } from "@viommu/interrupt-remapping";
import { answer } from "./oracle.ts";
import type { Answer, Machine, Message } from "./oracle.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20251122);
const CASES = 100_000;
const GIB = 2 ** 30;

/** Memory with a fast view, across a chunk border, without view, and read-only; holes between. */
const REGIONS = [
  { base: 0, size: 0x8000 },
  { base: GIB - 0x2000, size: 0x4000 },
  { base: 2 * GIB + 0x4000, size: 0x2000, readOnly: true },
  { base: 2 ** 36 - 0x2000, size: 0x4000 },
];

const TABLES = [0x1000, 0x4000, GIB - 0x1000, 2 * GIB + 0x4000, 2 ** 36 - 0x2000, 5 * GIB, 2 ** 47];

const DESCRIPTORS = [0x40, 0x7fc0, GIB + 0x1000, 2 * GIB + 0x5000, 2 ** 36 - 64, 7 * GIB, 2 ** 51];

const rarely = (bits: number): fc.Arbitrary<number> =>
  fc.oneof(
    { arbitrary: fc.constant(-1), weight: 5 },
    { arbitrary: fc.integer({ min: 0, max: bits - 1 }), weight: 1 },
  );
const mostly = fc.integer({ min: 0, max: 9 }).map((n) => n < 9);
const byte = fc.nat(255);
const word = fc.nat(0xffff_ffff);
const bit = fc.nat(1);

/** A destination field: such as EIME = 0 allows, or any. */
const destination = fc.oneof(
  byte.map((id) => id << 8),
  word,
);

const someCase = fc.record({
  machine: fc.record({
    posting: fc.boolean(),
    extendedRequired: fc.boolean(),
    remappingRequired: fc.boolean(),
    hostAddressWidth: fc.constantFrom(36, 39, 52),
    shared: fc.boolean(),
    enabled: mostly,
    compatibility: fc.boolean(),
    extended: fc.boolean(),
    table: fc.constantFrom(...TABLES),
    sizeLog2: fc.oneof(fc.integer({ min: 1, max: 16 }), fc.constant(16)),
  }),
  request: fc.record({
    upper: mostly.map((none) => (none ? 0 : 0x8000_0001)),
    prefix: mostly.map((fee) => (fee ? 0xfee : 0xfed)),
    handle: fc.oneof(fc.nat(0x1ff), fc.nat(0xffff)),
    remappable: mostly,
    subhandleValid: fc.boolean(),
    low: fc.nat(3),
    data: fc.oneof(fc.nat(7), fc.nat(0xffff), word),
    sourceId: fc.nat(0xffff),
  }),
  entry: fc.record({
    present: mostly,
    flags: fc.nat(0xf), // FPD, DM, RH, TM
    mode: fc.nat(7),
    available: fc.nat(15),
    urgent: bit,
    posted: bit,
    vector: byte,
    destination,
    descriptor: fc.constantFrom(...DESCRIPTORS),
    validation: fc.nat(3),
    qualifier: fc.nat(3),
    /** SID is the requester with these bits changed. */
    sidChange: fc.oneof(fc.constant(0), fc.constantFrom(1, 2, 4, 8, 0x100), fc.nat(0xffff)),
    wrongBit: rarely(128),
  }),
  descriptor: fc.record({
    requests: fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }),
    control: fc.nat(3), // ON, SN
    vector: byte,
    destination,
    wrongBit: rarely(512),
  }),
});

type Case = typeof someCase extends fc.Arbitrary<infer T> ? T : never;

const flip = (value: bigint, at: number): bigint => (at < 0 ? value : value ^ (1n << BigInt(at)));

function entryOf({ entry, request }: Case): bigint {
  const { posted, descriptor } = entry;
  const place = BigInt(descriptor);
  const low =
    BigInt(entry.present) |
    (BigInt(posted === 1 ? entry.flags & 1 : entry.flags) << 1n) |
    (BigInt(posted === 1 ? 0 : entry.mode) << 5n) |
    (BigInt(entry.available) << 8n) |
    (BigInt(posted & entry.urgent) << 14n) |
    (BigInt(posted) << 15n) |
    (BigInt(entry.vector) << 16n) |
    (posted === 1 ? (place & 0xffff_ffc0n) << 32n : BigInt(entry.destination) << 32n);
  const high =
    BigInt(request.sourceId ^ entry.sidChange) |
    (BigInt(entry.qualifier) << 16n) |
    (BigInt(entry.validation) << 18n) |
    (posted === 1 ? (place >> 32n) << 32n : 0n);
  return flip(low | (high << 64n), entry.wrongBit);
}

function descriptorOf({ descriptor }: Case): bigint {
  const control =
    BigInt(descriptor.control) |
    (BigInt(descriptor.vector) << 16n) |
    (BigInt(descriptor.destination) << 32n);
  return flip(descriptor.requests | (control << 256n), descriptor.wrongBit);
}

function addressOf({ request: r }: Case): number {
  const fields = (r.handle & 0x7fff) * 32 + (r.handle >>> 15) * 4 + r.low;
  const format = (r.remappable ? 16 : 0) + (r.subhandleValid ? 8 : 0);
  return r.prefix * 0x100000 + fields + format;
}

/** Guest memory, with the bytes behind it for the oracle. */
function createBytes(shared: boolean) {
  const regions = REGIONS.map((region) => {
    const buffer = shared ? new SharedArrayBuffer(region.size) : new ArrayBuffer(region.size);
    return { ...region, buffer, bytes: new Uint8Array(buffer) };
  });
  const find = (address: number) =>
    regions.find(({ base, size }) => address >= base && address < base + size);
  return {
    memory: createMemory({ regions }),
    writable: (address: bigint) => find(Number(address))?.readOnly !== true,
    read: (address: bigint, count: number): bigint | null => {
      let value = 0n;
      for (let at = Number(address) + count - 4; at >= Number(address); at -= 4) {
        const region = find(at); // aligned words lie in one region
        if (region === undefined) return null;
        const offset = at - region.base;
        const bytes = [3, 2, 1, 0].map((i) => region.bytes[offset + i]!);
        value = (value << 32n) | BigInt(bytes.reduce((sum, byte) => sum * 256 + byte, 0));
      }
      return value;
    },
    /** What is no memory is left out. */
    write: (address: number, count: number, value: bigint): void => {
      let left = value;
      for (let at = address; at < address + count; at += 4) {
        const region = find(at);
        const word = Number(left & 0xffff_ffffn);
        left >>= 32n;
        if (region === undefined) continue;
        for (let i = 0; i < 4; i += 1)
          region.bytes[at - region.base + i] = (word >>> (8 * i)) & 255;
      }
    },
  };
}

const both = { alone: createBytes(false), shared: createBytes(true) };
const faults: Answer[] = [];
const events: Message[] = [];
const engines = new Map<string, InterruptRemappingEngine>();

/** The engine of a machine; one for all cases with the same capabilities and memory. */
function engineOf(m: Case["machine"]): InterruptRemappingEngine {
  const { posting, extendedRequired, remappingRequired, hostAddressWidth, shared } = m;
  const key = [posting, extendedRequired, remappingRequired, hostAddressWidth, shared].join();
  let engine = engines.get(key);
  if (engine === undefined) {
    engine = new InterruptRemappingEngine({
      memory: (shared ? both.shared : both.alone).memory,
      capabilities: {
        ...decodeCapabilities(0n, 0n),
        PI: Number(posting),
        EIMER: Number(extendedRequired),
        IRREQ: Number(remappingRequired),
      },
      hostAddressWidth,
      segment: 0,
      unit: "unit0",
      hooks: createHookTable(),
      reporter: {
        interruptFault: (reason, { suppressed }, index) => {
          faults.push({ kind: "fault", reason, index, fpd: suppressed });
        },
      },
      sink: { deliver: (...words) => events.push(unsigned(words)) },
    });
    engines.set(key, engine);
  }
  engine.reset();
  engine.setEnabled(m.enabled);
  engine.setCompatibility(m.compatibility);
  engine.latchTable(hiFromNumber(m.table), loFromNumber(m.table), m.sizeLog2, m.extended);
  return engine;
}

interface Played {
  readonly expected: Answer;
  readonly answered: Answer;
  /** The answer of `probe`, and what was in the descriptor then. */
  readonly probed: Answer;
  readonly before: bigint;
  /** One report or notification at most, and none by `probe`. */
  readonly reportedOnce: boolean;
}

/** As `expect(a).toEqual(b)`, but quick when they are. */
function expectSame(a: Answer, b: Answer): void {
  if (Object.entries(a).join() !== Object.entries(b).join()) expect(a).toEqual(b);
}

/** What the oracle and the engine say to a case, in the words of the oracle. */
function play(each: Case): Played {
  const { machine: m, request: r } = each;
  const bytes = m.shared ? both.shared : both.alone;
  const address = addressOf(each);
  const { data, sourceId, upper } = r;
  const place = m.table + (r.handle + (r.subhandleValid ? data & 0xffff : 0)) * 16;
  bytes.write(each.entry.descriptor, 64, descriptorOf(each));
  bytes.write(place, 16, entryOf(each));

  const machine: Machine = {
    ...m,
    ...bytes,
    table: BigInt(m.table),
    entries: 2n ** BigInt(m.sizeLog2),
  };
  const expected = answer(machine, {
    sourceId: BigInt(sourceId),
    address: (BigInt(upper) << 32n) | BigInt(address),
    data: BigInt(data),
  });
  const descriptor = expected.kind === "posted" ? expected.descriptor : 0n;
  const before = bytes.read(descriptor, 64)!;

  faults.length = 0;
  events.length = 0;
  const engine = engineOf(m);
  const request = Object.assign(new InterruptRequest(), { sourceId, address, upper, data });
  const describe = (result: number): Answer => {
    if (result > 0) {
      return faults[0] ?? { kind: "fault", reason: result, index: -1, fpd: request.suppressed };
    }
    if (result === 0) {
      const { messageUpper, messageAddress, messageData } = request;
      return { kind: "message", message: unsigned([messageUpper, messageAddress, messageData]) };
    }
    const contents = bytes.read(descriptor, 64)!;
    return { kind: "posted", descriptor, contents, event: events[0] ?? null };
  };
  const probed = describe(engine.probe(request));
  const quiet = faults.length === 0 && events.length === 0;
  const answered = describe(engine.remap(request));
  const faultsDue = answered.kind === "fault" ? 1 : 0;
  const eventsDue = answered.kind === "posted" && answered.event !== null ? 1 : 0;
  const once = faults.length === faultsDue && events.length === eventsDue;

  // A case leaves nothing to the next one, so that it can be repeated and shrunk.
  for (const used of [Number(descriptor), each.entry.descriptor, place]) bytes.write(used, 64, 0n);
  return { expected, answered, probed, before, reportedOnce: quiet && once };
}

function unsigned(words: readonly number[]): Message {
  const [upper, address, data] = words.map((value) => BigInt(value >>> 0));
  return [upper!, address!, data!];
}

describe("InterruptRemappingEngine", () => {
  it(`answers as the oracle does, in ${CASES} cases`, () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(someCase, (each) => {
        const { expected, answered, probed, before, reportedOnce } = play(each);
        expectSame(answered, expected);
        if (expected.kind === "message") expectSame(probed, expected);
        if (expected.kind === "fault") expectSame(probed, { ...expected, index: -1 });
        if (expected.kind === "posted") {
          expectSame(probed, { ...expected, contents: before, event: null });
        }
        if (!reportedOnce) expect.fail("reported twice, or by probe");
        const name = expected.kind === "fault" ? expected.reason.toString(16) : expected.kind;
        seen.set(name, (seen.get(name) ?? 0) + 1);
      }),
      { seed, numRuns: CASES },
    );
    const reasons = Array.from({ length: 12 }, (_, i) => (0x20 + i).toString(16));
    expect([...seen.keys()].sort()).toEqual([...reasons, "message", "posted"].sort());
  });
});
