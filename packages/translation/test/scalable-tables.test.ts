import { describe, expect, it } from "vitest";
import { TranslationEngine } from "../src/index.ts";
import { capabilitiesOf, LEGACY, requestOf, ROOT } from "./support/machine.ts";
import type { Ask, BenchOptions } from "./support/machine.ts";
import { ADDRESS, at, CONTEXT_AT, DIRECTORY, FAR, FIRST } from "./support/scalable-machine.ts";
import { FIRST_PAGE, FIRST_STAGE, LOWER, PASID, PASID_AT } from "./support/scalable-machine.ts";
import {
  PASIDS,
  PASS_THROUGH,
  SCALABLE,
  scalableBench,
  SECOND,
} from "./support/scalable-machine.ts";
import { SECOND_STAGE, UPPER, withPasid } from "./support/scalable-machine.ts";
import type { Changes } from "./support/scalable-machine.ts";

const TRANSLATION = { ...at, addressType: 1 };
const TRANSLATED = { ...at, addressType: 2 };
const PRIVILEGED = { ...withPasid, access: 9 };
const EXECUTE = { ...withPasid, access: 5 };
const OUT = FIRST_PAGE | 0x234n;

/** Condition, changes of memory, request, reason. */
type Case = [string, Changes, Ask, number, BenchOptions?];

function check(cases: Case[]): void {
  it.each<Case>(cases)("%s", (_name, changes, ask, reason, options) => {
    const bench = scalableBench(FIRST_STAGE, options, changes);
    expect(bench.ask(ask)).toEqual({ result: reason, suppressed: false });
    // the fault is not cached, and found again
    expect(bench.reason(ask)).toBe(reason);
    expect(bench.faults.map(([code]) => code)).toEqual([reason, reason]);
  });
}

/** Makes the context entry: DTE and PASIDE are bits 2 and 3. */
const context = (low: bigint, high = 0n): Changes => [
  [CONTEXT_AT, DIRECTORY | low],
  [CONTEXT_AT + 8n, high],
];

describe("VT-d 3.4.3: the way through the tables", () => {
  it("takes requests without PASID to PASID 0, and those with one to theirs", () => {
    const bench = scalableBench(FIRST_STAGE);
    bench.write(PASID_AT, ...PASS_THROUGH);
    expect(bench.ask(at)).toEqual({ result: 0, out: OUT, pageShift: 12, granted: 3 });
    expect(bench.ask(withPasid)).toMatchObject({ result: 0, out: ADDRESS });
    expect(bench.ask(at).out).toBe(OUT);
    expect(bench.ask(withPasid).out).toBe(ADDRESS);
  });

  it("takes device-functions from 80h up through the upper half", () => {
    const bench = scalableBench(FIRST_STAGE);
    bench.write(UPPER + 32n * 0x7fn, DIRECTORY | 1n, 0n, 0n, 0n);
    expect(bench.ask({ ...at, sourceId: 0xff }).out).toBe(OUT);
    expect(bench.reason({ ...at, sourceId: 0x7f })).toBe(0x41);
  });

  it("takes RID_PASID for requests without PASID", () => {
    const bench = scalableBench(PASS_THROUGH, {}, context(0xdn, 0x45n));
    bench.write(DIRECTORY + 8n, 0x1_0001n);
    bench.write(0x1_0000n + 5n * 64n, ...FIRST_STAGE);
    expect(bench.ask(at).out).toBe(OUT);
    expect(bench.ask({ ...at, pasid: 0 }).out).toBe(ADDRESS);
  });

  it("takes the directory entry of PASID bits 19:6 beyond 4 KiB, and across a border of 1 GiB", () => {
    const bench = scalableBench(FIRST_STAGE, {}, context(0xe0dn));
    bench.write(DIRECTORY + 8n * 0x3fffn, PASIDS | 1n);
    bench.write(PASIDS + 64n * 0x3fn, ...FIRST_STAGE);
    expect(bench.ask({ ...at, pasid: 0xf_ffff }).out).toBe(OUT);
    // a directory that begins in the last page below 1 GiB goes on behind it, not at 0
    bench.write(CONTEXT_AT, 0x3fff_fe0dn);
    bench.engine.invalidateContextGlobal();
    bench.write(DIRECTORY - 0x5000n + 0x1eff8n, PASIDS | 1n); // -1000h + 8 * 3fffh
    expect(bench.reason({ ...at, pasid: 0xf_ffff })).toBe(0x50);
  });

  it("gives supervisor requests of a PASID a way of their own", () => {
    const bench = scalableBench([FIRST_STAGE[0]!, FIRST_STAGE[1]!, FIRST | 1n]);
    bench.write(0x9008n, FIRST_PAGE | 0x63n); // supervisor page
    expect(bench.ask(PRIVILEGED).out).toBe(OUT);
    expect(bench.reason(withPasid)).toBe(0x81);
    expect(bench.ask(PRIVILEGED).out).toBe(OUT);
  });

  it("takes RID_PRIV for requests without PASID; the request has no say", () => {
    const supervisor = [FIRST_STAGE[0]!, FIRST_STAGE[1]!, FIRST | 1n];
    const bench = scalableBench(supervisor, {}, [[0x9008n, FIRST_PAGE | 0x63n]]);
    expect(bench.reason({ ...at, access: 9 })).toBe(0x81);
    bench.write(CONTEXT_AT + 8n, 1n << 20n);
    bench.engine.invalidateContextGlobal();
    expect(bench.ask(at).out).toBe(OUT);
  });
});

