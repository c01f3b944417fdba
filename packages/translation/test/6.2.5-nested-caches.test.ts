import { describe, expect, it } from "vitest";
import type { Bench } from "./support/machine.ts";
import { FIRST_PAGE, NESTED, NESTED_PAGE, PASID, PASID_AT } from "./support/scalable-machine.ts";
import {
  at,
  firstEntry,
  scalableBench,
  secondEntry,
  withPasid,
} from "./support/scalable-machine.ts";
import { secondEntryOf } from "./support/scalable-machine.ts";

const DOMAIN = 5;
const OTHER = 6;
/** The second page of the device, which no test asks for first. */
const NEXT = { ...at, address: 0x2234n };
const OLD = 0x5_5234n;
const NEW = 0x6_6234n;
/** Last-level table of the second stage that takes the place of the first one. */
const TABLE = 0x20_000n;

/**
 * A bench that has cached where the last-level table of the second stage lies. The entry for it then
 * says something else: NEXT gives OLD by the cached table, NEW by the present one.
 */
function movedTable(): Bench {
  const bench = scalableBench(NESTED);
  const table = secondEntry(1) & ~0xfffn;
  bench.write(firstEntry(1) + 8n, 0x1_3067n);
  for (let i = 0n; i < 512n; i += 1n) bench.write(TABLE + 8n * i, bench.read(table + 8n * i));
  bench.write(secondEntryOf(0x1_3000n), (OLD & ~0xfffn) | 3n);
  bench.write(TABLE + (0x1_3000n >> 9n), (NEW & ~0xfffn) | 3n);
  expect(bench.ask(at).out).toBe(NESTED_PAGE | 0x234n);
  bench.write(secondEntry(2), TABLE | 3n);
  return bench;
}

describe("VT-d 6.2.5 under nesting: second-stage paging structures are cached by domain", () => {
  it("a cached table of the second stage serves all PASIDs of the domain", () => {
    const bench = movedTable();
    expect(bench.ask(NEXT).out).toBe(OLD);
    expect(bench.ask({ ...NEXT, pasid: PASID }).out).toBe(OLD);
  });

  it("but no other domain", () => {
    const bench = movedTable();
    bench.write(PASID_AT + 8n, 0x80_0006n);
    expect(bench.ask({ ...NEXT, pasid: PASID }).out).toBe(NEW);
  });

  it("a translation request is answered by the tables", () => {
    const bench = movedTable();
    bench.write(secondEntryOf(0x9000n), 0n); // the cached table is of no use any more
    expect(bench.ask({ ...NEXT, addressType: 1 }).out).toBe((NEW & ~0xfffn) | 0x234n);
  });

  it("a probe uses it, and caches nothing", () => {
    const bench = scalableBench(NESTED);
    expect(bench.probe(at).out).toBe(NESTED_PAGE | 0x234n);
    bench.write(secondEntry(2), 0n);
    expect(bench.probe(at).result).toBe(0x79);
    expect(movedTable().probe(NEXT).out).toBe(OLD);
  });

  it.each<[string, (engine: Bench["engine"]) => void, bigint]>([
    [
      "6.5.2.3, global",
      (engine) => {
        engine.invalidateIotlbGlobal();
      },
      NEW,
    ],
    [
      "6.5.2.3, the domain",
      (engine) => {
        engine.invalidateIotlbDomain(DOMAIN);
      },
      NEW,
    ],
    [
      "6.5.2.3, another domain",
      (engine) => {
        engine.invalidateIotlbDomain(OTHER);
      },
      OLD,
    ],
    [
      "6.5.2.3, a page",
      (engine) => {
        engine.invalidateIotlbPages(DOMAIN, 0, 0x5000, 0, false);
      },
      NEW,
    ],
    [
      "6.5.2.3, a page, leaf only",
      (engine) => {
        engine.invalidateIotlbPages(DOMAIN, 0, 0x1_3000, 0, true);
      },
      OLD,
    ],
    [
      "6.5.2.3, 1 GiB",
      (engine) => {
        engine.invalidateIotlbPages(DOMAIN, 0, 0, 18, false);
      },
      NEW,
    ],
    [
      "6.5.2.3, another 2 MiB",
      (engine) => {
        engine.invalidateIotlbPages(DOMAIN, 0, 0x20_0000, 9, false);
      },
      OLD,
    ],
    [
      "6.5.2.3, a page of another domain",
      (engine) => {
        engine.invalidateIotlbPages(OTHER, 0, 0x5000, 0, false);
      },
      OLD,
    ],
    [
      "6.5.2.4, the PASID",
      (engine) => {
        engine.invalidatePasidIotlb(DOMAIN, 0);
      },
      OLD,
    ],
    [
      "6.5.2.4, a page of the PASID",
      (engine) => {
        engine.invalidatePasidIotlbPages(DOMAIN, 0, 0, 0x2000, 0, false);
      },
      OLD,
    ],
    [
      "6.5.2.2, the last PASID of the domain",
      (engine) => {
        engine.invalidatePasidCachePasid(DOMAIN, 0);
      },
      NEW,
    ],
    [
      "6.5.2.1, all",
      (engine) => {
        engine.invalidateContextGlobal();
      },
      NEW,
    ],
  ])("tables 23 and 24: %s", (_name, act, out) => {
    const bench = movedTable();
    act(bench.engine);
    expect(bench.ask(NEXT).out).toBe(out);
  });

  it("what one PASID leaves stays for the others", () => {
    const bench = movedTable();
    expect(bench.ask({ ...NEXT, pasid: PASID }).out).toBe(OLD);
    bench.engine.invalidatePasidCachePasid(DOMAIN, PASID);
    expect(bench.ask({ ...NEXT, pasid: PASID }).out).toBe(OLD);
    bench.engine.invalidatePasidCachePasid(DOMAIN, 0);
    bench.engine.invalidatePasidCachePasid(DOMAIN, PASID);
    expect(bench.ask({ ...NEXT, pasid: PASID }).out).toBe(NEW);
  });
});

describe("VT-d 6.2.5 under nesting: a fault is what the tables say now", () => {
  it("of the second stage, for the page", () => {
    const bench = movedTable();
    bench.write(secondEntryOf(0x1_3000n), 0n);
    expect(bench.ask(NEXT).out).toBe(NEW);
  });

  it("of the second stage, for a first-stage table", () => {
    const bench = movedTable();
    bench.engine.invalidatePasidIotlb(DOMAIN, 0);
    bench.write(secondEntryOf(0x9000n), 0n);
    expect(bench.ask({ ...at, address: 0x1238n }).out).toBe(NESTED_PAGE | 0x238n);
  });

  it("of a first stage that is read where the second stage had it before", () => {
    const bench = movedTable();
    bench.write(firstEntry(1) + 8n, 0n); // not present there
    bench.write(TABLE + (0x9000n >> 9n), 0x7_7003n);
    bench.write(0x7_7010n, FIRST_PAGE | 0x67n);
    expect(bench.ask(NEXT).out).toBe(NESTED_PAGE | 0x234n);
  });

  it("and it is told once, with its reason", () => {
    const bench = movedTable();
    bench.write(secondEntryOf(0x1_3000n), 0n);
    bench.write(secondEntry(2), 0n);
    expect(bench.reason(NEXT)).toBe(0x79);
    expect(bench.faults.map(([reason]) => reason)).toEqual([0x79]);
    expect(bench.ask(withPasid).result).toBe(0);
  });
});
