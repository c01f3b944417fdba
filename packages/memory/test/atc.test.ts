import { describe, expect, it } from "vitest";
import { Access, AddressType, DmaRequest, NO_PASID, toNumber } from "@viommu/plugin";
import { AtcResult, createAtc, createAtcRouter, createDmaPort, createMemory } from "@viommu/memory";
import type { Atc, AtcOptions } from "@viommu/memory";
import { AtsRemapper, PAGE } from "./support/ats-remapper.ts";

const DEVICE = 0x10;
const { READ, WRITE, ATOMIC } = Access;
const ALL = -2;

function setUp(options: Partial<AtcOptions> = {}) {
  const remapper = new AtsRemapper();
  const completed: number[] = [];
  const atc = createAtc({
    remapper,
    agent: {
      deviceTlbCompleted: (sourceId) => completed.push(sourceId),
      pageRequest: () => expect.unreachable(),
    },
    ...options,
  });
  return { remapper, atc, completed };
}

/** An access of a device: the result, or the address as text. */
function dma(atc: Atc, address: number, access: number = READ, pasid: number = NO_PASID) {
  const request = new DmaRequest();
  request.sourceId = DEVICE;
  request.access = access;
  request.pasid = pasid;
  request.hi = Math.floor(address / 2 ** 30);
  request.lo = address - request.hi * 2 ** 30;
  const result = atc.translate(request);
  return result === 0 ? toNumber(request.outHi, request.outLo).toString(16) : result;
}

const page = (number: number, atc: Atc, pasid = NO_PASID, order = 0) =>
  atc.invalidate(DEVICE, pasid, 0, number * PAGE, order);

