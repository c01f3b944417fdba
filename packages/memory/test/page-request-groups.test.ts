import { describe, expect, it } from "vitest";
import { Access, NO_PASID } from "@viommu/plugin";
import type { PageRequest } from "@viommu/plugin";
import { AtcResult, createAtc, createDmaPort, createMemory, PageResponse } from "@viommu/memory";
import type { AnsweredGroup, Atc, PageNeed } from "@viommu/memory";
import { AtsRemapper, PAGE } from "./support/ats-remapper.ts";

const DEVICE = 0x10;
const { READ, WRITE, ATOMIC } = Access;

function setUp(groups?: number) {
  const remapper = new AtsRemapper();
  const requests: PageRequest[] = [];
  const answered: AnsweredGroup[] = [];
  const completed: number[] = [];
  /** What the guest does inside a page request. */
  const guest: { handle: ((request: PageRequest) => void) | null } = { handle: null };
  const atc: Atc = createAtc({
    remapper,
    agent: {
      deviceTlbCompleted: (sourceId) => completed.push(sourceId),
      pageRequest: (request) => {
        requests.push(request);
        guest.handle?.(request);
      },
    },
    pageRequests: {
      answered: (group) => answered.push(group),
      ...(groups === undefined ? {} : { groups }),
    },
  });
  const memory = createMemory({ regions: [{ base: 0, size: 16 * PAGE }] });
  const port = createDmaPort({ memory, remapper: atc, sourceId: DEVICE, pasid: 7 });
  const read = (address: number) => port.read(address, new Uint8Array(4));
  return { remapper, requests, answered, completed, guest, atc, port, read };
}

const need = (change: Partial<PageNeed> = {}): PageNeed => ({
  ...{ sourceId: DEVICE, pasid: 7, hi: 0, lo: 0x5000, pages: 1, access: READ },
  ...change,
});

