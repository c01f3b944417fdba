import type { GuestMemory } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { variantOf } from "./support/machine.ts";
import type { Ask, Bench, BenchOptions } from "./support/machine.ts";
import { ADDRESS, at, CONTEXT_AT, DIRECTORY, FAR, FIRST } from "./support/scalable-machine.ts";
import { FIRST_PAGE, FIRST_STAGE, firstEntry, PASID_AT } from "./support/scalable-machine.ts";
import { PASIDS, READ, scalableBench, withPasid, WRITE } from "./support/scalable-machine.ts";
import { withZeroLength, write } from "./support/scalable-machine.ts";
import type { Changes } from "./support/scalable-machine.ts";

const OUT = FIRST_PAGE | 0x234n;
const SUPERVISOR = { ...withPasid, access: 9 };
const SUPERVISOR_WRITE = { ...withPasid, access: 10 };
const [QW0, QW1] = FIRST_STAGE as [bigint, bigint, bigint];

/** P, R/W, U/S, A and D of the entry that maps the page. */
const leaf = (bits: bigint): Changes => [[firstEntry(1), FIRST_PAGE | bits]];
/** All entries with these bits, by level from the top. */
const all = (bits: bigint): Changes => [
  [FIRST, 0x7000n | bits],
  [0x7000n, 0x8000n | bits],
  [0x8000n, 0x9000n | bits],
  [firstEntry(1), FIRST_PAGE | bits],
];

function bench(changes: Changes = [], flags = 0n, options: BenchOptions = {}): Bench {
  return scalableBench([QW0, QW1, FIRST | flags], options, changes);
}

describe("VT-d 7.1.3, first-stage tables: SFS, SGN.1, SGN.2, SGN.6, SGN.8", () => {
  it.each<[string, Changes, Ask, number, BenchOptions?]>([
    ["SFS.1, 70h: level 3 can't be read", [[FIRST, FAR | 0x27n]], at, 0x70],
    ["SFS.1, 70h: level 1 can't be read", [[0x8000n, FAR | 0x27n]], at, 0x70],
    ["SFS.2, 71h: level 4 is not present", [[FIRST, 0x7026n]], at, 0x71],
    ["SFS.2, 71h: level 1 is not present, with reserved bits", [[firstEntry(1), -2n]], at, 0x71],
    ["SFS.3, 72h: PS at level 4", [[FIRST, 0x70a7n]], at, 0x72],
    ["SFS.3, 72h: an address bit at the host width", leaf((1n << 46n) | 0x67n), at, 0x72],
    ["SFS.3, 72h: bit 13 of a 2 MiB page", [[0x8000n, 0x20_20e7n]], at, 0x72],
    ["SFS.3, 72h: bit 29 of a 1 GiB page", [[0x7000n, 0x2000_00e7n]], at, 0x72],
    [
      "SFS.3, 72h: a 1 GiB page without FS1GP",
      [[0x7000n, 0xe7n]],
      at,
      0x72,
      { capabilities: { FS1GP: 0 } },
    ],
    ["SFS.4, 73h: the top entry can't be read", [[PASIDS + 16n, FAR]], at, 0x73],
    ["SGN.1, 80h: bit 47 without those above", [], { ...at, address: 1n << 47n }, 0x80],
    ["SGN.1, 80h: bit 48", [], { ...at, address: 1n << 48n }, 0x80],
    ["SGN.1, 80h: bit 63", [], { ...at, address: 1n << 63n }, 0x80],
    ["SGN.1, 80h: all bits from 48 up", [], { ...at, address: 0xffff_0000_0000_0000n }, 0x80],
    ["SGN.2, 81h: a supervisor page", leaf(0x63n), at, 0x81],
    ["SGN.2, 81h: U/S is 0 at level 3", [[0x7000n, 0x8023n]], at, 0x81],
    ["SGN.6, 85h: a write to a read-only page", leaf(0x65n), write, 0x85],
    ["SGN.6, 85h: an atomic to a read-only page", leaf(0x65n), { ...at, access: 3 }, 0x85],
    ["SGN.6, 85h: R/W is 0 at level 4", [[FIRST, 0x7025n]], write, 0x85],
    ["SGN.8, 87h: the output is in FEEx_xxxxh", [[firstEntry(1), 0xfee0_0067n]], at, 0x87],
    [
      "SGN.8, 87h: with PASID, FEEx_xxxxh is an address like others",
      [[firstEntry(1), 0xfeef_f067n]],
      withPasid,
      0x87,
    ],
    ["SFS.9, 90h: A is to be set, not snooped", leaf(0x47n), at, 0x90, {}],
    ["SFS.9, 90h: A of level 2", [[0x8000n, 0x9007n]], at, 0x90, {}],
    ["SFS.9, 90h: D is to be set", leaf(0x27n), write, 0x90, {}],
  ])("%s", (name, changes, ask, reason, options) => {
    const snooped = !name.startsWith("SFS.9");
    const machine = scalableBench([QW0, snooped ? QW1 : 5n, FIRST], options, changes);
    expect(machine.ask(ask)).toEqual({ result: reason, suppressed: false });
    expect(machine.ask(ask)).toEqual({ result: reason, suppressed: false });
  });

  it("72h comes before 81h, 81h before 85h, 85h before 90h", () => {
    expect(bench(leaf((1n << 46n) | 0x61n)).reason(write)).toBe(0x72);
    expect(bench(leaf(0x61n)).reason(write)).toBe(0x81);
    expect(scalableBench([QW0, 5n, FIRST], {}, leaf(0x05n)).reason(write)).toBe(0x85);
  });

  it("90h: walks never snoop without SMPWCS", () => {
    const options = { capabilities: { SMPWCS: 0, SSADS: 0, EAFS: 0 } };
    const machine = scalableBench([QW0, 5n, FIRST], options, leaf(0x47n));
    expect(machine.reason(at)).toBe(0x90);
    machine.write(firstEntry(1), FIRST_PAGE | 0x67n);
    expect(machine.reason(at)).toBe(0); // set in advance
  });

  it.each([
    ["A of the first level", 0x47n, at],
    ["D", 0x27n, write],
  ])("SFS.10, 91h: %s can't be written", (_name, bits, ask) => {
    const machine = bench(leaf(bits), 0n, { memory: (memory) => failingExchange(memory, 2) });
    expect(machine.ask(ask)).toEqual({ result: 0x91, suppressed: false });
  });

  it("SFS.10, 91h: an entry that changes each time it is used", () => {
    const machine = bench(leaf(0x47n), 0n, { memory: (memory) => failingExchange(memory, 1) });
    expect(machine.ask(at)).toEqual({ result: 0x91, suppressed: false });
  });
});