describe("translations (PCI Express ATS; VT-d 4.1.1)", () => {
  it("are asked for once, and used by translated requests without PASID", () => {
    const { remapper, atc } = setUp();
    remapper.map(0x5000, 0x9000, READ, 7);
    expect(dma(atc, 0x5010, READ, 7)).toBe("9010");
    expect(dma(atc, 0x5ff0, READ, 7)).toBe("9ff0");
    expect(remapper.take()).toEqual([
      "translation 5010 1 pasid 7",
      "translated 9010 1",
      "translated 9ff0 1",
    ]);
    expect(atc.segment).toBe(3);
  });

  it("tell their size and rights", () => {
    const { remapper, atc } = setUp();
    remapper.map(0x20_0000, 0x60_0000, READ | Access.SNOOP, NO_PASID, 21);
    const request = new DmaRequest();
    request.access = READ;
    request.lo = 0x20_0000;
    for (let round = 0; round < 2; round++) {
      expect(atc.translate(request)).toBe(0);
      expect([request.pageShift, request.granted]).toEqual([21, READ | Access.SNOOP]);
    }
  });

  it.each([
    [12, PAGE - 1, 1],
    [13, PAGE, 2],
    [21, 2 ** 21 - 1, 1],
    [22, 2 ** 21, 2],
    [30, 2 ** 30 - 1, 1],
    [39, 2 ** 30, 2],
  ])("of 2^%i bytes cover 4 KiB, 2 MiB or 1 GiB of them", (shift, offset, asked) => {
    const { remapper, atc } = setUp();
    remapper.map(2 ** 39, 2 ** 40, READ, NO_PASID, shift);
    expect(dma(atc, 2 ** 39)).toBe((2 ** 40).toString(16));
    expect(dma(atc, 2 ** 39 + offset)).toBe((2 ** 40 + offset).toString(16));
    expect(remapper.take().filter((text) => text.startsWith("translation"))).toHaveLength(asked);
  });

  it("belong to a PASID, and to privileged requests or others", () => {
    const { remapper, atc } = setUp();
    remapper.map(0x5000, 0x1000, READ, 1);
    remapper.map(0x5000, 0x2000, READ, 2);
    remapper.map(0x5000, 0x3000, READ);
    remapper.mappings.push({
      ...{ pasid: 3, from: 0x5000, to: 0x4000, shift: 12, rights: READ },
      privileged: true,
    });
    for (let round = 0; round < 2; round++) {
      expect([1, 2, NO_PASID].map((pasid) => dma(atc, 0x5000, READ, pasid))).toEqual([
        "1000",
        "2000",
        "3000",
      ]);
      expect(dma(atc, 0x5000, READ | Access.PRIVILEGED, 3)).toBe("4000");
      expect(dma(atc, 0x5000, READ, 3)).toBe(AtcResult.NO_PERMISSION);
    }
  });

  it("without the right that is needed are asked for anew: software may have given it", () => {
    const { remapper, atc } = setUp();
    remapper.map(0x5000, 0x9000, READ);
    expect(dma(atc, 0x5000)).toBe("9000");
    expect(dma(atc, 0x5000, WRITE)).toBe(AtcResult.NO_PERMISSION);
    expect(dma(atc, 0x5000, READ | Access.EXECUTE)).toBe(AtcResult.NO_PERMISSION);
    remapper.map(0x5000, 0x9000, ATOMIC);
    expect(dma(atc, 0x5000, ATOMIC)).toBe("9000");
    remapper.take();
    expect(dma(atc, 0x5000)).toBe("9000");
    expect(remapper.take()).toEqual(["translated 9000 1"]);
  });

  it("without any right are not kept", () => {
    const { remapper, atc } = setUp();
    expect(dma(atc, 0x5000)).toBe(AtcResult.NO_PERMISSION);
    remapper.map(0x5000, 0x9000, 0);
    expect(dma(atc, 0x5000, Access.NONE)).toBe(AtcResult.NO_PERMISSION);
    expect(remapper.take()).toEqual(["translation 5000 1", "translation 5000 0"]);
    remapper.map(0x5000, 0x9000, WRITE);
    expect(dma(atc, 0x5000, Access.NONE)).toBe("9000");
  });

  it("with U = 1 are not kept: the access goes out untranslated", () => {
    const { remapper, atc } = setUp();
    remapper.untranslatedOnly.add(0xfee0_1000);
    for (let round = 0; round < 2; round++) {
      expect(dma(atc, 0xfee0_1000, WRITE)).toBe("fee01000");
      expect(remapper.take()).toEqual(["translation fee01000 2", "untranslated fee01000 2"]);
    }
    expect(dma(atc, 0xfee0_1000)).toBe(AtcResult.NO_PERMISSION);
    expect(remapper.take()).toEqual(["translation fee01000 1"]);
  });

  it("that the unit refuses end with its reason", () => {
    const { remapper, atc } = setUp();
    for (const refusal of [0x44, -1]) {
      remapper.refusal = refusal;
      expect(dma(atc, 0x5000)).toBe(refusal);
    }
  });

  it("are a bounded number", () => {
    const { remapper, atc } = setUp({ entries: 4 });
    for (let i = 0; i < 8; i++) remapper.map(i * PAGE, i * PAGE);
    for (let i = 0; i < 8; i++) dma(atc, i * PAGE);
    remapper.take();
    for (let i = 0; i < 8; i++) dma(atc, (7 - i) * PAGE);
    expect(
      remapper.take().filter((text) => text.startsWith("translation")).length,
    ).toBeGreaterThanOrEqual(4);
    for (const wrong of [3, 0, 0.5, 131_072, Number.NaN]) {
      expect(() => setUp({ entries: wrong })).toThrow(
        expect.objectContaining({ code: "ERR_VIOMMU_ATC" }),
      );
    }
  });

  it("of addresses at both ends of 57 bits don't meet", () => {
    const { atc, remapper } = setUp();
    const request = new DmaRequest();
    request.access = READ;
    remapper.translate = (asked) => {
      if (asked.addressType === AddressType.TRANSLATION_REQUEST) {
        asked.granted = READ;
        asked.pageShift = 12;
        asked.outHi = asked.hi < 0 ? 1 : 2;
        asked.outLo = asked.lo;
      } else {
        asked.outHi = asked.hi;
        asked.outLo = asked.lo;
      }
      return 0;
    };
    for (let round = 0; round < 2; round++) {
      for (const [hi, outHi] of [
        [-1, 1],
        [0x3ff_ffff, 2],
        [-0x400_0000, 1],
      ] as const) {
        request.hi = hi;
        request.lo = 0x3fff_f000;
        atc.translate(request);
        expect(request.outHi).toBe(outHi);
      }
      expect(atc.invalidate(DEVICE, NO_PASID, -1, 0x3fff_f000, 0)).toBe("done");
    }
  });

  it("are not made from what is no plain request, nor for a probe", () => {
    const { remapper, atc } = setUp();
    const request = new DmaRequest();
    request.addressType = AddressType.TRANSLATION_REQUEST;
    atc.translate(request);
    request.addressType = AddressType.TRANSLATED;
    atc.translate(request);
    atc.probe(request);
    expect(remapper.take()).toEqual(["translation 0 0", "translated 0 0", "probe"]);
  });
});

