import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { legacyMode } from "./support/oracle-legacy.ts";
import { oracle } from "./support/oracle.ts";
import { Random } from "./support/random.ts";
import { FIRST_TABLE, representable, same, show, Soup } from "./support/soup.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);
const MACHINES = 260;
const REQUESTS = 90;

const MODES = {
  0: legacyMode,
};

/** A second-stage entry: mostly good for a table of the next level or a page. */
function entry(soup: Soup, level: number): bigint {
  const { random } = soup;
  if (random.chance(5)) return 0n;
  let value = random.chance(96) ? soup.tablePage(level - 1) : soup.page();
  const large = (level === 2 || level === 3) && random.chance(25);
  if (level === 1 || large) value = random.chance(50) ? value : random.bits(36) & ~0xfffn;
  if (large && random.chance(90)) value = (value >> BigInt(9 * level + 3)) << BigInt(9 * level + 3);
  if (random.chance(2)) value = 0xfee0_0000n | (value & 0xf_f000n);
  if (large || random.chance(2)) value |= 0x80n;
  value |= random.chance(85) ? 3n : random.bits(2);
  if ((level === 1 || large) && random.chance(20)) value |= 0x800n;
  value |= soup.some(0x9ff0_0000_0000_077cn, 20); // ignored
  return value | soup.some(0x600f_ffff_0000_0800n, 2); // mostly reserved
}

function fillTables(soup: Soup): void {
  const { random, pages } = soup;
  const contextTables = [...pages.slice(1, FIRST_TABLE), ...pages.slice(-2)];
  for (const source of soup.sources) {
    const contextTable = random.chance(95) ? pages[1 + (source >> 12)]! : random.of(contextTables);
    let root = random.chance(95) ? contextTable | 1n : contextTable;
    root |= soup.some((1n << 64n) - 2n, 2);
    soup.write(pages[0]! + 16n * BigInt(source >> 8), root);
    soup.write(pages[0]! + 16n * BigInt(source >> 8) + 8n, soup.some((1n << 64n) - 1n, 2));
    writeContext(soup, contextTable + 16n * BigInt(source & 0xff));
  }
  for (const [level, page] of soup.tables()) {
    for (const index of [0n, 1n, 17n, 511n]) soup.write(page + 8n * index, entry(soup, level));
  }
}

function writeContext(soup: Soup, at: bigint): void {
  const { random, capabilities: cap } = soup;
  const widths = [1, 2, 3].filter((aw) => ((cap.SAGAW >> aw) & 1) === 1);
  const types = [0, 0, ...(cap.DT === 1 ? [1, 1, 1] : []), ...(cap.PT === 1 ? [2] : [])];
  const aw = random.chance(94) ? random.of(widths) : random.below(8);
  const tt = random.chance(95) ? random.of(types) : random.below(4);
  let low = soup.tablePage(aw + 2) | (BigInt(tt) << 2n);
  if (random.chance(93)) low |= 1n;
  if (random.chance(30)) low |= 2n;
  let high = BigInt(aw) | (BigInt(1 + random.below(3)) << 8n);
  high |= soup.some(0x78n, 20);
  low |= soup.some((1n << 64n) - 0x10n, 2);
  high |= soup.some((1n << 64n) - 0x10n, 3);
  soup.write(at, low);
  soup.write(at + 8n, high);
}

function machine(number: number): Soup {
  const random = new Random(number);
  const soup = new Soup(
    random,
    {
      ND: random.of([2, 4, 6]),
      SAGAW: random.of([0b10, 0b100, 0b110, 0b1100, 0b1110, 0b1110]),
      MGAW: random.of([38, 47, 51, 56]),
      SSLPS: random.of([0, 1, 3, 3]),
      ZLR: random.below(2),
      QI: 1,
      DT: random.of([0, 1, 1]),
      NWFS: random.below(2),
      PT: random.of([0, 1, 1]),
      SC: random.below(2),
    },
    0,
  );
  fillTables(soup);
  if (random.chance(30)) soup.protect();
  return soup;
}

/** Sends one random request; the engine and the oracle must agree. */
function compare(soup: Soup): void {
  const { random } = soup;
  const ask = {
    sourceId: random.of(soup.sources),
    pasid: random.chance(97) ? -1 : random.below(64),
    addressType: random.of([0, 0, 0, 0, 0, 0, 1, 1, 2, random.below(4)]),
    access: random.chance(95) ? random.of([1, 2, 3, 1, 2, 0]) : random.below(16),
    address: soup.address(),
  };
  const expected = representable(oracle(soup, ask, MODES));
  const answer = soup.ask(ask);
  if (!same(answer, expected)) {
    throw new Error(`${show(ask)}: ${show(answer)}, the oracle says ${show(expected)}`);
  }
  // and again, now that it may be cached
  const again = soup.ask(ask);
  if (!same(again, expected)) throw new Error(`${show(ask)} again: ${show(again)}`);
}

/** Changes some entries, and invalidates what may have been made of them. */
function change(soup: Soup): void {
  const { random, engine } = soup;
  for (let i = 0; i < 6; i += 1) {
    soup.write(
      random.of(soup.pages.slice(18)) + 8n * soup.index(),
      entry(soup, 1 + random.below(5)),
    );
  }
  switch (random.below(6)) {
    case 0:
      engine.invalidateAll();
      break;
    case 1:
      engine.invalidateIotlbGlobal();
      break;
    case 2:
      for (let did = 0; did < 0x1_0000; did += 1) engine.invalidateIotlbDomain(did);
      break;
    case 3:
      for (const source of soup.sources) {
        writeContext(soup, soup.pages[1 + (source >> 12)]! + 16n * BigInt(source & 0xff));
      }
      engine.invalidateContextGlobal();
      engine.invalidateIotlbGlobal();
      break;
    case 4:
      soup.enabled = random.chance(90);
      engine.setEnabled(soup.enabled);
      engine.invalidateIotlbGlobal();
      break;
    default:
      if (random.chance(50)) soup.protect();
      soup.latch();
  }
}

describe("legacy mode against a slow model", () => {
  it(`agrees on ${MACHINES * REQUESTS * 4 * 2} translations`, { timeout: 120_000 }, () => {
    fc.assert(
      fc.property(fc.integer(), (number) => {
        const soup = machine(number);
        for (let phase = 0; phase < 4; phase += 1) {
          for (let i = 0; i < REQUESTS; i += 1) compare(soup);
          change(soup);
        }
      }),
      { seed, numRuns: MACHINES, endOnFailure: true },
    );
    expect.assertions(0);
  });
});