/** Memory in which an exchange always has this result. */
function failingExchange(memory: GuestMemory, result: number): GuestMemory {
  return variantOf(memory, { exchangeWord: () => result });
}

describe("VT-d 3.6: pages and levels", () => {
  it.each<[string, Changes, bigint, bigint, number]>([
    ["4 KiB", [], ADDRESS, OUT, 12],
    ["2 MiB", [[0x8000n, 0x40_00e7n]], 0x12_3456n, 0x52_3456n, 21],
    ["1 GiB", [[0x7000n, 0x8000_00e7n]], 0x1234_5678n, 0x9234_5678n, 30],
    ["PAT of a 2 MiB page is no address bit", [[0x8000n, 0x40_10e7n]], 0n, 0x40_0000n, 21],
    ["PAT of a 4 KiB page is no page size", [[0x9008n, 0x1_20e7n]], ADDRESS, OUT, 12],
    ["ignored bits", [[0x9008n, 0xfff0_0000_0001_2e7fn]], ADDRESS, OUT, 12],
  ])("%s", (_name, changes, address, out, pageShift) => {
    const machine = bench(changes);
    for (const ask of [{ address }, { address, pasid: 0x21 }, { address }]) {
      expect(machine.ask(ask)).toEqual({ result: 0, out, pageShift, granted: 3 });
    }
  });

  it("the upper half of the addresses, with four levels, out of the tables and the cache", () => {
    const machine = bench([
      [FIRST + 8n * 511n, 0x7027n],
      [0x7000n + 8n * 511n, 0x8027n],
      [0x8000n + 8n * 511n, 0x9027n],
      [0x9000n + 8n * 511n, 0x5_5067n],
    ]);
    const top = { address: 0xffff_ffff_ffff_f123n };
    expect(machine.ask(top).out).toBe(0x5_5123n);
    const { walks } = machine.engine.counters;
    expect(machine.ask(top)).toEqual({ result: 0, out: 0x5_5123n, pageShift: 12, granted: 3 });
    expect(machine.engine.counters.walks).toBe(walks);
  });

  it("five levels: bits 56:48 select the top entry, and bit 56 is repeated", () => {
    const machine = bench([[0xf000n, 0x6027n]], 0n);
    machine.write(PASIDS + 16n, 0xf004n);
    machine.write(0xf000n + 8n * 0x100n, 0x6027n);
    expect(machine.ask(at).out).toBe(OUT);
    expect(machine.ask({ address: 0xff00_0000_0000_1234n }).out).toBe(OUT);
    expect(machine.reason({ address: 0x0100_0000_0000_1234n })).toBe(0x80);
    expect(machine.reason({ address: 0xffff_0000_0000_1234n })).toBe(0x71);
  });

  it("AW of the entry has no say in what is canonical", () => {
    for (const aw of [0n, 1n, 2n, 3n]) {
      const machine = scalableBench([0x41n | (aw << 2n), QW1, FIRST]);
      machine.write(0x7000n + 8n, 0x8027n);
      expect(machine.ask({ address: 0x4000_1000n }).out).toBe(FIRST_PAGE);
      expect(machine.reason({ address: 0x7fff_ffff_f000n })).toBe(0x71);
      expect(machine.reason({ address: 0x8000_0000_0000n })).toBe(0x80);
    }
  });

  it("PGSNP makes all requests snoop", () => {
    const machine = scalableBench([QW0, QW1 | (1n << 24n), FIRST]);
    expect(machine.ask(at).granted).toBe(0x13);
  });

  it("with PASID, an address in FEEx_xxxxh is translated", () => {
    const machine = bench([
      [0x7000n + 8n * 3n, 0x8027n],
      [0x8000n + 8n * 0x1f7n, 0x9027n],
    ]);
    const address = 0xfee0_1234n;
    expect(machine.ask({ address, pasid: 0x21 }).out).toBe(OUT);
    expect(machine.ask({ address, pasid: 0x21 }).out).toBe(OUT);
    expect(machine.reason({ address })).toBe(0x29);
  });
});

