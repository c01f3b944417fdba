import { Access } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { thrown } from "./support/code.ts";
import { BUFFERS, GIB, Machine, MIB } from "./support/machine.ts";

const NIC = { sourceId: 0x0010 };
const DISK = { sourceId: 0x0018 };
const BLOCKED_READ = -FaultReason.READ_DENIED;
const BLOCKED_WRITE = -FaultReason.WRITE_DENIED;

const blockedAt = (machine: Machine, iova: number, device = NIC): boolean =>
  machine.dma(device.sourceId, iova) === BLOCKED_READ;

describe("mapping", () => {
  it("makes exactly the pages reachable, with the offset of the first byte kept", () => {
    const machine = new Machine();
    const domain = machine.start().attach(NIC);
    const iova = domain.map(BUFFERS + 0x1234, 0x2000); // bytes on three pages
    expect(iova % 4096).toBe(0x234);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS + 0x1234);
    expect(machine.dma(NIC.sourceId, iova + 0x1fff)).toBe(BUFFERS + 0x3233);
    expect(blockedAt(machine, iova + 0x3000)).toBe(true);
    expect(blockedAt(machine, iova - 0x1000)).toBe(true);
    expect(domain.size).toBe(1);
  });

  it("gives addresses out from below 4 GiB downwards, but for the interrupt range", () => {
    const domain = new Machine().start().attach(NIC);
    expect(domain.map(BUFFERS, 4096)).toBe(0xffff_f000);
    expect(domain.map(BUFFERS, 4096)).toBe(0xffff_e000);
    expect(domain.map(BUFFERS, 3 * 4096)).toBe(0xffff_8000); // aligned to four pages
    expect(domain.map(BUFFERS, 16 * MIB - 0x10_0000)).toBe(0xff00_0000);
    expect(domain.map(BUFFERS, MIB)).toBe(0xfef0_0000);
    expect(domain.map(BUFFERS, MIB)).toBe(0xfed0_0000);
  });

  it("goes above 4 GiB when there is no room below, unless the device can't", () => {
    const machine = new Machine();
    const driver = machine.start();
    const wide = driver.attach(NIC);
    expect(wide.map(GIB, GIB)).toBe(2 * GIB); // the interrupt range is in the one above
    expect(wide.map(GIB, GIB)).toBe(GIB);
    expect(wide.map(GIB, GIB)).toBe(2 ** 48 - GIB);
    const narrow = driver.attach(DISK, { addressLimit: 2 * GIB - 1 });
    expect(narrow.map(GIB, GIB)).toBe(GIB);
    expect(thrown(() => narrow.map(GIB, GIB))).toMatchObject({
      code: "ERR_VIOMMU_DRIVER_IOVA",
      message: expect.stringContaining("below 0x80000000") as string,
    });
  });

  it("gives the rights that were asked for", () => {
    const machine = new Machine();
    const domain = machine.start().attach(NIC);
    const toDevice = domain.map(BUFFERS, 4096, Access.READ);
    const fromDevice = domain.map(BUFFERS, 4096, Access.WRITE);
    expect(machine.dma(NIC.sourceId, toDevice, Access.READ)).toBe(BUFFERS);
    expect(machine.dma(NIC.sourceId, toDevice, Access.WRITE)).toBe(BLOCKED_WRITE);
    expect(machine.dma(NIC.sourceId, fromDevice, Access.READ)).toBe(BLOCKED_READ);
    expect(machine.dma(NIC.sourceId, fromDevice, Access.WRITE)).toBe(BUFFERS);
  });

  it("puts scattered pages one after the other", () => {
    const machine = new Machine();
    const domain = machine.start().attach(NIC);
    const pages = [7, 3, 4, 5, 0].map((page) => BUFFERS + page * 4096);
    const iova = domain.mapPages(pages);
    const reached = pages.map((_, i) => machine.dma(NIC.sourceId, iova + i * 4096));
    expect(reached).toEqual(pages);
  });

  it("refuses what is no page, no length, no access, or not mapped", () => {
    const domain = new Machine().start().attach(NIC);
    const code = (action: () => unknown) => thrown(action).code;
    expect(code(() => domain.map(BUFFERS, 0))).toBe("ERR_VIOMMU_DRIVER_IOVA");
    expect(code(() => domain.map(-4096, 4096))).toBe("ERR_VIOMMU_DRIVER_IOVA");
    expect(code(() => domain.map(BUFFERS, 4096, Access.NONE))).toBe("ERR_VIOMMU_DRIVER_IOVA");
    expect(code(() => domain.mapPages([]))).toBe("ERR_VIOMMU_DRIVER_IOVA");
    expect(code(() => domain.mapPages([BUFFERS + 8]))).toBe("ERR_VIOMMU_DRIVER_IOVA");
    const iova = domain.map(BUFFERS, 8192);
    expect(
      code(() => {
        domain.unmap(iova + 4096);
      }),
    ).toBe("ERR_VIOMMU_DRIVER_IOVA");
    domain.unmap(iova);
    expect(
      code(() => {
        domain.unmap(iova);
      }),
    ).toBe("ERR_VIOMMU_DRIVER_IOVA");
  });

  it("leaves nothing behind when there is no memory for tables", () => {
    const machine = new Machine();
    const driver = machine.start({
      interruptEntries: 256,
      pages: { base: 16 * MIB, size: 12 * 4096 },
    });
    const domain = driver.attach(NIC);
    // one table of each level for 2 MiB, and then one for each further 2 MiB
    const before = driver.counters.pages;
    expect(thrown(() => domain.map(BUFFERS + 4096, 20 * MIB)).code).toBe(
      "ERR_VIOMMU_DRIVER_MEMORY",
    );
    expect(domain.size).toBe(0);
    expect(driver.counters.pages - before).toBeLessThanOrEqual(3); // the levels above stay
    const iova = domain.map(BUFFERS, 4096);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
  });
});