describe("VT-d 7.1.3, scalable-mode root and context entries: SRT, SCT, SGN.10, RTA.5", () => {
  check([
    ["SRT.2, 39h: the lower half is not present", [[ROOT, LOWER | 0xffen]], at, 0x39],
    ["SRT.2, 39h: the upper half", [[ROOT + 8n, UPPER]], { ...at, sourceId: 0x80 }, 0x39],
    ["SRT.3, 3Ah: bit 1 of the half", [[ROOT, LOWER | 3n]], at, 0x3a],
    ["SRT.3, 3Ah: an address bit at the host width", [[ROOT, (1n << 46n) | 1n]], at, 0x3a],
    [
      "SRT.3, 3Ah: bit 75 counts for the upper half",
      [[ROOT + 8n, UPPER | 0x801n]],
      { ...at, sourceId: 0x80 },
      0x3a,
    ],
    ["SCT.1, 40h: the context entry can't be read", [[ROOT, FAR | 1n]], at, 0x40],
    ["SCT.2, 41h: the context entry is not present", context(0xffcn), at, 0x41],
    ["SCT.3, 42h: bit 7", context(0x8dn), at, 0x42],
    ["SCT.3, 42h: bit 85", context(0xdn, 1n << 21n), at, 0x42],
    ["SCT.3, 42h: bit 255", [[CONTEXT_AT + 24n, 1n << 63n]], at, 0x42],
    ["SCT.3, 42h: DTE without DT", context(0xdn), at, 0x42, { capabilities: { DT: 0 } }],
    ["SCT.3, 42h: PASIDE without PASID", context(9n), at, 0x42, { capabilities: { PASID: 0 } }],
    ["SCT.3, 42h: RID_PASID without RPS", context(1n, 1n), at, 0x42, { capabilities: { RPS: 0 } }],
    ["SCT.4.1, 43h: PRE without DTE", context(0x11n), at, 0x43],
    ["SCT.4.2, 43h: RID_PASID beyond the directory", context(1n, 0x2000n), at, 0x43],
    ["SCT.4.3, 43h: EPTR without PASIDE", context(0x45n), at, 0x43],
    ["SCT.4.3, 43h: for a translation request", context(0x45n), TRANSLATION, 0x43],
    ["SCT.4.3, 43h: for a translated request", context(0x41n), TRANSLATED, 0x43],
    [
      "SCT.4.3, 43h: for a translated request with PASID",
      context(0x41n),
      { ...TRANSLATED, pasid: PASID },
      0x43,
    ],
    ["SCT.6, 45h: EPTR without PASIDE, with PASID", context(0x45n), withPasid, 0x45],
    [
      "SCT.6, 45h: EPTR without PASIDE, a translation request with PASID",
      context(0x45n),
      { ...TRANSLATION, pasid: PASID },
      0x45,
    ],
    ["SCT.5, 44h: the same without DTE", context(0x41n), { ...TRANSLATION, pasid: PASID }, 0x44],
    ["SCT.5, 44h: a translation request without DTE", context(9n), TRANSLATION, 0x44],
    ["SCT.5, 44h: a translated request without DTE", context(9n), TRANSLATED, 0x44],
    ["SCT.6, 45h: a request with PASID without PASIDE", context(5n), withPasid, 0x45],
    [
      "SCT.6, 45h: a translation request with PASID",
      context(5n),
      { ...TRANSLATION, pasid: PASID },
      0x45,
    ],
    ["SCT.7, 46h: a PASID beyond the directory", [], { ...at, pasid: 0x2000 }, 0x46],
    ["SCT.9, 48h: the PASID is RID_PASID", [], { ...at, pasid: 0 }, 0x48],
    ["SCT.10, 49h: a translated request with PASID", [], { ...TRANSLATED, pasid: PASID }, 0x49],
    [
      "SGN.10, 89h: a PASID wider than PSS, before any table",
      [[ROOT, 0n]],
      { ...at, pasid: 0x100 },
      0x89,
      { capabilities: { PSS: 7 } },
    ],
  ]);

  it("SRT.1, 38h: the root table can't be read", () => {
    const bench = scalableBench(FIRST_STAGE);
    bench.latch(FAR, 1);
    expect(bench.ask(at)).toEqual({ result: 0x38, suppressed: false });
  });

  it("RTA.5, 34h: execute requested, from major version 8 on", () => {
    const bench = scalableBench(FIRST_STAGE, {}, [[ROOT, 0n]]);
    const engine = new TranslationEngine({
      memory: bench.memory,
      capabilities: capabilitiesOf({ ...LEGACY, ...SCALABLE }),
      hostAddressWidth: 46,
      majorVersion: 8,
      segment: 0,
      reporter: { dmaFault: () => undefined },
      hooks: bench.hooks,
      unit: "dmar0",
    });
    engine.latchRoot(0, Number(ROOT), 1, false);
    engine.setEnabled(true);
    expect(engine.translate(requestOf(EXECUTE))).toBe(0x34);
    expect(engine.translate(requestOf(withPasid))).toBe(0x39);
  });

  it("the half that isn't used doesn't count", () => {
    const bench = scalableBench(FIRST_STAGE, {}, [[ROOT + 8n, 0xffen]]);
    expect(bench.reason(at)).toBe(0);
  });

  it("PASIDE doesn't matter to requests without PASID", () => {
    const bench = scalableBench(FIRST_STAGE, {}, context(1n));
    expect(bench.reason(at)).toBe(0);
  });

  it("44h holds where a way for untranslated requests is cached already", () => {
    const bench = scalableBench(FIRST_STAGE, {}, context(9n));
    expect(bench.reason(at)).toBe(0);
    expect(bench.reason(TRANSLATION)).toBe(0x44);
    expect(bench.reason(TRANSLATED)).toBe(0x44);
    expect(bench.reason(at)).toBe(0);
  });

  it("the mode is refused without SMTS", () => {
    const bench = scalableBench(FIRST_STAGE, { capabilities: { SMTS: 0 } });
    expect(bench.ask(at)).toEqual({ result: 0x30, suppressed: false });
  });
});