describe("VT-d 3.6.1: access rights", () => {
  it.each<[string, bigint, bigint, number]>([
    ["user, WPE doesn't matter", 0n, 0x65n, 0x85],
    ["user with WPE", 0x10n, 0x65n, 0x85],
  ])("%s: writes need R/W everywhere", (_name, flags, bits, reason) => {
    const machine = bench(leaf(bits), flags);
    expect(machine.ask(at).granted).toBe(READ);
    expect(machine.reason(write)).toBe(reason);
    expect(machine.reason(write)).toBe(reason);
  });

  it("a right that an upper level refuses is not found in a cached lower table", () => {
    const machine = bench([[0x7000n, 0x8025n]]);
    expect(machine.ask(at).granted).toBe(READ);
    expect(machine.reason(write)).toBe(0x85);
    machine.write(0x9000n + 16n, 0x1_3067n);
    expect(machine.reason({ address: 0x2000n, access: WRITE })).toBe(0x85);
  });

  it("supervisor requests read and write everything without WPE", () => {
    const machine = bench(all(0x61n), 1n);
    expect(machine.ask(SUPERVISOR).granted).toBe(3);
    expect(machine.reason(SUPERVISOR_WRITE)).toBe(0);
    expect(machine.reason(withPasid)).toBe(0x81);
  });

  it("supervisor requests with WPE write where R/W is set everywhere", () => {
    const machine = bench(leaf(0x61n), 0x11n);
    expect(machine.ask(SUPERVISOR).granted).toBe(READ);
    expect(machine.reason(SUPERVISOR_WRITE)).toBe(0x85);
    machine.write(firstEntry(1), FIRST_PAGE | 0x63n);
    expect(machine.reason(SUPERVISOR_WRITE)).toBe(0);
  });

  it("RID_PRIV makes supervisor requests of those without PASID", () => {
    const machine = bench([...all(0x61n), [CONTEXT_AT, DIRECTORY | 1n]], 1n);
    machine.write(CONTEXT_AT + 8n, 1n << 20n);
    expect(machine.reason(write)).toBe(0);
  });

  it("a zero-length read needs no right", () => {
    expect(bench(leaf(0x65n)).ask(withZeroLength).out).toBe(OUT);
  });
});