describe("ATS Enable", () => {
  it("off: requests go out untranslated, and nothing is kept", () => {
    const { remapper, atc } = setUp();
    remapper.map(0x5000, 0x9000);
    dma(atc, 0x5000);
    atc.enabled = false;
    remapper.take();
    expect(dma(atc, 0x5000)).toBe("9000");
    expect(remapper.take()).toEqual(["untranslated 5000 1"]);
    atc.enabled = true;
    remapper.map(0x5000, 0xa000);
    expect(dma(atc, 0x5000)).toBe("a000");
    expect(atc.enabled).toBe(true);
  });
});

describe("invalidations (VT-d 6.5.2.5, 6.5.2.6)", () => {
  /** Whether pages 0 to 3 of 2 MiB at 200000h, for three owners, are still cached. */
  const OWNERS = [NO_PASID, 0, 7];

  it.each<[string, number, number, number, number, Record<string, number[]>]>([
    ["a page without PASID", NO_PASID, 0, 0x20_1000, 0, { "-1": [0, 2, 3], "0": [0, 1, 2, 3] }],
    ["a page of a PASID", 7, 0, 0x20_1000, 0, { "7": [0, 2, 3], "-1": [0, 1, 2, 3] }],
    ["two pages", 0, 0, 0x20_2000, 1, { "0": [0, 1], "7": [0, 1, 2, 3] }],
    ["everything of a PASID", 0, 0, 0, 52, { "0": [], "-1": [0, 1, 2, 3] }],
    ["everything", ALL, 0, 0, 52, { "-1": [], "0": [], "7": [] }],
    ["a page of every PASID", ALL, 0, 0x20_0000, 0, { "-1": [1, 2, 3], "0": [1, 2, 3] }],
    ["another GiB", ALL, 1, 0x20_0000, 0, { "-1": [0, 1, 2, 3], "7": [0, 1, 2, 3] }],
    ["2^40 bytes", 7, 0, 0, 28, { "7": [] }],
    ["2^40 bytes elsewhere", 7, 0x400, 0, 28, { "7": [0, 1, 2, 3] }],
  ])("drop %s", (_name, pasid, hi, lo, order, left) => {
    const { remapper, atc } = setUp();
    const at = (i: number) => 0x20_0000 + i * PAGE;
    for (const owner of OWNERS) {
      for (let i = 0; i < 4; i++) {
        remapper.map(at(i), 0x9000, ATOMIC, owner);
        dma(atc, at(i), READ, owner);
      }
    }
    expect(atc.invalidate(DEVICE, pasid, hi, lo, order)).toBe("done");
    for (const [owner, pages] of Object.entries(left)) {
      remapper.take();
      for (let i = 0; i < 4; i++) dma(atc, at(i), READ, Number(owner));
      const asked = remapper.take().filter((text) => text.startsWith("translation"));
      expect(asked).toHaveLength(4 - pages.length);
    }
  });

  it("drop a large page that they touch", () => {
    const { remapper, atc } = setUp();
    remapper.map(0, 0, ATOMIC, NO_PASID, 30);
    dma(atc, 0x1234_5000);
    expect(page(1, atc)).toBe("done");
    remapper.mappings = [];
    expect(dma(atc, 0x1234_5000)).toBe(AtcResult.NO_PERMISSION);
  });

  it("overtake no translation that was asked for before them", () => {
    const { remapper, atc } = setUp();
    remapper.map(0x5000, 0x9000);
    remapper.onTranslation = () => {
      remapper.onTranslation = null;
      remapper.map(0x5000, 0xa000);
      page(5, atc);
    };
    dma(atc, 0x5000);
    expect(dma(atc, 0x5000)).toBe("a000");
  });

  it("complete when the accesses before them have ended, those after them don't matter", () => {
    const { remapper, atc, completed } = setUp();
    const first = atc.enter();
    const second = atc.enter();
    expect(remapper.inFlight.size).toBe(2);
    expect(page(1, atc)).toBe("pending");
    const third = atc.enter();
    expect(page(2, atc)).toBe("pending");
    expect(atc.pending).toEqual({ invalidations: 2, groups: 0 });
    atc.leave(first);
    expect(completed).toEqual([]);
    atc.leave(second);
    expect(completed).toEqual([DEVICE]);
    atc.leave(third);
    expect(completed).toEqual([DEVICE, DEVICE]);
    expect(remapper.inFlight.size).toBe(0);
    expect(page(3, atc)).toBe("done");
    expect(() => {
      atc.leave(third);
    }).toThrow(expect.objectContaining({ code: "ERR_VIOMMU_TICKET" }));
  });

  it("are never completed after a reset", () => {
    const { remapper, atc, completed } = setUp();
    remapper.map(0x5000, 0x9000);
    dma(atc, 0x5000);
    const ticket = atc.enter();
    page(1, atc);
    atc.reset();
    atc.leave(ticket);
    expect(completed).toEqual([]);
    remapper.mappings = [];
    expect(dma(atc, 0x5000)).toBe(AtcResult.NO_PERMISSION);
  });
});

