import { FaultReason } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { thrown } from "./support/code.ts";
import { BUFFERS, GIB, Machine, MIB, PAGES } from "./support/machine.ts";

const NIC = { sourceId: 0x0010 };
const DISK = { sourceId: 0x0018 };
const NOT_PRESENT = -FaultReason.CONTEXT_NOT_PRESENT;
const BLOCKED_READ = -FaultReason.READ_DENIED;

/** Context entry of a device, low and high. */
function contextEntry(machine: Machine, sourceId: number): bigint[] {
  const root = Number(machine.written(0x20).at(-1)! & ~0xfffn);
  const contexts = Number(machine.qwords(root + (sourceId >> 8) * 16, 1)[0]! & ~0xfffn);
  return machine.qwords(contexts + (sourceId & 0xff) * 16, 2);
}

describe("domains of devices", () => {
  it("each device has its own: the same address leads elsewhere, or nowhere", () => {
    const machine = new Machine();
    const driver = machine.start();
    const iova = driver.attach(NIC).map(BUFFERS, 4096);
    const disk = driver.attach(DISK);
    expect(machine.dma(DISK.sourceId, iova)).toBe(BLOCKED_READ);
    expect(disk.map(BUFFERS + 4096, 4096)).toBe(iova);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
    expect(machine.dma(DISK.sourceId, iova)).toBe(BUFFERS + 4096);
  });

  it("writes context entries as Linux does: 48 bits, ids from 2 on", () => {
    const machine = new Machine();
    const driver = machine.start();
    driver.attach(NIC);
    driver.attach(DISK);
    const [low, high] = contextEntry(machine, NIC.sourceId);
    expect(low! & 0xfffn).toBe(1n);
    expect(high).toBe(0x202n);
    expect(contextEntry(machine, DISK.sourceId)[1]).toBe(0x302n);
  });

  it("devices that share a domain see the same, until one leaves", () => {
    const machine = new Machine();
    const driver = machine.start();
    const domain = driver.createDomain();
    driver.attach(NIC, { domain });
    driver.attach(DISK, { domain });
    const iova = domain.map(BUFFERS, 4096);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
    expect(machine.dma(DISK.sourceId, iova)).toBe(BUFFERS);
    expect(contextEntry(machine, NIC.sourceId)).toEqual(contextEntry(machine, DISK.sourceId));
    driver.detach(NIC);
    expect(machine.dma(NIC.sourceId, iova)).toBe(NOT_PRESENT);
    expect(machine.dma(DISK.sourceId, iova)).toBe(BUFFERS);
    expect(driver.domainOf(NIC)).toBe(null);
    expect(driver.domainOf(DISK)).toBe(domain);
  });

  it("a device that moves leaves nothing of its old domain behind", () => {
    const machine = new Machine();
    const driver = machine.start();
    const iova = driver.attach(NIC).map(BUFFERS, 4096);
    machine.dma(NIC.sourceId, iova);
    driver.attach(NIC);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BLOCKED_READ);
  });

  it("an id is used again only after the unit has forgotten its domain", () => {
    const machine = new Machine({ units: [{ profile: { domainIdBits: 4 } }] });
    const driver = machine.start();
    const iova = driver.attach({ sourceId: 0x100 }).map(BUFFERS, 4096);
    for (let i = 1; i < 14; i += 1) driver.attach({ sourceId: 0x100 + i });
    machine.dma(0x100, iova);
    expect(thrown(() => driver.attach(NIC))).toMatchObject({
      code: "ERR_VIOMMU_DRIVER_DOMAIN",
      message: expect.stringContaining("all 16 domain-ids") as string,
    });
    driver.detach({ sourceId: 0x100 });
    driver.attach(NIC);
    expect(contextEntry(machine, NIC.sourceId)[1]).toBe(0x202n);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BLOCKED_READ);
  });

  it("gives all pages of tables back with the last use of a domain", () => {
    const machine = new Machine();
    const driver = machine.start();
    driver.attach(NIC);
    driver.detach(NIC);
    const { pages } = driver.counters; // the context table stays
    const domain = driver.attach(NIC);
    for (const length of [4096, 2 * MIB, GIB, GIB + 4096]) domain.map(GIB, length);
    driver.detach(NIC);
    expect(driver.counters.pages).toBe(pages);
    expect(thrown(() => domain.map(BUFFERS, 4096)).code).toBe("ERR_VIOMMU_DRIVER_STATE");
  });

  it("a shared domain is released by its maker, when nobody uses it", () => {
    const driver = new Machine().start({ unmapping: "lazy" });
    const { pages } = driver.counters;
    const domain = driver.createDomain();
    driver.attach(NIC, { domain });
    domain.unmap(domain.map(BUFFERS, 4096));
    const release = () => {
      domain.release();
    };
    expect(thrown(release).code).toBe("ERR_VIOMMU_DRIVER_STATE");
    driver.detach(NIC);
    release();
    expect(driver.counters.pages).toBe(pages + 1); // the context table
    expect(thrown(release).code).toBe("ERR_VIOMMU_DRIVER_STATE");
    expect(thrown(() => driver.attach(NIC, { domain })).code).toBe("ERR_VIOMMU_DRIVER_STATE");
  });
});

