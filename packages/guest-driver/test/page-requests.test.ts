import { Access, NO_PASID } from "@viommu/plugin";
import type { PageRequest } from "@viommu/plugin";
import type { ProfileOptions, UnitSettings } from "@viommu/vtd";
import { describe, expect, it } from "vitest";
import type { PageRequestGroup, PageRequestHandler, ProbeOptions } from "../src/index.ts";
import { BUFFERS, Machine, PROCESSES } from "./support/machine.ts";
import { ProcessTable } from "./support/page-table.ts";

const GPU = { sourceId: 0x0320 };
const PRS = 0xdc;
const PRO = 2;
const SUCCESS = 0;
const INVALID = 1;
const FAILURE = 0xf;
const FULL: ProfileOptions = { scalableMode: true, deviceTlb: true, pageRequests: true };

/** Source-id, PASID, group and code of a response. */
type Response = readonly [sourceId: number, pasid: number, group: number, code: number];

function start(
  handler: PageRequestHandler | null,
  options: Partial<ProbeOptions> = {},
  settings: Partial<UnitSettings> = {},
) {
  const responses: Response[] = [];
  const respond = (...response: Response) => {
    responses.push(response);
  };
  const machine = new Machine({
    units: [{ profile: FULL, settings: { pageResponses: { respond }, ...settings } }],
  });
  const driver = machine.start({
    mode: "scalable",
    pageRequestOrder: 0,
    ...(handler === null ? {} : { onPageRequest: handler }),
    ...options,
  });
  driver.setFeatures(GPU, { deviceTlb: true, pageRequests: true, pasidBits: 20 });
  const table = ProcessTable.in(machine, PROCESSES);
  const pasid = driver.allocatePasid();
  driver.bindProcess(GPU, pasid, table.root);
  const ask = (page: number, more: Partial<PageRequest> = {}) =>
    machine.unit.pageRequest({
      sourceId: GPU.sourceId,
      pasid,
      hi: 0,
      lo: page * 4096,
      access: Access.READ,
      group: page & 0x1ff,
      last: true,
      ...more,
    });
  return { machine, driver, table, pasid, ask, responses };
}

describe("page requests, from the device's fault to its answer (VT-d 7.4 to 7.6)", () => {
  it("the handler makes the page, the device is told, and reaches it", () => {
    const seen: PageRequestGroup[] = [];
    const { machine, driver, table, pasid, ask, responses } = start((group) => {
      seen.push(group);
      for (const { address } of group.pages) table.map(BigInt(address), BUFFERS);
      return "success";
    });
    expect(machine.dmaWith(pasid, GPU.sourceId, 0x5000n)).toBeLessThan(0);
    ask(5, { access: Access.READ | Access.WRITE });
    expect(responses).toEqual([]);
    expect(driver.servicePageRequests()).toEqual({ groups: 1, overflow: false });
    expect(responses).toEqual([[GPU.sourceId, pasid, 5, SUCCESS]]);
    expect(machine.dmaWith(pasid, GPU.sourceId, 0x5000n)).toBe(BUFFERS);
    expect(seen).toEqual([
      {
        device: { segment: 0, sourceId: GPU.sourceId },
        pasid,
        pages: [{ address: 0x5000, access: Access.READ | Access.WRITE }],
      },
    ]);
    expect(driver.servicePageRequests()).toEqual({ groups: 0, overflow: false });
    expect(machine.read32(PRS)).toBe(0);
  });

  it.each([
    ["success", SUCCESS],
    ["invalid", INVALID],
    ["failure", FAILURE],
  ] as const)("the handler's %s is the code of the response", (response, code) => {
    const { driver, pasid, ask, responses } = start(() => response);
    ask(5);
    driver.servicePageRequests();
    expect(responses).toEqual([[GPU.sourceId, pasid, 5, code]]);
  });

  it("a group waits for its last request; groups may be interleaved", () => {
    const seen: number[][] = [];
    const { driver, pasid, ask, responses } = start(({ pages }) => {
      seen.push(pages.map(({ address }) => address / 4096));
      return "success";
    });
    ask(1, { group: 7, last: false });
    ask(11, { group: 8, last: false });
    ask(2, { group: 7, last: false });
    driver.servicePageRequests();
    expect(seen).toEqual([]);
    ask(12, { group: 8 });
    ask(3, { group: 7 });
    driver.servicePageRequests();
    expect(seen).toEqual([
      [11, 12],
      [1, 2, 3],
    ]);
    expect(responses).toEqual([
      [GPU.sourceId, pasid, 8, SUCCESS],
      [GPU.sourceId, pasid, 7, SUCCESS],
    ]);
  });

  it("addresses are whole, up to the last page of the upper half", () => {
    const addresses: number[] = [];
    const { driver, ask } = start(({ pages }) => {
      addresses.push(...pages.map(({ address }) => address));
      return "success";
    });
    ask(0, { hi: 0x1ffff, lo: 0x3fff_f000 });
    ask(0, { hi: -1, lo: 0x3fff_f000 });
    driver.servicePageRequests();
    expect(addresses).toEqual([2 ** 47 - 4096, 2 ** 64 - 4096]);
  });

  it("requests without PASID are for the device's domain", () => {
    const seen: (number | null)[] = [];
    const { driver, ask, responses } = start(({ pasid }) => {
      seen.push(pasid);
      return "success";
    });
    driver.attach(GPU);
    ask(5, { pasid: NO_PASID });
    driver.servicePageRequests();
    expect(seen).toEqual([null]);
    expect(responses).toEqual([[GPU.sourceId, NO_PASID, 5, SUCCESS]]);
  });

  it("the event comes as a message, once until it is serviced", () => {
    const { machine, driver, ask } = start(() => "success", {
      apicMode: "x2apic",
      pageRequestEvent: { apicId: 0x1234, vector: 0x33 },
    });
    ask(1);
    ask(2);
    expect(machine.messages).toEqual([[0x1200, 0xfee3_4000, 0x33]]);
    driver.servicePageRequests();
    ask(3);
    expect(machine.messages).toHaveLength(2);
  });
});

