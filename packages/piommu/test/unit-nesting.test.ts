import { Access, DmaRequest, hiFromBigint, loFromBigint, NO_PASID } from "@viommu/plugin";
import type { FirstStage, NestedSpace, PagingSpace } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { createPhysicalDevice } from "../src/index.ts";
import { buildFirstStage } from "./support/first-stage.ts";
import { FULL, RW, unitHost } from "./support/unit-host.ts";
import type { UnitHost } from "./support/unit-host.ts";

const DEVICE = 0x0010;
const OTHER = 0x0118;
const TABLE = 0x200;
const PAGE = 0x100;
const READ_ONLY = 0x5n;
const SUPERVISOR = 0x3n;
const SUPERVISOR_READ_ONLY = 0x1n;

interface Guest extends UnitHost {
  readonly parent: PagingSpace;
  readonly nested: NestedSpace;
}

/** A guest whose memory is host memory one to one, with these first-stage pages. */
function guest(
  pages: readonly (readonly [page: number, frame: number, flags?: bigint])[],
  stage: Partial<FirstStage> = {},
): Guest {
  const host = unitHost();
  const parent = host.unit.createPagingSpace({ frameQuota: 20, nestingParent: true });
  parent.map(0, 0, 9, RW);
  for (let i = 0; i < 16; i += 1) parent.map(TABLE + i, TABLE + i, 0, RW);
  const nested = host.unit.createNestedSpace(parent, {
    rootFrame: buildFirstStage(host.memory, TABLE, pages),
    levels: 4,
    supervisor: true,
    writeProtect: true,
    extendedAccessed: false,
    ...stage,
  });
  return { ...host, parent, nested };
}

describe("nested spaces (VT-d 3.8)", () => {
  it("are invalidated for all their PASIDs and devices, and no further", () => {
    const { memory, nested, unit } = guest([[PAGE, 5], [PAGE + 1, 6]]); // prettier-ignore
    unit.attach(DEVICE, 1, nested);
    unit.attach(DEVICE, 2, nested);
    unit.attach(OTHER, NO_PASID, nested);
    const ports = [
      createPhysicalDevice(unit, DEVICE).dmaWith(1),
      createPhysicalDevice(unit, DEVICE).dmaWith(2),
      createPhysicalDevice(unit, OTHER).dma,
    ];
    const reached = (page: number): number[] =>
      ports.map((port) => {
        const byte = new Uint8Array(1);
        return port.read(page * 4096, byte) === 0 ? byte[0]! : -1;
      });
    for (const frame of [5, 6, 7]) memory.fill(frame * 4096, 4096, frame);
    expect([reached(PAGE), reached(PAGE + 1)]).toEqual([[5, 5, 5], [6, 6, 6]]); // prettier-ignore
    buildFirstStage(memory, TABLE, [[PAGE, 7], [PAGE + 1, 7]]); // prettier-ignore
    nested.invalidate(PAGE, 0, true);
    expect([reached(PAGE), reached(PAGE + 1)]).toEqual([[7, 7, 7], [6, 6, 6]]); // prettier-ignore
    nested.invalidate(PAGE, 1, true);
    expect(reached(PAGE + 1)).toEqual([7, 7, 7]);
  });

  it("are invalidated in the upper half, by signed and by unsigned page numbers", () => {
    for (const page of [-(2 ** 35), 2 ** 52 - 2 ** 35]) {
      const { memory, nested, unit } = guest([[PAGE, 5]]);
      // entry 256 of the root leads where entry 0 does
      memory.write64(TABLE * 4096 + 256 * 8, memory.read64(TABLE * 4096));
      unit.attach(DEVICE, 1, nested);
      const request = new DmaRequest();
      const address = 0xffff_8000_0000_0000n + BigInt(PAGE * 4096);
      const place = { hi: hiFromBigint(address), lo: loFromBigint(address) };
      Object.assign(request, { sourceId: DEVICE, pasid: 1, access: Access.READ, ...place });
      for (const frame of [5, 6]) {
        buildFirstStage(memory, TABLE, [[PAGE, frame]]);
        memory.write64(TABLE * 4096 + 256 * 8, memory.read64(TABLE * 4096));
        nested.invalidate(page + PAGE, 0, false);
        expect(unit.dmaRemapper.translate(request)).toBe(0);
        expect(request.outLo >>> 12).toBe(frame);
      }
    }
  });

  it("have their writes marked in the parent, with the writes to their tables", () => {
    const { memory, nested, parent, unit } = guest([[PAGE, 5]]);
    parent.map(5, 5, 0, RW);
    parent.setDirtyTracking(true);
    unit.attach(DEVICE, 1, nested);
    const device = createPhysicalDevice(unit, DEVICE).dmaWith(1);
    const dirty = (): number[] => {
      const pages: number[] = [];
      parent.readAndClearDirty(0, 10, (dfn) => pages.push(dfn));
      return pages;
    };
    for (let round = 0; round < 2; round += 1) {
      expect(device.writeWord(PAGE * 4096, round)).toBe(0);
      expect(memory.read32(5 * 4096)).toBe(round);
      // VT-d 3.8.1: with SSADE, reading a first-stage entry counts as a write
      expect(dirty()).toEqual([5, TABLE, TABLE + 1, TABLE + 2, TABLE + 3]);
      expect(dirty()).toEqual([]);
    }
    parent.setDirtyTracking(false);
    expect(device.writeWord(PAGE * 4096, 3)).toBe(0);
  });
});