describe("a domain made for one device", () => {
  it("can be shared too, and goes with its last device", () => {
    const machine = new Machine();
    const driver = machine.start();
    driver.attach(NIC);
    driver.detach(NIC);
    const { pages } = driver.counters;
    const domain = driver.attach(NIC);
    const iova = domain.map(BUFFERS, 4096);
    expect(driver.attach(NIC, { domain })).toBe(domain);
    driver.attach(DISK, { domain });
    driver.detach(NIC);
    expect(machine.dma(DISK.sourceId, iova)).toBe(BUFFERS);
    driver.detach(DISK);
    expect(driver.counters.pages).toBe(pages);
    expect(thrown(() => domain.map(BUFFERS, 4096)).code).toBe("ERR_VIOMMU_DRIVER_STATE");
  });
});

describe("pass-through (TT = 10b)", () => {
  it("lets a device's addresses be, and takes that back", () => {
    const machine = new Machine();
    const driver = machine.start();
    driver.passThrough(NIC);
    expect(contextEntry(machine, NIC.sourceId)).toEqual([0x9n, 0x102n]); // id 1, widest AW
    expect(machine.dma(NIC.sourceId, BUFFERS + 5)).toBe(BUFFERS + 5);
    expect(driver.domainOf(NIC)).toBe(null);
    driver.detach(NIC);
    expect(machine.dma(NIC.sourceId, BUFFERS)).toBe(NOT_PRESENT);
  });

  it("is refused by a unit without it", () => {
    const driver = new Machine({ units: [{ profile: { passThrough: false } }] }).start();
    expect(
      thrown(() => {
        driver.passThrough(NIC);
      }).code,
    ).toBe("ERR_VIOMMU_DRIVER_CAPABILITY");
  });
});

describe("reserved memory (RMRR)", () => {
  const base = BUFFERS + 8 * MIB;
  const machineWithRegion = () =>
    new Machine({
      structures: [
        {
          type: "RMRR",
          segment: 0,
          base,
          limit: base + 0x1fff,
          scopes: [
            {
              type: "PCI_ENDPOINT",
              flags: [],
              enumerationId: 0,
              startBus: 0,
              path: [{ device: 2, function: 0 }],
            },
          ],
        },
      ],
    });

  it("stays reachable for its device at its own address, from the moment translation is on", () => {
    const machine = machineWithRegion();
    const driver = machine.start();
    expect(driver.domainOf(NIC)).not.toBe(null);
    expect(machine.dma(NIC.sourceId, base + 0x1fff)).toBe(base + 0x1fff);
    expect(machine.dma(NIC.sourceId, base + 0x2000)).toBe(BLOCKED_READ);
    expect(machine.dma(DISK.sourceId, base)).toBe(NOT_PRESENT);
  });

  it("moves along into another domain, and its addresses are not given out there", () => {
    const machine = machineWithRegion();
    const driver = machine.start();
    const domain = driver.createDomain({ addressLimit: base + 0x2fff });
    driver.attach(DISK, { domain });
    driver.attach(NIC, { domain });
    driver.attach(NIC, { domain }); // mapped once
    expect(machine.dma(DISK.sourceId, base)).toBe(base);
    expect(domain.map(BUFFERS, 4096)).toBe(base + 0x2000);
    expect(domain.map(BUFFERS, 4096)).toBe(base - 0x1000);
  });

  it("is refused in a domain that has something else there", () => {
    const driver = machineWithRegion().start();
    const domain = driver.createDomain({ addressLimit: base + 0xfff });
    domain.map(BUFFERS, 4096);
    expect(thrown(() => driver.attach(NIC, { domain })).code).toBe("ERR_VIOMMU_DRIVER_IOVA");
    expect(driver.domainOf(NIC)).not.toBe(null); // it stays where it was
  });
});

