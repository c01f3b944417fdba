import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { Machine, PAGES } from "./support/machine.ts";
import type { RegisterWrite } from "./support/machine.ts";

const GCMD = 0x18;
const IQT = 0x88;
const FEDATA = 0x3c;

/** The table that a register value points to, out of the way: only its low bits count. */
const withoutAddress = ([offset, size, value]: RegisterWrite): string =>
  `${offset.toString(16)}/${size} ${(offset === 0x20 || offset === 0x90 || offset === 0xb8 ? value & 0xfffn : value).toString(16)}`;

describe("the start of a unit, in the order of Linux", () => {
  it("writes queue, interrupt table, root table, fault event, translation, one GCMD bit a time", () => {
    const machine = new Machine();
    machine.start({ faultEvent: { apicId: 0x123, vector: 0x20 } });
    const { base } = PAGES;
    const queue = BigInt(base); // then a page of status words
    const interrupts = BigInt(base + 0x2000);
    const root = BigInt(base + 0x10_2000);
    expect(machine.writes).toEqual([
      [IQT, 4, 0n],
      [0x90, 8, queue],
      [GCMD, 4, 0x0400_0000n], // QIE
      [0xb8, 8, interrupts | 0x80fn], // EIME, 65536 entries
      [GCMD, 4, 0x0500_0000n], // SIRTP
      [GCMD, 4, 0x0600_0000n], // IRE
      [0x20, 8, root],
      [GCMD, 4, 0x4600_0000n], // SRTP
      [FEDATA, 4, 0x20n],
      [0x40, 4, 0xfee2_3000n],
      [0x44, 4, 0x100n],
      [0x38, 4, 0n],
      [GCMD, 4, 0x8600_0000n], // TE
    ]);
    expect(machine.read32(0x1c)).toBe(0xc700_0000);
  });

  it("invalidates by itself what the unit does not: ESIRTPS and ESRTPS are 0", () => {
    const machine = new Machine({
      units: [{ profile: { enhancedSetRootPointer: false, enhancedSetInterruptPointer: false } }],
    });
    machine.start();
    const queue = PAGES.base;
    expect(machine.writes.filter(([offset]) => offset === GCMD || offset === IQT)).toEqual([
      [IQT, 4, 0n],
      [GCMD, 4, 0x0400_0000n],
      [GCMD, 4, 0x0500_0000n],
      [IQT, 4, 0x20n],
      [GCMD, 4, 0x0600_0000n],
      [GCMD, 4, 0x4600_0000n],
      [IQT, 4, 0x50n],
      [GCMD, 4, 0x8600_0000n],
    ]);
    const status = BigInt(queue + 0x1000);
    // vtd-structures: IEC global; context global; IOTLB global with DR and DW; waits with data 2
    expect(machine.qwords(queue, 10)).toEqual([
      0x4n,
      0n,
      0x2_0000_0025n,
      status + 4n,
      0x11n,
      0n,
      0xd2n,
      0n,
      0x2_0000_0025n,
      status + 16n,
    ]);
  });

  it.each(["linux612-legacy-strict", "linux612-eim-apic-300"])(
    "writes the same registers as the guest recorded in %s",
    (name) => {
      const recorded = recording(name);
      const machine = new Machine({
        units: [{ profile: { enhancedSetInterruptPointer: false } }],
      });
      machine.start({
        apicMode: recorded.eim ? "x2apic" : "xapic",
        destinationMode: recorded.event.logical ? "logical" : "physical",
        faultEvent: recorded.event,
      });
      expect(machine.writes.filter(([offset]) => offset !== IQT).map(withoutAddress)).toEqual(
        recorded.writes.map(withoutAddress),
      );
    },
  );

  it("leaves scalable mode alone, but uses wide descriptors where the unit has it", () => {
    const machine = new Machine({ units: [{ profile: { scalableMode: true } }] });
    const driver = machine.start();
    expect(machine.written(0x90)).toEqual([BigInt(PAGES.base) | 0x801n]); // DW, two pages
    expect(machine.written(0x20)[0]! & 0xfffn).toBe(0n);
    driver.requestInterrupts({ sourceId: 8 }).route(0, { apicId: 1, vector: 0x40 });
    // 32 bytes a descriptor: IEC, then the wait
    expect(machine.qwords(PAGES.base, 8)).toEqual([
      0x14n,
      0n,
      0n,
      0n,
      0x2_0000_0025n,
      BigInt(PAGES.base + 0x2000 + 4),
      0n,
      0n,
    ]);
  });

  it("clears CFI where a predecessor left compatibility interrupts on", () => {
    const machine = new Machine();
    machine.bus.write(0xfed9_0018, 4, 0x0080_0000, 0);
    machine.start();
    expect(machine.written(GCMD).slice(-3)).toEqual([0x0600_0000n, 0x4600_0000n, 0x8600_0000n]);
    expect(machine.written(GCMD)).toContain(0x0680_0000n);
    expect(machine.read32(0x1c) & 0x0080_0000).toBe(0);
  });

  it("switches firmware's protected memory off after translation is on", () => {
    const machine = new Machine({ units: [{ profile: { protectedMemory: true } }] });
    machine.bus.write(0xfed9_0064, 4, 0x8000_0000 | 0, 0);
    machine.start();
    expect(machine.writes.at(-1)).toEqual([0x64, 4, 0n]);
    expect(machine.read32(0x64)).toBe(0);
  });

  it("flushes the write buffer after a new table entry where RWBF asks for it", () => {
    const machine = new Machine({ units: [{ profile: { writeBufferFlush: true } }] });
    const domain = machine.start().attach({ sourceId: 8 });
    const before = machine.writes.length;
    domain.map(0x200_0000, 4096);
    expect(machine.writes.slice(before)).toEqual([[GCMD, 4, 0x8e00_0000n]]);
  });

  it("stops in the opposite order, and starts again with the same tables", () => {
    const machine = new Machine();
    const driver = machine.start();
    const domain = driver.attach({ sourceId: 8 });
    const iova = domain.map(0x200_0000, 4096);
    const before = machine.writes.length;
    driver.stop();
    expect(machine.writes.slice(before)).toEqual([
      [0x38, 4, 0x8000_0000n],
      [GCMD, 4, 0x0600_0000n],
      [GCMD, 4, 0x0400_0000n],
      [GCMD, 4, 0n],
    ]);
    expect(machine.read32(0x1c) & 0x8600_0000).toBe(0);
    driver.start();
    expect(machine.dma(8, iova)).toBe(0x200_0000);
  });

  it("refuses a second start, and a stop before the first", () => {
    const driver = new Machine().probe();
    expect(() => {
      driver.stop();
    }).toThrow(expect.objectContaining({ code: "ERR_VIOMMU_DRIVER_STATE" }) as Error);
    driver.start();
    expect(() => {
      driver.start();
    }).toThrow(expect.objectContaining({ code: "ERR_VIOMMU_DRIVER_STATE" }) as Error);
  });
});