describe("a DMA port", () => {
  it("reads, writes and hands out segments through it", () => {
    const { remapper, atc, completed } = setUp();
    const memory = createMemory({ regions: [{ base: 0, size: 16 * PAGE }] });
    remapper.map(0x5000, 0x1000, ATOMIC, 7);
    remapper.map(0x6000, 0x3000, READ, 7);
    const port = createDmaPort({ memory, remapper: atc, sourceId: DEVICE, pasid: 7 });
    expect(port.write(0x5ffc, Uint8Array.of(1, 2, 3, 4))).toBe(0);
    expect(memory.read32(0x1ffc)).toBe(0x0403_0201);
    expect(port.write(0x5ff8, new Uint8Array(16))).toBe(AtcResult.NO_PERMISSION);
    expect(port.read(0x5ff8, new Uint8Array(16))).toBe(0);
    const segments = port.segments(0x5ff8, 16, READ);
    expect(segments.views).toHaveLength(2);
    expect(page(5, atc, 7)).toBe("pending");
    segments.release();
    expect(completed).toEqual([DEVICE]);
  });
});

describe("the router of a unit", () => {
  it("finds the device; where none is, an invalidation times out", () => {
    const router = createAtcRouter();
    const calls: unknown[] = [];
    const endpoint = (name: string) => ({
      invalidate: (...call: number[]) => {
        calls.push([name, ...call]);
        return "pending" as const;
      },
      respond: (...call: number[]) => calls.push([name, ...call]),
    });
    router.attach(0x10, endpoint("a"));
    router.attach(0x18, endpoint("b"));
    expect(router.invalidate(0x18, 7, 1, 0x1000, 3)).toBe("pending");
    router.respond(0x10, 7, 5, 1);
    expect(calls).toEqual([
      ["b", 0x18, 7, 1, 0x1000, 3],
      ["a", 0x10, 7, 5, 1],
    ]);
    router.detach(0x18);
    expect(router.invalidate(0x18, 7, 1, 0x1000, 3)).toBe("timeout");
    router.respond(0x18, 7, 5, 1);
    expect(calls).toHaveLength(2);
  });
});