describe("requests that the handler is not asked about", () => {
  const never: PageRequestHandler = () => {
    throw new Error("asked");
  };

  it("a stop marker gets no answer (VT-d 7.4.1.1)", () => {
    const { driver, ask, responses } = start(never);
    ask(5, { access: 0 });
    expect(driver.servicePageRequests().groups).toBe(0);
    expect(responses).toEqual([]);
  });

  it("supervisor and execute requests are invalid, with the whole of their group", () => {
    const { driver, pasid, ask, responses } = start(never);
    ask(1, { access: Access.READ | Access.PRIVILEGED });
    ask(2, { access: Access.READ | Access.EXECUTE, last: false, group: 9 });
    ask(3, { group: 9 });
    driver.servicePageRequests();
    expect(responses).toEqual([
      [GPU.sourceId, pasid, 1, INVALID],
      [GPU.sourceId, pasid, 9, INVALID],
    ]);
  });

  it("a driver without handler says that everything is invalid", () => {
    const { driver, pasid, ask, responses } = start(null);
    ask(5);
    driver.servicePageRequests();
    expect(responses).toEqual([[GPU.sourceId, pasid, 5, INVALID]]);
  });

  it("what the tables don't allow never reaches the queue", () => {
    const { driver, ask } = start(never);
    const disk = { sourceId: 0x18 };
    driver.attach(disk);
    expect(ask(5, { pasid: 77 })).toBeGreaterThan(0);
    expect(ask(5, { sourceId: disk.sourceId, pasid: NO_PASID })).toBeGreaterThan(0);
    expect(driver.servicePageRequests().groups).toBe(0);
    expect(driver.serviceFaults().faults.map(({ access }) => access)).toEqual([
      "page-request",
      "page-request",
    ]);
  });
});

describe("overflow of the queue (PRO)", () => {
  it("the unit answers for what it loses, and goes on when software has emptied the queue", () => {
    const { machine, driver, ask, responses } = start(() => "success");
    for (let page = 1; page <= 130; page += 1) ask(page);
    expect(responses).toHaveLength(3); // of 130, 127 fit: success by the unit itself
    expect(machine.read32(PRS) & PRO).toBe(PRO);
    expect(driver.servicePageRequests()).toEqual({ groups: 127, overflow: true });
    expect(machine.read32(PRS)).toBe(0);
    ask(200);
    expect(driver.servicePageRequests()).toEqual({ groups: 1, overflow: false });
    expect(driver.counters).toMatchObject({ pageRequests: 128, pageRequestOverflows: 1 });
  });

  it("groups that may have lost requests begin anew", () => {
    const seen: number[] = [];
    const { driver, ask } = start(({ pages }) => {
      seen.push(pages.length);
      return "success";
    });
    ask(1, { group: 0x1ff, last: false });
    for (let page = 0; page < 127; page += 1) ask(page);
    driver.servicePageRequests();
    seen.length = 0;
    ask(2, { group: 0x1ff });
    driver.servicePageRequests();
    expect(seen).toEqual([1]);
  });

  it("10,000 pages are demanded through a queue of 127, none is lost", () => {
    const asked = new Set<number>();
    const { machine, driver, table, pasid, ask } = start(({ pages }) => {
      for (const { address } of pages) {
        const page = address / 4096;
        asked.add(page);
        table.map(BigInt(address), BUFFERS + (page % 1000) * 4096);
      }
      return "success";
    });
    const waiting = new Set(Array.from({ length: 10_000 }, (_, i) => i + 1));
    let rounds = 0;
    while (waiting.size > 0 && rounds < 200) {
      rounds += 1;
      for (const page of [...waiting].slice(0, 600)) {
        if (machine.dmaWith(pasid, GPU.sourceId, BigInt(page) * 4096n) > 0) waiting.delete(page);
        else ask(page);
      }
      driver.servicePageRequests();
    }
    expect(waiting.size).toBe(0);
    expect(asked.size).toBe(10_000);
    expect(driver.counters.pageRequestOverflows).toBeGreaterThan(10);
  });
});

