import { MapResult, NO_PASID } from "@viommu/plugin";
import type { FirstStage } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { createPhysicalDevice, FrameAllocator } from "../src/index.ts";
import { FULL, hostMemory, LEGACY, RW, unitHost } from "./support/unit-host.ts";

const REFUSED = expect.objectContaining({ code: "ERR_VIOMMU_PIOMMU" }) as Error;
const STAGE: FirstStage = {
  rootFrame: 1,
  levels: 4,
  supervisor: false,
  writeProtect: false,
  extendedAccessed: false,
};

describe("the frame allocator", () => {
  const make = (frames: number): FrameAllocator =>
    new FrameAllocator({ memory: hostMemory(), firstFrame: 0x100, frames });

  it("gives each frame once, cleared, and says when there are no more", () => {
    const memory = hostMemory();
    memory.fill(0x10_0000, 0x4000, 0xff);
    const allocator = new FrameAllocator({ memory, firstFrame: 0x100, frames: 4 });
    const frames = [1, 2, 3, 4].map(() => allocator.allocate());
    expect(frames.sort()).toEqual([0x100, 0x101, 0x102, 0x103]);
    expect(allocator.allocate()).toBe(-1);
    expect(memory.read64(0x10_3ff8)).toBe(0n);
    allocator.free(0x102);
    expect([allocator.used, allocator.available]).toEqual([3, 1]);
    expect(allocator.allocate()).toBe(0x102);
  });

  it("gives runs of frames, and cuts them when single ones are short", () => {
    const allocator = make(8);
    const run = allocator.allocate(8);
    expect(allocator.allocate()).toBe(-1);
    allocator.free(run);
    const frames = new Set(Array.from({ length: 8 }, () => allocator.allocate()));
    expect(frames.size).toBe(8);
    expect(frames.has(-1)).toBe(false);
  });

  it("refuses to free what is not in use", () => {
    const allocator = make(8);
    const run = allocator.allocate(2);
    for (const frame of [run + 1, 0, 0x107, 0x200, -1, 0.5]) {
      expect(() => {
        allocator.free(frame);
      }).toThrow(REFUSED);
    }
    allocator.free(run);
    expect(() => {
      allocator.free(run);
    }).toThrow(REFUSED);
    expect(allocator.used).toBe(0);
  });

  it("refuses frames that are no memory", () => {
    const allocator = new FrameAllocator({
      memory: hostMemory(),
      firstFrame: 0x10_0000,
      frames: 1,
    });
    expect(() => allocator.allocate()).toThrow(REFUSED);
    expect(() => make(0)).toThrow(REFUSED);
  });
});