/** Makes qwords of both PASID table entries. */
const entry = (...qwords: readonly bigint[]): Changes =>
  [PASIDS, PASID_AT].flatMap((base) =>
    qwords.map((qword, i) => [base + 8n * BigInt(i), qword] as const),
  );

describe("VT-d 7.1.3, PASID directory and PASID table: SPD, SPT", () => {
  check([
    ["SPD.1, 50h: the directory entry can't be read", [[CONTEXT_AT, FAR | 0xdn]], at, 0x50],
    ["SPD.2, 51h: the directory entry is not present", [[DIRECTORY, PASIDS | 0xffcn]], at, 0x51],
    ["SPD.3, 52h: bit 2", [[DIRECTORY, PASIDS | 5n]], at, 0x52],
    ["SPD.3, 52h: an address bit at the host width", [[DIRECTORY, (1n << 46n) | 1n]], at, 0x52],
    ["SPT.1, 58h: the PASID table entry can't be read", [[DIRECTORY, FAR | 1n]], at, 0x58],
    ["SPT.2, 59h: an entry of zeros", entry(0n, 0n, 0n), at, 0x59],
    ["SPT.2, 59h: whatever else the entry holds", entry(-4n, -1n, -1n), at, 0x59],
    ["SPT.3, 5Ah: bit 5", entry(0x69n), at, 0x5a],
    ["SPT.3, 5Ah: bit 10", entry(0x449n), at, 0x5a],
    ["SPT.3, 5Ah: bit 80", entry(0x49n, 0x81_0005n), at, 0x5a],
    ["SPT.3, 5Ah: bit 129", entry(0x49n, 5n, FIRST | 2n), at, 0x5a],
    ["SPT.3, 5Ah: bit 136", entry(0x49n, 5n, FIRST | 0x100n), at, 0x5a],
    ["SPT.3, 5Ah: bit 192", entry(0x49n, 5n, FIRST, 1n), at, 0x5a],
    ["SPT.3, 5Ah: bit 511", entry(0x49n, 5n, FIRST, 0n, 0n, 0n, 0n, 1n << 63n), at, 0x5a],
    ["SPT.3, 5Ah: a domain-id bit", entry(0x49n, 0x1005n), at, 0x5a, { capabilities: { ND: 4 } }],
    [
      "SPT.3, 5Ah: PWSNP without SMPWCS",
      [],
      at,
      0x5a,
      { capabilities: { SMPWCS: 0, SSADS: 0, EAFS: 0 } },
    ],
    ["SPT.3, 5Ah: SSADE without SSADS", entry(0x249n), at, 0x5a, { capabilities: { SSADS: 0 } }],
    [
      "SPT.3, 5Ah: PGSNP without SC",
      entry(0x49n, 0x100_0005n),
      at,
      0x5a,
      { capabilities: { SC: 0 } },
    ],
    [
      "SPT.3, 5Ah: SRE without SRS",
      entry(0x49n, 5n, FIRST | 1n),
      at,
      0x5a,
      { capabilities: { SRS: 0, RPRIVS: 0 } },
    ],
    ["SPT.4.1, 5Bh: a second-stage width of 30 bits", entry(SECOND | 0x81n), at, 0x5b],
    ["SPT.4.1, 5Bh: a nested width that isn't defined", entry(SECOND | 0xd1n), at, 0x5b],
    ["SPT.4.2, 5Bh: type 0", entry(0x9n), at, 0x5b],
    ["SPT.4.2, 5Bh: type 5", entry(0x149n), at, 0x5b],
    ["SPT.4.2, 5Bh: type 6", entry(0x189n), at, 0x5b],
    ["SPT.4.2, 5Bh: type 7", entry(0x1c9n), at, 0x5b],
    [
      "SPT.4.2, 5Bh: first stage without FSTS",
      entry(0x49n, 5n, 0n),
      at,
      0x5b,
      { capabilities: { FSTS: 0, NEST: 0, FS5LP: 0, FS1GP: 0, EAFS: 0 } },
    ],
    [
      "SPT.4.2, 5Bh: second stage without SSTS",
      entry(0x81n, 5n, 0n),
      at,
      0x5b,
      { capabilities: { SSTS: 0, NEST: 0 } },
    ],
    ["SPT.4.2, 5Bh: nested without NEST", entry(0xc9n), at, 0x5b, { capabilities: { NEST: 0 } }],
    ["SPT.4.2, 5Bh: pass-through without PT", entry(0x109n), at, 0x5b, { capabilities: { PT: 0 } }],
    ["SPT.4.3, 5Bh: paging mode 2", entry(0x49n, 5n, FIRST | 8n), at, 0x5b],
    [
      "SPT.4.3, 5Bh: five levels without FS5LP",
      entry(0x49n, 5n, FIRST | 4n),
      at,
      0x5b,
      { capabilities: { FS5LP: 0 } },
    ],
    ["SPT.4.4, 5Bh: a nested FSPTPTR beyond AW", entry(SECOND | 0xc5n, 5n, 1n << 39n), at, 0x5b],
    [
      "SPT.4.4, 5Bh: a nested FSPTPTR beyond MGAW",
      entry(SECOND | 0xc9n, 5n, 1n << 40n),
      at,
      0x5b,
      { capabilities: { MGAW: 39 } },
    ],
    ["SPT.5, 5Ch: execute requested", [], EXECUTE, 0x5c],
    ["SPT.6, 5Dh: a supervisor request without SRE", [], PRIVILEGED, 0x5d],
    ["SPT.6, 5Dh: RID_PRIV without SRE", context(0xdn, 1n << 20n), at, 0x5d],
    [
      "SPT.6, 5Dh: with pass-through, too",
      [...entry(...PASS_THROUGH), ...context(0xdn, 1n << 20n)],
      at,
      0x5d,
    ],
  ]);

  it("5Ch holds where a way is cached already", () => {
    const bench = scalableBench(FIRST_STAGE);
    expect(bench.reason(withPasid)).toBe(0);
    expect(bench.reason(EXECUTE)).toBe(0x5c);
    expect(bench.reason({ ...at, access: 5 })).toBe(0); // without PASID the flag has no meaning
  });

  it("NXE and SMEP of old drivers are ignored", () => {
    const bench = scalableBench([0x49n, 0x80_0005n, FIRST | 0x60n]);
    expect(bench.reason(at)).toBe(0);
  });

  it("AW is ignored for first-stage and pass-through, with or without SSTS (ADR 4)", () => {
    for (const capabilities of [{}, { SSTS: 0, NEST: 0, SSADS: 0 }]) {
      for (const aw of [0n, 1n, 2n, 3n, 7n]) {
        const first = [0x41n | (aw << 2n), 0x80_0005n, FIRST];
        expect(scalableBench(first, { capabilities }).ask(at).out).toBe(OUT);
        const through = [0x101n | (aw << 2n), 5n, 0n];
        expect(scalableBench(through, { capabilities }).ask(at).out).toBe(ADDRESS);
      }
    }
  });

  it("SSPTPTR is ignored for first-stage where it is offered, and reserved where not", () => {
    const stray = [SECOND | 0x49n, 0x80_0005n, FIRST];
    expect(scalableBench(stray).reason(at)).toBe(0);
    const capabilities = { SSTS: 0, NEST: 0, SSADS: 0 };
    expect(scalableBench(stray, { capabilities }).reason(at)).toBe(0x5a);
  });
});