/** The writes of a real guest up to TE, without the queue's tail, and what it wrote twice once. */
function recording(name: string): {
  eim: boolean;
  event: { apicId: number; vector: number; logical: boolean };
  writes: RegisterWrite[];
} {
  const path = new URL(`../../../fixtures/${name}.jsonl.gz`, import.meta.url);
  const lines = gunzipSync(readFileSync(path)).toString().trimEnd().split("\n");
  const writes: RegisterWrite[] = [];
  for (const line of lines.slice(1)) {
    const event = JSON.parse(line) as { e: string; offset: string; size: number; value: string };
    const offset = Number(event.offset);
    if (event.e !== "mmio-write" || offset === IQT) continue;
    if (offset === FEDATA && writes.some((write) => write[0] === FEDATA)) {
      writes.length = writes.findIndex((write) => write[0] === FEDATA);
    }
    writes.push([offset, event.size, BigInt(event.value)]);
    if (offset === GCMD && BigInt(event.value) >> 31n === 1n) break;
  }
  const valueOf = (offset: number): number => Number(writes.find(([at]) => at === offset)![2]);
  const address = valueOf(0x40);
  const logical = (address & 4) !== 0;
  const destination = ((valueOf(0x44) & ~0xff) | ((address >>> 12) & 0xff)) >>> 0;
  return {
    eim: (valueOf(0xb8) & 0x800) !== 0,
    event: { apicId: apicIdOf(destination, logical), vector: valueOf(FEDATA), logical },
    writes,
  };
}

/** A cluster logical id names one APIC: 16 to a cluster. */
function apicIdOf(destination: number, logical: boolean): number {
  return logical ? (destination >>> 16) * 16 + Math.log2(destination & 0xffff) : destination;
}