describe("strict unmapping", () => {
  it("is done when it returns: the device is blocked, whatever the unit had cached", () => {
    const machine = new Machine();
    const domain = machine.start().attach(NIC);
    const iova = domain.map(BUFFERS, 4096);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS); // now it is in the IOTLB
    domain.unmap(iova);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BLOCKED_READ);
    expect(domain.map(BUFFERS + 4096, 4096)).toBe(iova); // the address is free again
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS + 4096);
  });

  it("invalidates the block of pages, leaf entries only as long as no table drops out", () => {
    const machine = new Machine();
    const domain = machine.start().attach(NIC);
    const iova = domain.map(BUFFERS, 20 * 4096);
    const [tail] = machine.written(0x88).slice(-1);
    domain.unmap(iova);
    // IOTLB, page, DR and DW, domain 2; 32 pages, IH
    const at = 16 * MIB + Number(tail!);
    expect(machine.qwords(at, 2)).toEqual([0x2_00f2n, BigInt(iova) | 0x45n]);
    expect(machine.written(0x88).at(-1)).toBe(tail! + 0x20n);
  });

  it("asks for the whole domain where the unit has no page-selective invalidation, or too little", () => {
    for (const profile of [{ pageSelectiveInvalidation: false }, { maxAddressMask: 2 }]) {
      const machine = new Machine({ units: [{ profile }] });
      const domain = machine.start().attach(NIC);
      const iova = domain.map(BUFFERS, 8 * 4096);
      expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
      const tail = Number(machine.written(0x88).at(-1));
      domain.unmap(iova);
      expect(machine.qwords(16 * MIB + tail, 2)).toEqual([0x2_00e2n, 0n]);
      expect(blockedAt(machine, iova)).toBe(true);
    }
  });
});