describe("caching mode (CM)", () => {
  it("every new entry is invalidated: devices under id 0, pages under their domain", () => {
    const machine = new Machine({ units: [{ profile: { cachingMode: true } }] });
    const driver = machine.start();
    driver.attach(DISK); // makes the context table of the bus
    expect(machine.dma(NIC.sourceId, 0xffff_f000)).toBe(NOT_PRESENT);
    const first = Number(machine.written(0x88).at(-1));
    const domain = driver.attach(NIC);
    expect(machine.dma(NIC.sourceId, 0xffff_f000)).toBe(BLOCKED_READ);
    const iova = domain.map(BUFFERS, 4096);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
    // context of the device in domain 0; IOTLB of domain 3; wait; pages of domain 3 without IH
    const words = machine.qwords(PAGES.base + first, 8);
    expect([words[0], words[2], words[6], words[7]]).toEqual([
      0x10_0000_0031n,
      0x3_00e2n,
      0x3_00f2n,
      BigInt(iova),
    ]);
  });

  it("without it, mapping costs no invalidation", () => {
    const machine = new Machine();
    const driver = machine.start();
    const { waits } = driver.counters;
    driver.attach(NIC).map(BUFFERS, 4096);
    expect(driver.counters.waits).toBe(waits);
  });
});

describe("several units", () => {
  const scope = {
    type: "PCI_ENDPOINT",
    flags: [],
    enumerationId: 0,
    startBus: 0,
    path: [{ device: 2, function: 0 }],
  } as const;

  it("a device is known to its own unit only", () => {
    const machine = new Machine({ units: [{ drhd: { scopes: [scope] } }, {}] });
    const driver = machine.start();
    const iova = driver.attach(NIC).map(BUFFERS, 4096);
    expect(machine.dma(NIC.sourceId, iova, 1, machine.units[0])).toBe(BUFFERS);
    expect(machine.dma(NIC.sourceId, iova, 1, machine.units[1])).toBeLessThan(0);
    driver.attach(DISK);
    expect(machine.dma(DISK.sourceId, iova, 1, machine.units[1])).toBe(BLOCKED_READ);
  });

  it("a shared domain has what all have in common, an id under each, and is forgotten by all", () => {
    const machine = new Machine({
      units: [
        {
          drhd: { scopes: [scope] },
          profile: { addressWidths: [39, 48], pageSizes: ["4K", "2M"] },
        },
        { profile: { addressWidths: [39], maxGuestAddressWidth: 48 } },
      ],
    });
    const driver = machine.start();
    driver.attach({ sourceId: 0x20 }); // an id under the second unit only
    const domain = driver.createDomain();
    expect(domain.format).toEqual({
      stage: "second",
      levels: 3,
      addressWidth: 39,
      pageLevels: [1, 2],
    });
    driver.attach(NIC, { domain });
    driver.attach(DISK, { domain });
    const iova = domain.map(GIB, GIB);
    const reach = () => [
      machine.dma(NIC.sourceId, iova, 1, machine.units[0]),
      machine.dma(DISK.sourceId, iova, 1, machine.units[1]),
    ];
    expect(reach()).toEqual([GIB, GIB]);
    domain.unmap(iova);
    expect(reach()).toEqual([BLOCKED_READ, BLOCKED_READ]);
  });

  it("a device is not put into a domain that its unit does not understand", () => {
    const machine = new Machine({
      units: [
        { drhd: { scopes: [scope] }, profile: { addressWidths: [48] } },
        { profile: { addressWidths: [39], maxGuestAddressWidth: 48 } },
      ],
    });
    const driver = machine.start();
    const domain = driver.attach(NIC);
    expect(thrown(() => driver.attach(DISK, { domain }))).toMatchObject({
      code: "ERR_VIOMMU_DRIVER_DOMAIN",
      message: expect.stringContaining("dmar1") as string,
    });
    expect(thrown(() => driver.createDomain()).code).toBe("ERR_VIOMMU_DRIVER_DOMAIN");
  });
});
