import { Access, DmaRequest, hiFromNumber, loFromNumber, toNumber } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { parseGuest } from "../src/config/load.ts";
import { NicRing, QUEUE_BASE, RingRegister } from "../src/devices/layout.ts";
import { Guest } from "../src/guest.ts";
import { Random } from "../src/random.ts";
import { command } from "./command.ts";
import type { RunReport } from "../src/run-report.ts";
import type { Change } from "./guests.ts";
import { bootedPassed, finished, passedText } from "./passed-through.ts";

const SCALABLE: readonly Change[] = [
  ["cachingMode: true", "cachingMode: true, scalableMode: true"],
  ["memory: 64M", "memory: 64M\ndriver: { mode: scalable }"],
];

describe("a guest with devices of a host beside its own", () => {
  it.each<[string, string | null, readonly Change[]]>([
    ["on a host of today", null, []],
    [
      "on a host in legacy mode",
      "{ options: { scalableMode: false, secondStageAccessedDirty: false } }",
      [],
    ],
    ["on a host that does not post", "{ options: { postedInterrupts: false } }", []],
    ["on a host with 4 KiB pages", '{ options: { pageSizes: ["4K"] } }', []],
    ["that unmaps lazily", null, [["seed: 7", "seed: 7, unmapping: lazy"]]],
    [
      "with one descriptor for each access",
      null,
      [["    options:", "    queueBudget: 1\n    options:"]],
    ],
    ["with register-based invalidation", null, [["eim: true", "queuedInvalidation: false"]]],
    ["that remaps interrupts only", null, [["eim: true", "addressWidths: [], passThrough: false"]]],
    ["that remaps DMA only", null, [["eim: true", "interruptRemapping: false"]]],
    ["with first-stage tables, nested", null, SCALABLE],
    [
      "with second-stage tables in scalable mode",
      null,
      [...SCALABLE, ['"03:00.0"', '"03:00.0", domain: second-stage']],
    ],
    [
      "whose card passes through its unit, too",
      null,
      [['"03:00.0"', '"03:00.0", domain: pass-through']],
    ],
    ["with a large page for small packets", null, [['"03:00.0"', '"03:00.0", sendPool: true']]],
    [
      "with memory in several pieces",
      null,
      [
        [
          "memory: 64M",
          "memory: [{ base: 0, size: 0xa0000 }, { base: 0x100000, size: 31M }, { base: 0x100000000, size: 33M }]",
        ],
      ],
    ],
    [
      "whose card interrupts by a pin",
      null,
      [["vectors: 4", "pin: { ioapic: ioapic0, number: 7, trigger: level }"]],
    ],
  ])("%s", (_, host, changes) => {
    const report = finished(bootedPassed(host, ...changes));
    expect(report.problems.first).toEqual([]);
    expect(report).toMatchObject({
      ok: true,
      interrupts: { sent: 500, delivered: 500, served: 500, moved: 50 },
      faults: { count: 0 },
      host: { faults: { guest: 0, host: 0 }, strayBytes: 0 },
    });
    const nests = changes === SCALABLE;
    expect(report.host.shadows.made > 0).toBe(!nests && !_.includes("interrupts only"));
    for (const device of report.host.devices) {
      expect(device.compared).toBeGreaterThan(500);
      expect(device.wrong).toBe(0);
    }
  });

  it("has none of its bytes at their guest-physical addresses in host memory", () => {
    const { machine } = bootedPassed();
    const { p2m } = machine.host!.memory;
    expect(p2m.extents.length).toBeGreaterThan(10);
    expect(p2m.extents.filter(({ gfn, mfn }) => gfn === mfn)).toEqual([]);
    expect(new Set(p2m.extents.map(({ gfn, mfn }) => mfn - gfn)).size).toBe(p2m.extents.length);
    machine.memory.writeWord(0, 0x12_3454, 0x600d);
    expect(machine.host!.memory.memory.read32(hostAddress(p2m, 0x12_3454))).toBe(0x600d);
  });

  it("without a unit: devices reach its memory by guest-physical addresses", () => {
    const yaml = passedText()
      .replace(/units:[^]*ioapics:/, "ioapics:")
      .replace("count: 4", "count: 600, extendedDestinationId: true");
    const guest = new Guest(parseGuest("guest.yaml", yaml));
    guest.boot();
    const report = finished(guest);
    expect(report.ok).toBe(true);
    expect(report.host.shadows).toMatchObject({ count: 0, synchronisations: 0 });
    expect(report.host.devices[0]!.compared).toBeGreaterThan(500);
  });
});

