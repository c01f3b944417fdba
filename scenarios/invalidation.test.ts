/** What a guest may rely on after an invalidation has completed, whatever was cached before. */
import { Access } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { Guest, Reg } from "./support/guest.ts";
import { PAGE, PAGE_2M, RW } from "./support/second-stage.ts";

const DEVICE = 0x0010;
const domainSelective = (domain: bigint): [bigint, bigint] => [0x22n | (domain << 16n), 0n];
const pageSelective = (domain: bigint, page: bigint, order = 0n): [bigint, bigint] => [
  0x32n | (domain << 16n),
  page | order,
];

describe("after an invalidation has completed", () => {
  it("a table that only a failed walk has passed is not used again", () => {
    const guest = new Guest();
    const tables = guest.enableTranslation(DEVICE).map(PAGE, 0x5000n);
    guest.enableQueue();
    expect(guest.dma(DEVICE, 0n).result).toBe(6); // passes the last-level table, finds no page
    const otherTable = guest.alloc();
    guest.put64(otherTable + 8n, 0x6000n | RW);
    tables.put(0n, 2, otherTable | RW);
    expect(guest.flush(domainSelective(1n))).toBe(true);
    expect(guest.dma(DEVICE, PAGE).gpa).toBe(0x6000n);
  });

  it("a page of any size goes that overlaps the range", () => {
    for (const [address, order] of [
      [0n, 9n],
      [0x1f_f000n, 0n],
      [0x10_0000n, 4n],
    ] as const) {
      const guest = new Guest();
      const tables = guest.enableTranslation(DEVICE).map(0n, 0x40_0000n, RW, PAGE_2M);
      guest.enableQueue();
      expect(guest.dma(DEVICE, 0x1_2345n).gpa).toBe(0x41_2345n);
      tables.put(0n, 2, 0n);
      expect(guest.flush(pageSelective(1n, address, order))).toBe(true);
      expect(guest.dma(DEVICE, 0x1_2345n).result).toBe(6);
    }
  });

  it("other domains and other pages are still translated", () => {
    const guest = new Guest();
    const tables = guest.enableTranslation(DEVICE).map(0n, 0x5000n).map(PAGE, 0x6000n);
    guest.enableQueue();
    for (const descriptor of [
      pageSelective(1n, 0n),
      pageSelective(2n, PAGE),
      domainSelective(3n),
    ]) {
      guest.dma(DEVICE, 0n);
      guest.dma(DEVICE, PAGE);
      expect(guest.flush(descriptor)).toBe(true);
      expect([guest.dma(DEVICE, 0n).gpa, guest.dma(DEVICE, PAGE).gpa]).toEqual([0x5000n, 0x6000n]);
    }
    expect(tables.levels).toBe(4);
  });

  it("by registers: IOTLB page-selective, domain-selective, global; CCMD device-selective", () => {
    const guest = new Guest();
    const tables = guest.enableTranslation(DEVICE).map(0n, 0x5000n);
    const invalidate = (granularity: bigint, domain = 1n): bigint => {
      guest.write64(Reg.IOTLB, (1n << 63n) | (granularity << 60n) | (domain << 32n));
      const answer = guest.read64(Reg.IOTLB);
      expect(answer >> 63n).toBe(0n);
      return (answer >> 57n) & 3n;
    };
    let target = 0x5000n;
    for (const granularity of [1n, 2n, 3n]) {
      expect(guest.dma(DEVICE, 0n, Access.WRITE).gpa).toBe(target);
      target += 0x1000n;
      tables.map(0n, target);
      guest.write64(Reg.IVA, 0n);
      expect(invalidate(granularity)).toBe(granularity);
      expect(guest.dma(DEVICE, 0n, Access.WRITE).gpa).toBe(target);
    }
    const moved = guest.secondStage().map(0n, 0x9000n);
    guest.attach(DEVICE, moved, 2);
    guest.write64(Reg.CCMD, (1n << 63n) | (3n << 61n) | (BigInt(DEVICE) << 16n) | 1n);
    expect((guest.read64(Reg.CCMD) >> 59n) & 3n).toBe(3n);
    expect(invalidate(2n)).toBe(2n);
    expect(guest.dma(DEVICE, 0n).gpa).toBe(0x9000n);
  });
});
