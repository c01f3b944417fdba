import { createMemory } from "@viommu/memory";
import { describe, expect, it } from "vitest";
import { DomainPages, migrateDomain, restoreDomain } from "../src/index.ts";
import type { MigrationFigures, MigrationOptions } from "../src/index.ts";
import { bytesOf, sourceOf } from "./support/save-machine.ts";

const PAGE = 4096;
const regions = [
  { base: 0, size: 256 * PAGE },
  { base: 0x1_0000_0000, size: 256 * PAGE },
];

function memoryDomain() {
  const memory = createMemory({ regions, dirtyLog: true });
  return { memory, domain: { parts: [], pages: new DomainPages(memory, regions) } };
}

/** Moves a domain that writes `perStep` pages of `among` in each step; compares the copy. */
function migrate(
  perStep: number,
  among: number,
  options: Partial<MigrationOptions> = {},
): MigrationFigures {
  const { memory, domain } = memoryDomain();
  for (let page = 0; page < 256; page += 1) memory.write32(page * PAGE, page + 1);
  let written = 0;
  let figures: MigrationFigures | null = null;
  const bytes = bytesOf((write) => {
    figures = migrateDomain(
      domain,
      { write },
      {
        run: (steps) => {
          for (let i = 0; i < steps * perStep; i += 1) {
            // every third write makes a page of zeros
            const address = 0x1_0000_0000 + (written % among) * PAGE;
            memory.write32(address, written % 3 === 0 ? 0 : written);
            written += 1;
          }
          return steps;
        },
        bytesPerStep: 4 * PAGE,
        fewPages: 4,
        mostRounds: 8,
        ...options,
      },
    );
  });
  const copy = memoryDomain();
  copy.memory.write32(0x1_0000_0000 + 200 * PAGE, 9);
  restoreDomain(copy.domain, sourceOf(bytes));
  const [there, here] = [new Uint8Array(PAGE), new Uint8Array(PAGE)];
  for (let page = 0; page < domain.pages.count; page += 1) {
    domain.pages.read(page, here);
    copy.domain.pages.read(page, there);
    expect(Buffer.compare(here, there)).toBe(0);
  }
  expect(figures!.bytes).toBe(bytes.length);
  return figures!;
}

describe("live migration", () => {
  it("of a domain that writes slower than the pages go converges in a few rounds", () => {
    const { rounds, stoppedBy, lastPages, downtimeSteps } = migrate(1, 200);
    expect(stoppedBy).toBe("converged");
    expect(rounds[0]).toBe(256);
    expect(rounds.length).toBeGreaterThan(2);
    rounds.reduce((last, pages) => {
      expect(pages).toBeLessThan(last);
      return pages;
    });
    expect(lastPages).toBeLessThanOrEqual(4);
    expect(downtimeSteps).toBeLessThanOrEqual(2);
  });

  it("of one that writes faster is stopped when a round brings nothing", () => {
    const { rounds, stoppedBy, lastPages, downtimeSteps } = migrate(50, 120);
    expect(stoppedBy).toBe("no progress");
    expect(rounds).toHaveLength(2);
    expect(lastPages).toBe(120);
    expect(downtimeSteps).toBeGreaterThanOrEqual(20);
  });

  it("ends at the limit of rounds, and stops at once where there are none", () => {
    expect(migrate(2, 200, { mostRounds: 1 })).toMatchObject({ stoppedBy: "round limit" });
    const { rounds, stepsMeanwhile, lastPages } = migrate(2, 200, { mostRounds: 0 });
    expect({ rounds, stepsMeanwhile, lastPages }).toEqual({
      rounds: [],
      stepsMeanwhile: 0,
      lastPages: 256,
    });
  });

  it("ends when the domain has come to its end", () => {
    expect(migrate(1, 10, { run: (steps) => steps - 1 }).stoppedBy).toBe("end");
  });

  it("leaves out pages that hold zeros, unless they have held something", () => {
    const { memory, domain } = memoryDomain();
    memory.fill(0, 100 * PAGE, 0);
    memory.write32(100 * PAGE, 1);
    const figures: MigrationFigures[] = [];
    bytesOf((write) => {
      figures.push(
        migrateDomain(
          domain,
          { write },
          {
            run: (steps) => {
              memory.write32(100 * PAGE, 0);
              return steps;
            },
            bytesPerStep: PAGE,
            fewPages: 4,
            mostRounds: 8,
          },
        ),
      );
    });
    expect(figures[0]).toMatchObject({ pages: 1, zeroPages: 1 });
  });
});