describe("a page that is not there (PCI Express PRI)", () => {
  it("is asked for once; after the answer the access goes on", () => {
    const { remapper, requests, answered, atc, read } = setUp();
    expect(read(0x5010)).toBe(AtcResult.PAGE_REQUESTED);
    expect(read(0x5020)).toBe(AtcResult.PAGE_REQUESTED);
    expect(requests).toEqual([
      { sourceId: DEVICE, pasid: 7, hi: 0, lo: 0x5000, access: READ, group: 0, last: true },
    ]);
    remapper.map(0x5000, 0x1000, ATOMIC, 7);
    expect(atc.respond(DEVICE, 7, 0, PageResponse.SUCCESS)).toBe(true);
    expect(answered).toMatchObject([{ group: 0, code: 0, lo: 0x5010, pages: 1, access: READ }]);
    expect(read(0x5010)).toBe(0);
    expect(requests).toHaveLength(1);
  });

  it("is asked for again with another right, another PASID, or after an answer in vain", () => {
    const { requests, atc, port, read } = setUp();
    read(0x5000);
    port.write(0x5000, new Uint8Array(8));
    expect(requests.map(({ group, access }) => [group, access])).toEqual([
      [0, READ],
      [1, WRITE],
    ]);
    atc.respond(DEVICE, 7, 0, PageResponse.SUCCESS);
    expect(read(0x5000)).toBe(AtcResult.PAGE_REQUESTED);
    expect(requests.at(-1)).toMatchObject({ group: 2, access: READ });
  });

  it("is asked for with READ by a zero-length read: no right would be a stop marker", () => {
    const { requests, port } = setUp();
    expect(port.read(0x5000, new Uint8Array(0))).toBe(AtcResult.PAGE_REQUESTED);
    expect(requests[0]!.access).toBe(READ);
    expect(port.read(0x5000, new Uint8Array(0))).toBe(AtcResult.PAGE_REQUESTED);
    expect(requests).toHaveLength(1);
  });

  it("is there when the guest answers inside the call", () => {
    const { remapper, guest, atc, read } = setUp();
    guest.handle = ({ group, lo }) => {
      remapper.map(lo, 0x1000, ATOMIC, 7);
      atc.respond(DEVICE, 7, group, PageResponse.SUCCESS);
    };
    expect(read(0x5000)).toBe(0);
    expect(atc.pending.groups).toBe(0);
  });

  it("is to be asked for later when the queue was full: success at once, and nothing there", () => {
    const { guest, requests, atc, read } = setUp();
    guest.handle = ({ group }) => atc.respond(DEVICE, 7, group, PageResponse.SUCCESS);
    expect(read(0x5000)).toBe(AtcResult.PAGE_REQUESTED);
    expect(read(0x5000)).toBe(AtcResult.PAGE_REQUESTED);
    expect(requests.map(({ group }) => group)).toEqual([0, 1]);
  });

  it("can't be had: invalid request", () => {
    const { guest, atc, read, answered } = setUp();
    guest.handle = ({ group }) => atc.respond(DEVICE, 7, group, PageResponse.INVALID_REQUEST);
    expect(read(0x5000)).toBe(AtcResult.NO_PERMISSION);
    expect(answered[0]!.code).toBe(PageResponse.INVALID_REQUEST);
    expect(atc.pageRequestsEnabled).toBe(true);
  });

  it.each([PageResponse.FAILURE, 7])(
    "response %i: none is sent until they are enabled again",
    (code) => {
      const { requests, atc, read } = setUp();
      read(0x5000);
      read(0x6000);
      atc.respond(DEVICE, 7, 0, code);
      expect(atc.pageRequestsEnabled).toBe(false);
      expect(read(0x7000)).toBe(AtcResult.NO_PERMISSION);
      expect(atc.requestPages(need())).toBe(false);
      expect(requests).toHaveLength(2);
      // the other group is still answered
      expect(atc.respond(DEVICE, 7, 1, PageResponse.SUCCESS)).toBe(true);
      atc.pageRequestsEnabled = true;
      expect(read(0x7000)).toBe(AtcResult.PAGE_REQUESTED);
    },
  );
});