describe("a PASID that is unbound with requests under way (VT-d 7.10, 7.11)", () => {
  it("what is in the queue is answered as invalid, and the PASID may be used again", () => {
    const pages: number[] = [];
    const { driver, table, pasid, ask, responses } = start((group) => {
      pages.push(...group.pages.map(({ address }) => address / 4096));
      return "success";
    });
    ask(1);
    ask(2, { group: 9, last: false });
    driver.unbindProcess(GPU, pasid);
    expect(responses).toEqual([[GPU.sourceId, pasid, 1, INVALID]]);
    driver.bindProcess(GPU, pasid, table.root);
    ask(3, { group: 9 }); // of the new process: nothing of the old one sticks to it
    driver.servicePageRequests();
    expect(pages).toEqual([3]);
  });

  it("descriptors: entry, caches, device; then fence, caches, device, wait with drain", () => {
    const { machine, driver, pasid } = start(() => "success");
    const before = machine.tail;
    driver.unbindProcess(GPU, pasid);
    const queue = Number(machine.written(0x90).at(-1)! & ~0xfffn);
    const words: string[] = [];
    for (let at = before; at !== machine.tail; at += 32) {
      words.push(machine.qwords(queue + at, 1)[0]!.toString(16));
    }
    expect(words).toEqual([
      "32000000031",
      "100010017",
      "100010026",
      "103200008",
      "200000025",
      "45",
      "100010026",
      "103200008",
      "2000000a5",
    ]);
  });

  it("requests that a device sends before it completes the invalidation are drained", () => {
    let late: (() => unknown) | null = null;
    const invalidate = () => {
      late?.();
      late = null;
      return "done" as const;
    };
    const { driver, pasid, ask, responses } = start(
      () => "success",
      {},
      { deviceTlb: { invalidate } },
    );
    // the entry is gone by then: the unit refuses the request by itself
    late = () => ask(4);
    driver.unbindProcess(GPU, pasid);
    expect(responses).toEqual([[GPU.sourceId, pasid, 4, INVALID]]);
    expect(driver.servicePageRequests().groups).toBe(0);
  });

  it("an overflow meanwhile does not leave requests behind", () => {
    const { machine, driver, pasid, ask, responses } = start(() => "success");
    for (let page = 1; page <= 200; page += 1) ask(page);
    driver.unbindProcess(GPU, pasid);
    expect(responses.filter(([, , , code]) => code === INVALID)).toHaveLength(127);
    expect(machine.read32(PRS)).toBe(0);
  });

  it("an ended process answers nothing but invalid", () => {
    const { driver, pasid, ask, responses } = start(() => "success");
    ask(1);
    driver.endProcess(pasid);
    expect(responses).toEqual([[GPU.sourceId, pasid, 1, INVALID]]);
  });

  it("the handler may give the process up itself", () => {
    const bench = start(({ device, pasid }) => {
      bench.driver.unbindProcess(device, pasid!);
      return "invalid";
    });
    const { driver, pasid, ask, responses } = bench;
    for (let page = 1; page <= 4; page += 1) ask(page);
    driver.servicePageRequests();
    // those behind it are answered on the way
    const expected = [2, 3, 4, 1].map((group) => [GPU.sourceId, pasid, group, INVALID]);
    expect(responses).toEqual(expected);
    driver.freePasid(pasid);
  });
});

describe("hostile devices", () => {
  it("groups without an end hold a bounded number of requests", () => {
    let largest = 0;
    const { driver, ask } = start(({ pages }) => {
      largest = Math.max(largest, pages.length);
      return "success";
    });
    for (let i = 0; i < 20_000; i += 1) {
      ask(i, { group: 1, last: false });
      if (i % 100 === 99) driver.servicePageRequests();
    }
    ask(1, { group: 1 });
    driver.servicePageRequests();
    expect(largest).toBeGreaterThan(0);
    expect(largest).toBeLessThanOrEqual(4097);
  });

  it("one that asks again at each answer holds the driver for one round only", () => {
    let count = 0;
    const bench = start(() => {
      count += 1;
      bench.ask(count);
      return "success";
    });
    bench.ask(0);
    bench.driver.servicePageRequests();
    expect(count).toBe(128);
    bench.driver.servicePageRequests();
    expect(count).toBe(256);
  });
});
