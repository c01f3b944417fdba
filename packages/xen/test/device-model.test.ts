/** The device model's vIOMMU: conformance, its cache, and what a DMA costs in hypercalls. */
import { dmaRemapperConformance } from "@viommu/conformance";
import type { DmaRemapperHarness } from "@viommu/conformance";
import { createDmaPort } from "@viommu/memory";
import { Access, DmaResult } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { DummyViommu } from "../src/index.ts";
import { Gcmd, GuestTables, IOTLB_GLOBAL, iotlbPage } from "./guest-tables.ts";
import {
  addressOf,
  BASE,
  dmaRequest,
  DOM0,
  GUEST,
  L1_TRANSLATION,
  L2_IR,
  XenHost,
} from "./xen-host.ts";

const NIC = 0x0010;
const DISK = 0x0018;

function modelled(cachedPages?: number, capabilities: number = L2_IR) {
  const host = new XenHost();
  const guest = host.guestWithUnit(capabilities);
  const dummy = new DummyViommu({
    client: host.client,
    domid: GUEST,
    ...(cachedPages === undefined ? {} : { cachedPages }),
  });
  guest.domain.connect(DOM0, dummy);
  const tables = new GuestTables(guest.unit, guest.memory).start();
  return { host, dummy, tables, ...guest };
}

function harness(cachedPages: number): DmaRemapperHarness {
  const { dummy, tables, unit, memory, domain } = modelled(cachedPages);
  return {
    remapper: dummy,
    mappings: {
      map: (mapping) => {
        tables.map(mapping);
      },
      unmap: (mapping) => {
        tables.unmap(mapping);
      },
      sync: () => tables.sync(),
    },
    reported: () => domain.counters.faults,
    state: () => {
      const words = new Int32Array(0x8_0000 / 4);
      memory.readWords(0, 0x10_0000, words.length, words);
      let hash = 1;
      for (const word of words) hash = Math.imul(hash ^ word, 0x0100_0193);
      // a probe is a hypercall, too
      const { hypercalls, ...counted } = domain.counters;
      expect(hypercalls).toBe(0);
      const counters = [unit.dma.counters, counted, dummy.counters];
      return [unit.save().join(), JSON.stringify(counters), hash].join();
    },
  };
}

describe("conformance", () => {
  for (const pages of [0, 1, 512]) {
    describe(`with ${pages} cached pages for each device`, () => {
      for (const { name, run } of dmaRemapperConformance(() => harness(pages))) it(name, run);
    });
  }
});

describe("emulated devices", () => {
  it("use it like any remapper: bytes go where the guest's tables say", () => {
    const { dummy, tables, memory } = modelled();
    tables.mapPage(NIC, 0x7000, 0x80_0000);
    tables.mapPage(NIC, 0x8000, 0x90_0000);
    const port = createDmaPort({ memory, remapper: dummy, sourceId: NIC });
    expect(port.write(0x7ffe, Uint8Array.of(1, 2, 3, 4))).toBe(0);
    expect([memory.read32(0x80_0ffc), memory.read32(0x90_0000)]).toEqual([0x0201_0000, 0x0403]);
    expect(port.write(0x9000, Uint8Array.of(1))).toBe(5);
  });

  it("under no vIOMMU reach memory directly; where the hypercall fails, nothing", () => {
    const { host, unit } = modelled();
    const other = new DummyViommu({ client: host.client, domid: GUEST, segment: 1 });
    const request = dmaRequest(NIC, 0x7123, Access.WRITE);
    expect(other.translate(request)).toBe(0);
    expect([addressOf(request), request.granted]).toEqual([0x7123, 3 | Access.BYPASS]);
    request.hi = -1;
    expect(other.translate(request)).toBe(DmaResult.ABORTED);
    const foreign = new DummyViommu({ client: host.client, domid: 77 });
    expect(foreign.translate(dmaRequest(NIC, 0x7123, Access.WRITE))).toBe(DmaResult.ABORTED);
    expect(unit.segment).toBe(0);
  });

  it("under no vIOMMU come under one when it is created", () => {
    const host = new XenHost();
    const { domain } = host.addGuest();
    const dummy = new DummyViommu({ client: host.client, domid: GUEST });
    domain.connect(DOM0, dummy);
    const request = dmaRequest(NIC, 0x7123, Access.WRITE);
    expect(dummy.translate(request)).toBe(0);
    host.client.create(GUEST, { base: BASE, capabilities: L2_IR });
    domain.units[0]!.unit.write(0x18, 4, Gcmd.SRTP, 0);
    domain.units[0]!.unit.write(0x18, 4, Gcmd.TE, 0);
    expect(dummy.translate(request)).toBe(1);
  });
});