describe("VT-d 3.6.2: A, EA and D", () => {
  it("a read sets A at every level, and nothing else", () => {
    const machine = bench(all(7n));
    expect(machine.ask(at)).toEqual({ result: 0, out: OUT, pageShift: 12, granted: READ });
    for (const level of [4, 3, 2, 1]) expect(machine.read(firstEntry(level)) & 0xfffn).toBe(0x27n);
  });

  it("a write sets D in the entry that maps the page", () => {
    const machine = bench(all(7n));
    expect(machine.ask(write)).toEqual({ result: 0, out: OUT, pageShift: 12, granted: 3 });
    for (const level of [4, 3, 2]) expect(machine.read(firstEntry(level)) & 0xfffn).toBe(0x27n);
    expect(machine.read(firstEntry(1))).toBe(FIRST_PAGE | 0x67n);
  });

  it("a write sets D where A is 1 already", () => {
    const machine = bench(leaf(0x27n));
    expect(machine.reason(write)).toBe(0);
    expect(machine.read(firstEntry(1))).toBe(FIRST_PAGE | 0x67n);
  });

  it.each([
    ["4 KiB", [[firstEntry(1), FIRST_PAGE | 7n]] as Changes, firstEntry(1)],
    ["2 MiB", [[0x8000n, 0x40_0087n]] as Changes, 0x8000n],
    ["1 GiB", [[0x7000n, 0x8000_0087n]] as Changes, 0x7000n],
  ])("a write after a cached read sets D: a page of %s", (_name, changes, entry) => {
    for (const ask of [at, withPasid]) {
      const machine = bench(changes);
      const before = machine.read(entry);
      expect(machine.ask(ask).granted).toBe(READ);
      expect(machine.ask(ask).granted).toBe(READ);
      expect(machine.read(entry)).toBe(before | 0x20n | 7n);
      expect(machine.ask({ ...ask, access: WRITE }).granted).toBe(3);
      expect(machine.read(entry)).toBe(before | 0x60n | 7n);
      const { walks } = machine.engine.counters;
      expect(machine.ask({ ...ask, access: WRITE }).granted).toBe(3);
      expect(machine.engine.counters.walks).toBe(walks);
    }
  });

  it("a page that was written grants both rights at once", () => {
    const machine = bench(leaf(0x67n));
    expect(machine.ask(at).granted).toBe(3);
  });

  it("EAFE: EA is set together with A, also where A is 1", () => {
    const machine = bench(all(0x27n), 0x80n);
    expect(machine.reason(at)).toBe(0);
    for (const level of [4, 3, 2, 1]) expect(machine.read(firstEntry(level)) & 0xfffn).toBe(0x427n);
    const without = bench(all(0x27n));
    expect(without.reason(at)).toBe(0);
    expect(without.read(firstEntry(1)) & 0xfffn).toBe(0x27n);
  });

  it("EAFE: EA counts for 90h", () => {
    const machine = scalableBench([QW0, 5n, FIRST | 0x80n]);
    expect(machine.reason(at)).toBe(0x90);
  });

  it("D isn't set for a write that is blocked", () => {
    const denied = bench(leaf(0x25n));
    expect(denied.reason(write)).toBe(0x85);
    expect(denied.read(firstEntry(1))).toBe(FIRST_PAGE | 0x25n);
    const interrupt = bench([[firstEntry(1), 0xfee0_0007n]]);
    expect(interrupt.reason(write)).toBe(0x87);
    expect(interrupt.read(firstEntry(1))).toBe(0xfee0_0007n);
  });

  it("a probe sets nothing, and says the same", () => {
    const machine = bench(all(7n));
    expect(machine.probe(write)).toEqual({ result: 0, out: OUT, pageShift: 12, granted: 3 });
    expect(machine.probe(at)).toEqual({ result: 0, out: OUT, pageShift: 12, granted: READ });
    for (const level of [4, 3, 2, 1]) expect(machine.read(firstEntry(level)) & 0xfffn).toBe(7n);
  });

  it("an entry that changes while a flag is being set is looked at again", () => {
    let changes = 0;
    const machine: Bench = bench(leaf(7n), 0n, {
      memory: (memory) =>
        variantOf(memory, {
          exchangeWord: (hi, lo, expected, value) => {
            if (changes === 0) machine.write(firstEntry(1), 0x5_5007n);
            changes += 1;
            return memory.exchangeWord(hi, lo, expected, value);
          },
        }),
    });
    expect(machine.ask(write).out).toBe(0x5_5234n);
    expect(machine.read(firstEntry(1))).toBe(0x5_5067n);
    expect(changes).toBe(2);
  });

  it("an entry that goes away while a flag is being set is not used", () => {
    const machine: Bench = bench(leaf(7n), 0n, {
      memory: (memory) =>
        variantOf(memory, {
          exchangeWord: (hi, lo, expected, value) => {
            machine.write(firstEntry(1), 0n);
            return memory.exchangeWord(hi, lo, expected, value);
          },
        }),
    });
    expect(machine.reason(write)).toBe(0x71);
    expect(machine.read(firstEntry(1))).toBe(0n);
  });
});

describe("VT-d 6.2.4: spaces in the cache", () => {
  it("two PASIDs map one address to different pages", () => {
    const machine = bench();
    machine.write(PASID_AT, QW0, QW1, 0x1_0000n);
    machine.write(0x1_0000n, 0x1_1027n);
    machine.write(0x1_1000n, 0x1_2027n);
    machine.write(0x1_2000n, 0x1_3027n);
    machine.write(0x1_3008n, 0x7_7067n);
    for (let i = 0; i < 3; i += 1) {
      expect(machine.ask(at).out).toBe(OUT);
      expect(machine.ask(withPasid).out).toBe(0x7_7234n);
    }
    expect(machine.engine.counters.contextFetches).toBe(2);
  });
});