describe("a unit at its limits", () => {
  it.each([
    ["legacy", LEGACY, 3],
    ["scalable", FULL, 6],
  ])(
    "attaches all of a device or nothing, however few frames there are, %s mode",
    (_m, profile, most) => {
      const devices = [{ sourceId: 0x0010, aliases: [0x0110, 0x0210] }];
      for (let spare = 0; spare <= most; spare += 1) {
        const fixed = profile === FULL ? 4 : 3;
        const { frames, unit } = unitHost(profile, { devices, tableFrames: fixed + spare });
        const space = unit.createPagingSpace({ frameQuota: 1 });
        const before = frames.used;
        const attach = (): void => {
          unit.attach(0x0010, NO_PASID, space);
        };
        // three context tables, and in scalable mode directory and table
        if (spare < (profile === FULL ? 5 : 3)) {
          expect(attach).toThrow(REFUSED);
          expect(unit.attached(0x0010, NO_PASID)).toBe(unit.blocking);
        } else {
          attach();
          expect(unit.attached(0x0210, NO_PASID)).toBe(space);
          unit.attach(0x0010, NO_PASID, unit.blocking);
        }
        expect(frames.used).toBe(before);
      }
    },
  );

  it("moves a device between spaces without any frame left", () => {
    const { frames, unit } = unitHost(FULL, { tableFrames: 9 });
    const spaces = [1, 2].map(() => unit.createPagingSpace({ frameQuota: 1 }));
    unit.attach(0x0010, NO_PASID, spaces[0]!);
    while (frames.available > 0) frames.allocate();
    unit.attach(0x0010, 5, spaces[1]!);
    unit.attach(0x0010, NO_PASID, spaces[1]!);
    unit.attach(0x0010, NO_PASID, unit.blocking);
    unit.attach(0x0010, 5, unit.blocking);
    expect(frames.available).toBe(3); // context table, directory, PASID table
    expect(spaces[0]!.map(0, 0, 0, RW)).toBe(MapResult.NO_FRAMES); // by its quota
  });

  it("has as many spaces as domain ids", () => {
    const { unit } = unitHost({ ...FULL, domainIdBits: 4 });
    expect(unit.info.domainIds).toBe(14);
    const parent = unit.createPagingSpace({ frameQuota: 1, nestingParent: true });
    const nested = Array.from({ length: 13 }, () => unit.createNestedSpace(parent, STAGE));
    expect(() => unit.createPagingSpace({ frameQuota: 1 })).toThrow(REFUSED);
    expect(() => unit.createNestedSpace(parent, STAGE)).toThrow(REFUSED);
    nested[5]!.destroy();
    unit.createPagingSpace({ frameQuota: 1 });
  });

  it("has as many interrupt handles as entries", () => {
    const { unit } = unitHost();
    const handles = Array.from({ length: 256 }, () => unit.interrupts.allocate(0x0010));
    expect(new Set(handles).size).toBe(256);
    expect(() => unit.interrupts.allocate(0x0010)).toThrow(REFUSED);
    unit.interrupts.free(7);
    expect(unit.interrupts.allocate(0x0010)).toBe(7);
  });
});

describe("a host's mistakes are refused, and nothing changes", () => {
  it("spaces and attachments", () => {
    const { frames, unit } = unitHost();
    const other = unitHost().unit;
    const space = unit.createPagingSpace({ frameQuota: 5 });
    const parent = unit.createPagingSpace({ frameQuota: 5, nestingParent: true });
    unit.attach(0x0010, NO_PASID, space);
    const used = frames.used;
    const foreign = other.createPagingSpace({ frameQuota: 5, nestingParent: true });
    const wrong: (() => unknown)[] = [
      () => unit.createPagingSpace({ frameQuota: 0 }),
      () => unit.createPagingSpace({ frameQuota: NaN }),
      () => unit.createNestedSpace(space, STAGE),
      () => unit.createNestedSpace(foreign, STAGE),
      () => unit.createNestedSpace(parent, { ...STAGE, rootFrame: 2 ** 45 }),
      () => { unit.attach(0x0010, NO_PASID, foreign); }, // prettier-ignore
      () => { unit.attach(0x0010, 0, parent); }, // prettier-ignore
      () => { unit.attach(0x0010, 2 ** 20, parent); }, // prettier-ignore
      () => { unit.attach(0x1_0000, NO_PASID, parent); }, // prettier-ignore
      () => space.map(0, 0, 1, RW),
      () => space.map(1, 0, 9, RW),
      () => space.map(0, 1, 9, RW),
      () => space.map(-1, 0, 0, RW),
      () => space.map(0, 0, 0, 4),
      () => space.unmap(1, 1),
      () => space.unmap(0, -1),
      () => { space.readAndClearDirty(0, 0, () => undefined); }, // prettier-ignore
      () => { unit.interrupts.program(0, null); }, // prettier-ignore
      () => { unit.interrupts.allocate(-1); }, // prettier-ignore
    ];
    for (const act of wrong) expect(act).toThrow(REFUSED);
    expect(unit.attached(0x0010, NO_PASID)).toBe(space);
    expect(frames.used).toBe(used);
  });

  it("what a unit has not", () => {
    const { unit } = unitHost({ passThrough: false, snoopControl: false, pageSizes: ["4K"] });
    const space = unit.createPagingSpace({ frameQuota: 5, nestingParent: true });
    const { dirtyTracking, nesting, pageOrders, posting, snoop } = unit.info;
    expect([dirtyTracking, nesting, posting, snoop, pageOrders]).toEqual([false, false, false, false, [0]]); // prettier-ignore
    const handle = unit.interrupts.allocate(0x0010);
    const posted = { kind: "posted", vector: 1, descriptor: 1, urgent: false } as const;
    const wrong: (() => unknown)[] = [
      () => { unit.attach(0x0010, NO_PASID, unit.identity); }, // prettier-ignore
      () => { unit.attach(0x0010, 1, space); }, // prettier-ignore
      () => space.map(0, 0, 0, RW | 4),
      () => space.map(0, 0, 9, RW),
      () => unit.createNestedSpace(space, STAGE),
      () => { space.setDirtyTracking(true); }, // prettier-ignore
      () => { unit.interrupts.program(handle, posted); }, // prettier-ignore
      () => unitHost({ interruptRemapping: false }).unit.interrupts.allocate(1),
      () => unitHost(LEGACY, { scalable: true }),
      () => unitHost({ ...FULL, secondStage: false, nested: false, addressWidths: [], secondStageAccessedDirty: false }).unit.createPagingSpace({ frameQuota: 1 }), // prettier-ignore
      () => unitHost(FULL, { interruptEntriesLog2: 17 }),
      () => unitHost(FULL, { tableFrames: 2 }),
      () => unitHost(FULL, { devices: [{ sourceId: 1 }, { sourceId: 2, aliases: [1] }] }),
    ];
    for (const act of wrong) expect(act).toThrow(REFUSED);
  });
});