describe("lazy unmapping", () => {
  it("leaves pages reachable until the flush, and their addresses unused", () => {
    const machine = new Machine();
    const driver = machine.start({ unmapping: "lazy" });
    const domain = driver.attach(NIC);
    const iova = domain.map(BUFFERS, 4096);
    machine.dma(NIC.sourceId, iova);
    const { waits } = driver.counters;
    domain.unmap(iova);
    expect(driver.counters.waits).toBe(waits);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
    expect(domain.map(BUFFERS, 4096)).not.toBe(iova);
    driver.flush();
    expect(driver.counters.waits).toBe(waits + 1);
    expect(blockedAt(machine, iova)).toBe(true);
    expect(domain.map(BUFFERS, 4096)).toBe(iova);
  });

  it("flushes by itself at the threshold, once for all", () => {
    const machine = new Machine();
    const driver = machine.start({ unmapping: "lazy", flushThreshold: 8 });
    const domain = driver.attach(NIC);
    const iovas = Array.from({ length: 8 }, () => domain.map(BUFFERS, 4096));
    for (const iova of iovas) machine.dma(NIC.sourceId, iova);
    const { waits } = driver.counters;
    for (const iova of iovas) domain.unmap(iova);
    expect(driver.counters.waits).toBe(waits + 1);
    expect(iovas.every((iova) => blockedAt(machine, iova))).toBe(true);
    expect(domain.counters).toEqual({ mapped: 8, unmapped: 8, flushes: 1 });
    domain.flush();
    expect(domain.counters.flushes).toBe(1); // nothing waits
  });

  it("can be chosen for one domain, and is never used with caching mode", () => {
    const machine = new Machine();
    const driver = machine.start();
    const iova = driver.attach(NIC, { unmapping: "lazy" }).map(BUFFERS, 4096);
    machine.dma(NIC.sourceId, iova);
    driver.domainOf(NIC)!.unmap(iova);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);

    const caching = new Machine({ units: [{ profile: { cachingMode: true } }] });
    const domain = caching.start({ unmapping: "lazy" }).attach(NIC);
    const strict = domain.map(BUFFERS, 4096);
    caching.dma(NIC.sourceId, strict);
    domain.unmap(strict);
    expect(blockedAt(caching, strict)).toBe(true);
  });

  it("frees tables only with the flush", () => {
    const machine = new Machine();
    const driver = machine.start({ unmapping: "lazy" });
    const domain = driver.attach(NIC);
    const iova = domain.mapPages(Array.from({ length: 512 }, (_, i) => BUFFERS + (511 - i) * 4096));
    machine.dma(NIC.sourceId, iova);
    const { pages } = driver.counters;
    domain.unmap(iova);
    expect(driver.counters.pages).toBe(pages);
    domain.flush();
    expect(driver.counters.pages).toBe(pages - 1);
  });
});

