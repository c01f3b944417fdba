import { MapResult, NO_PASID } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { createPhysicalDevice } from "../src/index.ts";
import { FULL, LEGACY, RW, unitHost } from "./support/unit-host.ts";

const DEVICE = 0x0010;

describe.each([
  ["legacy", LEGACY],
  ["scalable", FULL],
])("a paging space, %s mode", (_mode, profile) => {
  it("lets a device reach what it maps, and nothing else", () => {
    const { memory, unit } = unitHost(profile);
    const device = createPhysicalDevice(unit, DEVICE);
    const space = unit.createPagingSpace({ frameQuota: 10 });
    expect(space.map(0x100, 0x5, 0, RW)).toBe(MapResult.MAPPED);
    memory.write32(0x5010, 0x1234_5678);
    const word = new Uint8Array(4);
    expect(device.dma.read(0x10_0010, word)).not.toBe(0);
    unit.attach(DEVICE, NO_PASID, space);
    expect(device.dma.read(0x10_0010, word)).toBe(0);
    expect(word).toEqual(Uint8Array.of(0x78, 0x56, 0x34, 0x12));
    expect(device.dma.read(0x10_1000, word)).not.toBe(0);
    expect(device.dma.writeWord(0x10_0014, 7)).toBe(0);
    expect(memory.read32(0x5014)).toBe(7);
    space.unmap(0x100, 0);
    space.flush();
    expect(device.dma.read(0x10_0010, word)).not.toBe(0);
    unit.attach(DEVICE, NO_PASID, unit.blocking);
    space.destroy();
  });

  it("gives every frame back", () => {
    const { frames, unit } = unitHost(profile);
    const before = frames.used;
    const space = unit.createPagingSpace({ frameQuota: 100 });
    unit.attach(DEVICE, NO_PASID, space);
    for (let i = 0; i < 20; i += 1) space.map(i * 0x4_0000, 0x40 * i, 0, RW);
    space.map(0x40_0000_0, 0, 9, RW);
    space.map(0x40_0000_7, 9, 0, 1);
    unit.attach(DEVICE, NO_PASID, unit.blocking);
    space.destroy();
    expect(frames.used).toBe(before);
  });
});