describe("groups", () => {
  it("ask for several pages, the last one marked, across a GiB border", () => {
    const { requests, atc, read } = setUp();
    expect(atc.requestPages(need({ lo: 0x3fff_e123, pages: 3, access: ATOMIC }))).toBe(true);
    expect(requests.map(({ hi, lo, group, last }) => [hi, lo, group, last])).toEqual([
      [0, 0x3fff_e000, 0, false],
      [0, 0x3fff_f000, 0, false],
      [1, 0, 0, true],
    ]);
    expect(read(0x4000_0000)).toBe(AtcResult.PAGE_REQUESTED);
    expect(requests).toHaveLength(3);
    expect(read(0x4000_1000)).toBe(AtcResult.PAGE_REQUESTED);
    expect(requests).toHaveLength(4);
  });

  it("have a page", () => {
    for (const pages of [0, 1.5, -1]) {
      expect(() => setUp().atc.requestPages(need({ pages }))).toThrow(
        expect.objectContaining({ code: "ERR_VIOMMU_ATC" }),
      );
    }
  });

  it("are as many as may be without an answer; then nothing is sent", () => {
    const { requests, atc, read } = setUp(2);
    read(0x5000);
    read(0x6000);
    expect(read(0x7000)).toBe(AtcResult.PAGE_REQUESTED);
    expect(atc.requestPages(need())).toBe(false);
    expect([requests.length, atc.pending.groups]).toEqual([2, 2]);
    atc.respond(DEVICE, 7, 1, PageResponse.SUCCESS);
    read(0x7000);
    expect(requests.at(-1)).toMatchObject({ lo: 0x7000, group: 2 });
  });

  it("have 512 indices, used in turn", () => {
    const { requests, atc, read } = setUp(512);
    for (let i = 0; i < 600; i++) {
      read(0x1_0000 + i * PAGE);
      if (i >= 100) atc.respond(DEVICE, 7, requests[i - 100]!.group, PageResponse.SUCCESS);
    }
    expect(requests).toHaveLength(600);
    expect(requests[511]!.group).toBe(511);
    expect(requests[512]!.group).toBe(0);
    expect(() => setUp(513)).toThrow("groups is 513; give 1 to 512");
    expect(() => setUp(0)).toThrow(expect.objectContaining({ code: "ERR_VIOMMU_ATC" }));
  });

  it("take no answer of another group, PASID or requester, nor a second one", () => {
    const { atc, answered, read } = setUp();
    read(0x5000);
    expect(atc.respond(DEVICE, 7, 1, 0)).toBe(false);
    expect(atc.respond(DEVICE, NO_PASID, 0, 0)).toBe(false);
    expect(atc.respond(DEVICE + 1, 7, 0, 0)).toBe(false);
    expect(answered).toEqual([]);
    expect(atc.respond(DEVICE, 7, 0, 0)).toBe(true);
    expect(atc.respond(DEVICE, 7, 0, 0)).toBe(false);
    expect(answered).toHaveLength(1);
  });

  it("are forgotten by a reset", () => {
    const { atc, read } = setUp();
    read(0x5000);
    atc.reset();
    expect(atc.pending.groups).toBe(0);
    expect(atc.respond(DEVICE, 7, 0, 0)).toBe(false);
  });

  it("are none without page requests", () => {
    const remapper = new AtsRemapper();
    const agent = { deviceTlbCompleted: () => undefined, pageRequest: () => undefined };
    const atc = createAtc({ remapper, agent });
    expect(atc.requestPages(need())).toBe(false);
    expect(atc.respond(DEVICE, 7, 0, 0)).toBe(false);
    atc.pageRequestsEnabled = true;
    expect(atc.pageRequestsEnabled).toBe(false);
  });
});

describe("save and restore", () => {
  it("keep groups without an answer, the next index, and what is enabled", () => {
    const first = setUp();
    first.read(0x5000);
    first.read(0x6000);
    first.atc.respond(DEVICE, 7, 0, PageResponse.FAILURE);
    first.atc.enabled = false;
    const second = setUp();
    second.read(0x9000);
    second.atc.restore(first.atc.save());
    expect(second.atc.save()).toEqual(first.atc.save());
    expect([second.atc.enabled, second.atc.pageRequestsEnabled]).toEqual([false, false]);
    second.atc.enabled = true;
    second.atc.pageRequestsEnabled = true;
    expect(second.read(0x6000)).toBe(AtcResult.PAGE_REQUESTED);
    expect(second.requests).toHaveLength(1);
    expect(second.atc.respond(DEVICE, 7, 1, PageResponse.SUCCESS)).toBe(true);
    second.read(0x7000);
    expect(second.requests.at(-1)).toMatchObject({ lo: 0x7000, group: 2 });
  });

  it("keep invalidations that are not completed: settle completes them", () => {
    const first = setUp();
    first.atc.enter();
    first.atc.invalidate(DEVICE, 7, 0, 0, 52);
    first.atc.invalidate(DEVICE + 1, 7, 0, 0, 52);
    const second = setUp();
    second.atc.restore(first.atc.save());
    expect(second.completed).toEqual([]);
    expect(second.atc.pending.invalidations).toBe(2);
    second.atc.settle();
    expect(second.completed).toEqual([DEVICE, DEVICE + 1]);
  });

  it("of a cache without page requests", () => {
    const remapper = new AtsRemapper();
    const agent = { deviceTlbCompleted: () => undefined, pageRequest: () => undefined };
    const atc = createAtc({ remapper, agent });
    atc.restore(atc.save());
    expect(atc.save()).toEqual(Int32Array.of(1, 0));
  });
});
