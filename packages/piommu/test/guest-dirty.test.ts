import { describe, expect, it } from "vitest";
import { DEVICE, guestHost, VIRTUAL } from "./support/guest-host.ts";
import type { GuestHost } from "./support/guest-host.ts";
import { GuestKernel } from "./support/guest-kernel.ts";

const PHYSICAL = { scalableMode: true, secondStageAccessedDirty: true } as const;

function told({ driver }: GuestHost, gfn = 0, count = 0x1000): number[] {
  const found: number[] = [];
  driver.readAndClearDirty(gfn, count, (frame) => found.push(frame));
  return found.sort((a, b) => a - b);
}

describe("dirty tracking", () => {
  it("tells of what was written, through whichever space, once", () => {
    const made = guestHost({ physical: PHYSICAL });
    const { device, driver, memory, unit } = made;
    // 4 KiB pages, so that single frames are told of
    made.p2m.setType(0x801, 1, "read-only");
    device.dma.writeWord(0x80_0000, 1);
    driver.setDirtyTracking(true);
    expect(told(made)).toEqual([]);
    device.dma.writeWord(0x80_2000, 1);
    device.dma.read(0x80_3000, new Uint8Array(4));
    expect(told(made, 0x900, 5)).toEqual([]);
    expect(told(made)).toEqual([0x802]);
    expect(told(made)).toEqual([]);

    const kernel = new GuestKernel(memory, unit);
    const root = kernel.table();
    kernel.setContext(VIRTUAL, root, 5);
    kernel.map(root, 9, 0x805);
    kernel.map(root, 10, 0x806, 1, 1n);
    kernel.setTranslation(true);
    told(made);
    device.dma.writeWord(0x9000, 1);
    expect(told(made)).toEqual([0x805]);
    // what was written before an unmapping is not lost
    device.dma.writeWord(0x9000, 1);
    kernel.unmap(root, 9);
    kernel.unmap(root, 10);
    kernel.iotlbDomain(5);
    expect(told(made)).toEqual([0x805]);
    driver.setDirtyTracking(false);
    expect(told(made)).toEqual([]);
  });

  it("survives a change of the page's type, and the end of its shadow", () => {
    const made = guestHost({ physical: PHYSICAL });
    const { device, driver, memory, p2m, unit } = made;
    const kernel = new GuestKernel(memory, unit);
    const root = kernel.table();
    kernel.setContext(VIRTUAL, root, 5);
    kernel.map(root, 9, 0x805);
    kernel.map(root, 10, 0x806);
    kernel.setTranslation(true);
    driver.setDirtyTracking(true);
    device.dma.writeWord(0x9000, 1);
    p2m.setType(0x805, 1, "read-only");
    expect(told(made)).toEqual([0x805]);
    device.dma.writeWord(0xa000, 1);
    kernel.setTranslation(false);
    expect(told(made)).toEqual([0x806]);
  });

  it("is refused by a host without D bits, and nothing is changed", () => {
    const made = guestHost();
    expect(() => {
      made.driver.setDirtyTracking(true);
    }).toThrow(expect.objectContaining({ code: "ERR_VIOMMU_PIOMMU" }));
    expect(told(made)).toEqual([]);
    made.driver.unassign(DEVICE);
  });
});
