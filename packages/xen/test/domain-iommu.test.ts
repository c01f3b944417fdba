import { describe, expect, it } from "vitest";
import { createDomainIommu, Errno } from "../src/index.ts";
import { GuestTables, Reg } from "./guest-tables.ts";
import { DEVICE, OFFSET, PassthroughHost, VIRTUAL } from "./passthrough-host.ts";
import { BASE, GUEST, L2_IR, MIB, readRegister } from "./xen-host.ts";

const refused = (code: string): unknown => expect.objectContaining({ code }) as unknown;

/** A guest's tables with `pages` pages for its device, each in a table of its own, before TE. */
function spread(host: PassthroughHost, pages: number): GuestTables {
  const { memory, units } = host.guest;
  const tables = new GuestTables(units[0]!, memory);
  for (let i = 0; i < pages; i += 1) tables.mapPage(VIRTUAL, i * 2 * MIB, 12 * MIB + i * 4096);
  return tables;
}

describe("the driver of a domain's devices", () => {
  it("has its quota from the frames of the domain's budget", () => {
    const host = new PassthroughHost({ machine: { budget: { frames: 500 } } });
    const { domain } = host.guest;
    const taken = domain.units[0]!.frames;
    expect(host.iommu.report().frameQuota).toBe(500 - taken);
    expect(domain.frames.free).toBe(0);
    const more = { base: BASE + 4096, capabilities: L2_IR, segment: 1 };
    expect(host.host.client.create(GUEST, more)).toBe(-Errno.ENOMEM);
  });

  it("leaves the domain what it is not given", () => {
    const host = new PassthroughHost({
      machine: { budget: { frames: 500 } },
      iommu: { frames: 20 },
    });
    expect(host.iommu.report().frameQuota).toBe(20);
    expect(host.guest.domain.frames.free).toBe(500 - host.guest.domain.units[0]!.frames - 20);
  });

  it("is refused beyond the budget, and a second time", () => {
    const budget = { frames: 500 };
    const make = (frames: number) => () =>
      new PassthroughHost({ machine: { budget }, iommu: { frames } });
    expect(make(501)).toThrow(refused("ERR_VIOMMU_XEN_BUDGET"));
    expect(make(0)).toThrow(refused("ERR_VIOMMU_XEN_BUDGET"));
    const host = make(20)();
    expect(() => {
      createDomainIommu(host.guest.domain, { physical: host.physical, p2m: host.p2m });
    }).toThrow(refused("ERR_VIOMMU_XEN_DOMAIN"));
    expect(host.guest.domain.iommu).toBe(host.iommu);
  });

  it("blocks a guest that wants more, and tells it; less is fine", () => {
    const host = new PassthroughHost({ iommu: { frames: 60 } });
    const tables = spread(host, 40).start();
    expect(host.iommu.report().mostFrames).toBeGreaterThan(60);
    expect(host.reach(0)).toBeLessThan(0);
    expect(readRegister(tables.unit, Reg.FRCD + 12) & 0xff).toBe(7);
    for (let i = 1; i < 40; i += 1) tables.unmapPage(VIRTUAL, i * 2 * MIB);
    expect(tables.sync()()).toBe(true);
    expect(host.reach(0)).toBe(12 * 256 + OFFSET);
  });

  it("works in the domain's turns, and holds its wait descriptors back meanwhile", () => {
    const host = new PassthroughHost({ iommu: { inlineBudget: 1 } });
    const { domain } = host.guest;
    const { registry } = host.host;
    const settle = (): number => {
      let turns = 0;
      for (; domain.pending; turns += 1) registry.run();
      return turns;
    };
    const tables = spread(host, 20).start();
    expect(settle()).toBeGreaterThan(0);
    expect(host.reach(0)).toBe(12 * 256 + OFFSET);
    tables.unmapPage(VIRTUAL, 0);
    const isDone = tables.sync();
    expect(isDone()).toBe(false);
    settle();
    expect(isDone()).toBe(true);
    expect(host.reach(0)).toBeLessThan(0);
  });

  it("takes the devices back when the domain ends", () => {
    const host = new PassthroughHost();
    spread(host, 3).start();
    host.host.registry.removeDomain(GUEST);
    expect(host.physical.attached(DEVICE, -1)).toBe(host.physical.blocking);
    while (host.iommu.pending) host.iommu.run(100);
    expect(host.iommu.report()).toMatchObject({ devices: 0, frames: 0, mainFrames: 0 });
  });
});