describe("DMA of a device of the host", () => {
  it("puts the bytes into the right host frames, and nothing else is written", () => {
    const guest = bootedPassed();
    const { memory } = guest.machine.host!;
    const nic = guest.kernel.devices[0]!;
    memory.takeWritten();
    nic.driver.start(0, new Random(1));
    guest.interrupts.run();
    expect(guest.problems.texts).toEqual([]);
    // of queue 0: the page of its rings, and a buffer or more for what has arrived
    const pages = writablePages(guest, nic.device.config.address.sourceId);
    const written = memory.takeWritten();
    expect(written.length).toBeGreaterThanOrEqual(2);
    for (const page of written) expect(pages).toContain(page);
    expect(memory.strayPages()).toBe(0);
    // the same bytes, seen from both sides
    const here = new Uint8Array(4096);
    const there = new Uint8Array(4096);
    for (const page of pages) {
      guest.machine.memory.readBytes(hiFromNumber(page), loFromNumber(page), here);
      const address = hostAddress(memory.p2m, page);
      memory.memory.readBytes(hiFromNumber(address), loFromNumber(address), there);
      expect(there).toEqual(here);
    }
  });

  it("that the guest has not mapped is blocked, and stands in the guest's fault log", () => {
    const guest = bootedPassed();
    const nic = guest.kernel.devices[0]!;
    const ring = nic.device.config.bar + QUEUE_BASE + NicRing.TRANSMIT + RingRegister.BASE;
    guest.machine.bus.write(ring, 8, 0x1000, 0);
    nic.driver.start(0, new Random(1));
    guest.interrupts.run();
    const fault = { unit: "dmar0", sourceId: 0x10, reason: 6, address: 0x1000, access: "read" };
    expect(guest.kernel.faults).toMatchObject([fault]);
    expect(guest.blocked).toMatchObject([{ requester: "00:02.0", reason: 6 }]);
    const { driver, blocked } = guest.machine.host!;
    expect(driver.counters).toMatchObject({ guestFaults: 1, hostFaults: 0 });
    expect(blocked).toBe(0);
  });

  it("past the quota of the guest is blocked, and the other devices go on", () => {
    const report = finished(bootedPassed("{ frameQuota: 3 }"));
    expect(report.ok).toBe(false);
    expect(report.host.shadows.quotaHits).toBeGreaterThan(0);
    expect(report.host.shadows.mostFrames).toBeLessThan(10);
    expect(report.faults.count).toBeGreaterThan(0);
    expect(report.devices.map(({ transfers }) => transfers)).toEqual([0, 0, 0]);
    expect(report.devices[2]!.interrupts).toBeGreaterThan(10);
    expect(report.host.strayBytes).toBe(0);
  });

  it("that reaches other memory than it should is told of", () => {
    const guest = bootedPassed();
    const { memory, devices } = guest.machine.host!;
    const nic = guest.kernel.devices[0]!;
    // the host forgets to tell its unit that a page has another frame
    const [first] = writablePages(guest, nic.device.config.address.sourceId);
    const lookup = memory.p2m.lookup.bind(memory.p2m);
    memory.p2m.lookup = (gfn, out) => {
      lookup(gfn, out);
      if (gfn === first! / 4096) out.mfn += 1;
    };
    nic.driver.start(0, new Random(1));
    guest.interrupts.run();
    expect(devices[0]!.compared.counters.wrong).toBeGreaterThan(0);
    expect(guest.problems.texts[0]).toMatch(
      /^nic0 reached host memory 0x[0-9a-f]+ by 0x[0-9a-f]+, which leads to 0x[0-9a-f]+$/,
    );
  });
});

describe("the reference guest", () => {
  it("has a device of the host, and its report says what that took", async () => {
    const { code, out } = await command("run", "--json", "--seed", "3");
    expect(code).toBe(0);
    const { host } = JSON.parse(out) as RunReport;
    expect(host).toMatchObject({
      devices: [{ name: "nic3", address: "82:00.0", wrong: 0 }],
      shadows: { count: 1, pages: { "2M": 1, "1G": 0 }, frameQuota: 1024, quotaHits: 0 },
      guestMemory: { pages: { "4K": 512, "2M": 255 } },
      interrupts: { bound: 8 },
      faults: { guest: 0, host: 0 },
      strayBytes: 0,
    });
    expect(host!.shadows.pages["4K"]).toBeGreaterThanOrEqual(40);
    expect(host!.shadows.synchronisations).toBeGreaterThan(1000);
    expect(host!.devices[0]!.compared).toBeGreaterThan(10_000);
    expect(host!.interrupts.posted).toBeGreaterThan(1000);
    expect(host!.interrupts.rebinds).toBeGreaterThan(200);
  });
});

function hostAddress(p2m: { lookup(gfn: number, out: Run): void }, address: number): number {
  const run: Run = { mfn: 0, count: 0, rights: 0 };
  p2m.lookup(Math.floor(address / 4096), run);
  return run.mfn * 4096 + (address % 4096);
}

interface Run {
  mfn: number;
  count: number;
  rights: number;
}

/** Guest pages that a device may write, by the guest's tables. */
function writablePages(guest: Guest, sourceId: number): number[] {
  const request = new DmaRequest();
  const pages: number[] = [];
  for (let page = 1; page < 4096; page += 1) {
    const iova = 2 ** 32 - page * 4096;
    request.sourceId = sourceId;
    request.access = Access.WRITE;
    request.hi = hiFromNumber(iova);
    request.lo = loFromNumber(iova);
    if (guest.machine.units[0]!.dma.probe(request) !== 0) continue;
    pages.push(toNumber(request.outHi, request.outLo));
  }
  return pages;
}