describe("what a DMA costs in hypercalls", () => {
  /** 10,000 accesses of one page each to a ring of 64 pages, mapped for good. */
  function ring(cachedPages: number, prefetch = false): number {
    const { host, dummy, tables } = modelled(cachedPages);
    for (let page = 0; page < 64; page += 1) {
      tables.mapPage(NIC, page * 4096, 0x80_0000 + page * 4096);
    }
    const before = host.client.hypercalls;
    if (prefetch) expect(dummy.prefetch(NIC, 0, 64 * 4096, Access.WRITE)).toBe(0);
    for (let i = 0; i < 10_000; i += 1) {
      const request = dmaRequest(NIC, (i % 64) * 4096 + (i % 4096), Access.WRITE);
      expect(dummy.translate(request)).toBe(0);
      expect(addressOf(request)).toBe(0x80_0000 + (i % 64) * 4096 + (i % 4096));
    }
    return host.client.hypercalls - before;
  }

  it("one each without a cache, one for each page with it, one for all when told ahead", () => {
    expect(ring(0)).toBe(10_000);
    expect(ring(512)).toBe(64);
    expect(ring(512, true)).toBe(1);
  });

  it.each([
    ["without a cache, one for each access", 0, 2560],
    ["with it, one for each page that is mapped anew, whatever else is cached", 512, 640],
  ])("strict unmapping: %s", (_, pages, translated) => {
    const { host, dummy, tables } = modelled(pages);
    const table = (page: number): number => 0x80_0000 + page * 4096;
    for (let page = 0; page < 64; page += 1) tables.mapPage(NIC, page * 4096, table(page));
    const before = host.client.hypercalls;
    let accesses = 0;
    for (let packet = 0; packet < 640; packet += 1) {
      const iova = (packet % 64) * 4096;
      for (let part = 0; part < 4; part += 1, accesses += 1) {
        expect(dummy.translate(dmaRequest(NIC, iova + part * 1024, Access.WRITE))).toBe(0);
      }
      tables.unmapPage(NIC, iova);
      expect(tables.flush(iotlbPage(iova))()).toBe(true);
      expect(dummy.translate(dmaRequest(NIC, iova, Access.WRITE))).toBe(5);
      tables.mapPage(NIC, iova, table(packet % 64));
    }
    // and one for the access to each page that is blocked
    expect([accesses, host.client.hypercalls - before]).toEqual([2560, translated + 640]);
  });
});

describe("the cache forgets what the guest invalidates", () => {
  it("a page, for every device, and nothing else", () => {
    const { dummy, tables } = modelled();
    for (const device of [NIC, DISK]) {
      for (const iova of [0x1000, 0x2000]) {
        tables.mapPage(device, iova, 0x80_0000 + iova);
        dummy.translate(dmaRequest(device, iova, Access.READ));
      }
    }
    tables.flush(iotlbPage(0x1000));
    const misses = (device: number, iova: number): number => {
      const before = dummy.counters.misses;
      dummy.translate(dmaRequest(device, iova, Access.READ));
      return dummy.counters.misses - before;
    };
    expect([misses(NIC, 0x1000), misses(DISK, 0x1000)]).toEqual([1, 1]);
    expect([misses(NIC, 0x2000), misses(DISK, 0x2000)]).toEqual([0, 0]);
  });

  it("all parts of a large page with one of them", () => {
    const { dummy, tables } = modelled();
    tables.mapPage(NIC, 0x20_0000, 0x80_0000, 3, 21);
    dummy.translate(dmaRequest(NIC, 0x20_1000, Access.READ));
    tables.unmapPage(NIC, 0x20_0000, 21);
    tables.flush(iotlbPage(0x20_0000));
    expect(dummy.translate(dmaRequest(NIC, 0x20_1000, Access.READ))).toBe(6);
  });

  it.each([
    ["IOTLB, global", IOTLB_GLOBAL],
    ["IOTLB, domain", [0x22 | (1 << 16), 0, 0, 0]],
    ["IOTLB, 64 pages", [0x32 | (1 << 16), 0, 6, 0]],
    ["context-cache, device", [0x31 | (1 << 16), NIC, 0, 0]],
  ])("%s", (_, descriptor) => {
    const { dummy, tables } = modelled();
    tables.mapPage(NIC, 0x1000, 0x80_0000);
    expect(dummy.translate(dmaRequest(NIC, 0x1000, Access.READ))).toBe(0);
    tables.flush(descriptor);
    dummy.translate(dmaRequest(NIC, 0x1000, Access.READ));
    expect(dummy.counters).toEqual({ hits: 0, misses: 2 });
  });

  it("everything when translation is switched, or a nested unit drops a page between the stages", () => {
    const { dummy, tables } = modelled();
    tables.mapPage(NIC, 0x1000, 0x80_0000);
    dummy.translate(dmaRequest(NIC, 0x1000, Access.READ));
    tables.command(Gcmd.TE, false);
    const request = dmaRequest(NIC, 0x1000, Access.READ);
    expect([dummy.translate(request), addressOf(request)]).toEqual([0, 0x1000]);

    const nested = modelled(512, L2_IR | L1_TRANSLATION);
    nested.tables.mapPage(NIC, 0x1000, 0x80_0000);
    nested.dummy.translate(dmaRequest(NIC, 0x1000, Access.READ));
    nested.tables.flush(iotlbPage(0x5000));
    nested.dummy.translate(dmaRequest(NIC, 0x1000, Access.READ));
    expect(nested.dummy.counters.hits).toBe(0);
  });

  it("refuses a size that is no power of two", () => {
    expect(() => modelled(3)).toThrow("cachedPages is 3");
  });
});