describe("VT-d 7.1.1: FPD of any entry on the way", () => {
  const absent: Changes = [[0x9008n, 0n]];

  it.each<[string, Changes]>([
    ["the context entry", context(0xfn)],
    ["the directory entry", [[DIRECTORY, PASIDS | 3n]]],
    ["the PASID table entry", entry(0x4bn)],
  ])("%s suppresses, now and out of the cache", (_name, changes) => {
    const bench = scalableBench(FIRST_STAGE, {}, [...changes, ...absent]);
    for (const ask of [at, at, withPasid, withPasid]) {
      expect(bench.ask(ask)).toEqual({ result: 0x71, suppressed: true });
    }
    expect(bench.faults.every(([, , , suppressed]) => suppressed)).toBe(true);
  });

  it("counts in an entry that is not present", () => {
    const teardown = scalableBench([2n, 0n, 0n]);
    expect(teardown.ask(at)).toEqual({ result: 0x59, suppressed: true });
    const directory = scalableBench(FIRST_STAGE, {}, [[DIRECTORY, 2n]]);
    expect(directory.ask(at)).toEqual({ result: 0x51, suppressed: true });
    const device = scalableBench(FIRST_STAGE, {}, context(2n));
    expect(device.ask(at)).toEqual({ result: 0x41, suppressed: true });
  });

  it("doesn't touch faults that are not qualified", () => {
    const bench = scalableBench(FIRST_STAGE, {}, [...context(0xfn), [DIRECTORY, FAR | 3n]]);
    expect(bench.ask(at)).toEqual({ result: 0x58, suppressed: false });
  });

  it("a fault of the context entry knows nothing of the entries behind", () => {
    const bench = scalableBench(FIRST_STAGE, {}, [...context(9n), ...entry(0x4bn)]);
    expect(bench.reason(at)).toBe(0);
    expect(bench.ask(TRANSLATION)).toEqual({ result: 0x44, suppressed: false });
  });

  it("second-stage and pass-through entries have it as well", () => {
    const second = [SECOND_STAGE[0]! | 2n, ...SECOND_STAGE.slice(1)];
    expect(scalableBench(second, {}, [[0xd008n, 0n]]).ask(at)).toEqual({
      result: 0x79,
      suppressed: true,
    });
    const through = scalableBench([PASS_THROUGH[0]! | 2n, 1n, 0n]);
    expect(through.ask({ ...at, address: 1n << 46n })).toEqual({ result: 0x83, suppressed: true });
  });
});