describe("superpages (SSLPS)", () => {
  it("are used where both addresses are aligned and the length allows it", () => {
    const machine = new Machine();
    const domain = machine.start().attach(NIC);
    const huge = domain.map(GIB, 2 * GIB);
    expect(machine.pageShift(NIC.sourceId, huge)).toBe(30);
    const large = domain.map(BUFFERS, 4 * MIB);
    expect(machine.pageShift(NIC.sourceId, large)).toBe(21);
    const crooked = domain.map(BUFFERS + 4096, 4 * MIB);
    expect(machine.pageShift(NIC.sourceId, crooked)).toBe(12);
    const mixed = domain.map(GIB, GIB + 2 * MIB + 4096);
    const end = mixed + GIB;
    expect(machine.pageShift(NIC.sourceId, mixed)).toBe(30);
    expect(machine.pageShift(NIC.sourceId, end)).toBe(21);
    expect(machine.pageShift(NIC.sourceId, end + 2 * MIB)).toBe(12);
    for (const [iova, address, length] of [
      [huge, GIB, 2 * GIB],
      [large, BUFFERS, 4 * MIB],
      [crooked, BUFFERS + 4096, 4 * MIB],
      [mixed, GIB, GIB + 2 * MIB + 4096],
    ] as const) {
      expect(machine.dma(NIC.sourceId, iova)).toBe(address);
      expect(machine.dma(NIC.sourceId, iova + length - 1)).toBe(address + length - 1);
    }
  });

  it.each([
    [["4K", "2M"], 21],
    [["4K"], 12],
  ] as const)("%j has no larger page than 2^%i bytes", (pageSizes, shift) => {
    const machine = new Machine({ units: [{ profile: { pageSizes } }] });
    const domain = machine.start({ pages: { base: 4 * GIB, size: 16 * MIB } }).attach(NIC);
    const iova = domain.map(GIB, GIB);
    expect(machine.pageShift(NIC.sourceId, iova)).toBe(shift);
  });

  it("take the place of tables that smaller mappings have left, with everything below forgotten", () => {
    const machine = new Machine();
    const driver = machine.start();
    const domain = driver.attach(NIC);
    const small = domain.map(BUFFERS, 4096);
    machine.dma(NIC.sourceId, small); // the unit knows the tables on the way
    domain.unmap(small); // 2 MiB around it have an empty table now
    const { pages } = driver.counters;
    const large = domain.map(BUFFERS, 2 * MIB);
    expect(Math.floor(large / (2 * MIB))).toBe(Math.floor(small / (2 * MIB)));
    expect(driver.counters.pages).toBe(pages - 1);
    expect(machine.dma(NIC.sourceId, small)).toBe(BUFFERS + (small % (2 * MIB)));
    expect(machine.pageShift(NIC.sourceId, large)).toBe(21);
    domain.unmap(large);
    expect(blockedAt(machine, large)).toBe(true);
  });

  it("a table that a superpage has replaced can serve others at once", () => {
    const machine = new Machine();
    const driver = machine.start();
    const nic = driver.attach(NIC);
    const disk = driver.attach(DISK);
    const small = nic.map(BUFFERS, 4096);
    machine.dma(NIC.sourceId, small); // the unit knows the table of the last level
    nic.unmap(small);
    disk.map(GIB, 2 * MIB);
    const { pages } = driver.counters;
    nic.map(GIB, 2 * MIB);
    disk.map(BUFFERS + 4096, 4096); // takes the free page for its own table, at the same index
    expect(driver.counters.pages).toBe(pages);
    expect(machine.dma(NIC.sourceId, small)).toBe(GIB + 2 * MIB - 4096);
  });

  it("unmapping 512 small pages at once gives their table back", () => {
    const machine = new Machine();
    const driver = machine.start();
    const domain = driver.attach(NIC);
    const keep = domain.map(BUFFERS, 4096);
    const { pages } = driver.counters;
    const iova = domain.mapPages(Array.from({ length: 512 }, () => BUFFERS));
    expect(driver.counters.pages).toBe(pages + 1);
    const tail = Number(machine.written(0x88).at(-1));
    domain.unmap(iova);
    expect(driver.counters.pages).toBe(pages);
    // IH is 0 now, 2^9 pages
    expect(machine.qwords(16 * MIB + tail, 2)).toEqual([0x2_00f2n, BigInt(iova) | 9n]);
    expect(machine.dma(NIC.sourceId, keep)).toBe(BUFFERS);
  });
});

describe("widths", () => {
  it.each([
    [[39], 39, 3],
    [[48], 48, 4],
    [[39, 48, 57], 52, 5],
  ] as const)("a unit with %j: %i bits of address, %i levels", (addressWidths, width, levels) => {
    const machine = new Machine({ units: [{ profile: { addressWidths } }] });
    const domain = machine.start().attach(NIC);
    expect(domain.format).toEqual({
      stage: "second",
      levels,
      addressWidth: width,
      pageLevels: [1, 2, 3],
    });
    const iova = domain.map(BUFFERS, 4096);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
  });

  it("no address beyond MGAW is given out", () => {
    const machine = new Machine({
      units: [{ profile: { addressWidths: [39], maxGuestAddressWidth: 36, hostAddressWidth: 36 } }],
    });
    expect(machine.start().attach(NIC).format.addressWidth).toBe(36);
  });
});