describe("a denied write (VT-d 7.1.3, SGN.6) is told apart", () => {
  const READ_ONLY_HOST = 0x60;

  it.each([
    ["a user, guest read-only", READ_ONLY, 5, Access.WRITE, true, "first-stage"],
    ["a user, host read-only", 0x7n, READ_ONLY_HOST, Access.WRITE, true, "host"],
    ["a user, both read-only", READ_ONLY, READ_ONLY_HOST, Access.WRITE, true, "first-stage"],
    ["an atomic, guest read-only", READ_ONLY, 5, Access.ATOMIC, true, "first-stage"],
    ["a supervisor, WPE, guest read-only", SUPERVISOR_READ_ONLY, 5, 10, true, "first-stage"],
    ["a supervisor, guest ignored, host read-only", SUPERVISOR_READ_ONLY, READ_ONLY_HOST, 10, false, "host"], // prettier-ignore
    ["a user, supervisor page", SUPERVISOR, 5, Access.WRITE, true, "first-stage"],
  ])("%s", (_what, flags, frame, access, writeProtect, stage) => {
    const { faults, nested, parent, unit } = guest([[PAGE, frame, flags]], { writeProtect });
    parent.map(READ_ONLY_HOST, READ_ONLY_HOST, 0, 1);
    unit.attach(DEVICE, 1, nested);
    const request = new DmaRequest();
    Object.assign(request, { sourceId: DEVICE, pasid: 1, access, hi: 0, lo: PAGE * 4096 + 4 });
    expect(unit.dmaRemapper.translate(request)).toBeGreaterThan(0);
    expect(faults).toHaveLength(1);
    const { hi, kind, lo, pasid, sourceId } = faults[0]!;
    expect(faults[0]!.stage).toBe(stage);
    expect([kind, sourceId, pasid, hi, lo]).toEqual(["dma", DEVICE, 1, 0, PAGE * 4096 + 4]);
  });

  it("a second-stage space has host faults only", () => {
    const { faults, unit } = guest([]);
    const space = unit.createPagingSpace({ frameQuota: 5 });
    space.map(PAGE, 5, 0, 1);
    unit.attach(DEVICE, NO_PASID, space);
    expect(createPhysicalDevice(unit, DEVICE).dma.writeWord(PAGE * 4096, 1)).toBe(0x85);
    expect(faults[0]!.stage).toBe("host");
  });
});

describe("shared frames", () => {
  it("two units can use one allocator and one memory", () => {
    const { frames, memory, unit } = unitHost(FULL);
    const second = unitHost(FULL, { memory, frames, name: "dmar1" }).unit;
    const spaces = [unit, second].map((each, i) => {
      const space = each.createPagingSpace({ frameQuota: 5 });
      space.map(PAGE, 5 + i, 0, RW);
      each.attach(DEVICE, NO_PASID, space);
      return space;
    });
    [unit, second].forEach((each, i) => {
      expect(createPhysicalDevice(each, DEVICE).dma.writeWord(PAGE * 4096, 7 + i)).toBe(0);
      expect(memory.read32((5 + i) * 4096)).toBe(7 + i);
    });
    expect(spaces.map(({ frames: used }) => used)).toHaveLength(2);
  });
});