describe("reserved regions (VT-d 8.4)", () => {
  it("must be in a space before their device is", () => {
    const devices = [{ sourceId: 0x0010, direct: [{ dfn: 0x80, frames: 2 }] }];
    const { memory, unit } = unitHost(FULL, { devices });
    expect(unit.reservedRegions(0x0010)).toEqual([
      { dfn: 0xfee00, frames: 0x100, kind: "interrupts" },
      { dfn: 0x80, frames: 2, kind: "direct" },
    ]);
    expect(unit.reservedRegions(0x0020)).toHaveLength(1);
    const space = unit.createPagingSpace({ frameQuota: 5 });
    const attach = (): void => {
      unit.attach(0x0010, NO_PASID, space);
    };
    const steps: (() => unknown)[] = [
      () => space.map(0x80, 0x80, 0, RW),
      () => space.map(0x81, 0x80, 0, RW),
      () => space.map(0x81, 0x81, 0, 1),
    ];
    expect(attach).toThrow(REFUSED);
    for (const step of steps) {
      step();
      expect(attach).toThrow(/0x81/);
    }
    space.map(0x81, 0x81, 0, RW);
    attach();
    expect(createPhysicalDevice(unit, 0x0010).dma.writeWord(0x8_1004, 9)).toBe(0);
    expect(memory.read32(0x8_1004)).toBe(9);
    unit.attach(0x0010, NO_PASID, unit.blocking);
  });
});

describe("posted interrupts of a device (VT-d 5.2)", () => {
  it("are noted in the descriptor, and announced to a 32-bit destination", () => {
    const { delivered, memory, unit } = unitHost();
    const device = createPhysicalDevice(unit, 0x0010);
    const handle = unit.interrupts.allocate(0x0010);
    const target = { kind: "posted", vector: 0x42, descriptor: 0x8000 / 64 } as const;
    memory.write32(0x8020, 0xf2_0000); // NV
    memory.write32(0x8024, 0x1_0003); // NDST
    unit.interrupts.program(handle, { ...target, urgent: false });
    expect(device.interrupt(handle)).toBe(0);
    expect(memory.read64(0x8008)).toBe(1n << 2n);
    expect(memory.read32(0x8020)).toBe(0xf2_0001); // ON
    expect(delivered).toHaveLength(1);
    const [upper, address, data] = delivered[0]!;
    expect(upper! | ((address! >>> 12) & 0xff)).toBe(0x1_0003);
    expect(data! & 0xff).toBe(0xf2);
    memory.write32(0x8020, 0xf2_0002); // SN
    device.interrupt(handle);
    expect(delivered).toHaveLength(1);
    unit.interrupts.program(handle, { ...target, urgent: true });
    device.interrupt(handle);
    expect(delivered).toHaveLength(2);
  });
});
