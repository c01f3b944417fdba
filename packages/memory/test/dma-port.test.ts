import { describe, expect, it } from "vitest";
import {
  Access,
  DmaResult,
  hiFromNumber,
  InterruptResult,
  loFromNumber,
  NO_PASID,
  toNumber,
} from "@viommu/plugin";
import type { DmaRemapper, DmaRequest, InterruptRemapper, InterruptRequest } from "@viommu/plugin";
import { createDmaPort, createMemory, NO_MEMORY } from "@viommu/memory";
import type { ChunkedMemory } from "@viommu/memory";

const PAGE = 4096;
const WRITE_DENIED = 0x05;
const READ_DENIED = 0x06;
const MALFORMED = 0x29;

interface Asked {
  sourceId: number;
  pasid: number;
  access: number;
  address: number;
}

/** A remapper with a page table: device page number to memory page number. */
class PageTable implements DmaRemapper {
  readonly segment = 0;
  readonly pages = new Map<number, number>();
  readonly asked: Asked[] = [];
  readonly inFlight = new Set<number>();
  #tickets = 0;

  translate(request: DmaRequest): number {
    const address = toNumber(request.hi, request.lo);
    const { sourceId, pasid, access } = request;
    this.asked.push({ sourceId, pasid, access, address });
    if (address >>> 20 === 0xfee && address < 2 ** 32) return MALFORMED;
    const page = this.pages.get(Math.floor(address / PAGE));
    if (page === undefined) return access & Access.WRITE ? WRITE_DENIED : READ_DENIED;
    if (page < 0) return DmaResult.ABORTED;
    const out = page * PAGE + (address % PAGE);
    request.outHi = hiFromNumber(out);
    request.outLo = loFromNumber(out);
    return 0;
  }

  probe(request: DmaRequest): number {
    return this.translate(request);
  }

  enter(): number {
    this.#tickets += 1;
    this.inFlight.add(this.#tickets);
    return this.#tickets;
  }

  leave(ticket: number): void {
    expect(this.inFlight.delete(ticket)).toBe(true);
  }
}

function setUp(pages: Record<number, number>): { memory: ChunkedMemory; remapper: PageTable } {
  const memory = createMemory({
    regions: [
      { base: 0, size: 16 * PAGE },
      { base: 16 * PAGE, size: PAGE, readOnly: true },
    ],
  });
  const remapper = new PageTable();
  for (const [page, target] of Object.entries(pages)) remapper.pages.set(Number(page), target);
  return { memory, remapper };
}

const data = Uint8Array.from({ length: 3 * PAGE }, (_, i) => i % 253);

describe("read and write", () => {
  it("go through the tables page by page", () => {
    const { memory, remapper } = setUp({ 100: 3, 101: 9, 102: 1 });
    const port = createDmaPort({ memory, remapper, sourceId: 0x10 });
    expect(port.write(100 * PAGE + 0xff0, data.subarray(0, PAGE + 0x20))).toBe(0);
    const direct = new Uint8Array(PAGE);
    memory.readBytes(0, 9 * PAGE, direct);
    expect(direct).toEqual(data.subarray(0x10, PAGE + 0x10));
    const back = new Uint8Array(PAGE + 0x20);
    expect(port.read(100 * PAGE + 0xff0, back)).toBe(0);
    expect(back).toEqual(data.subarray(0, PAGE + 0x20));
    expect(remapper.asked.map((asked) => asked.address)).toEqual([
      100 * PAGE + 0xff0,
      101 * PAGE,
      102 * PAGE,
      100 * PAGE + 0xff0,
      101 * PAGE,
      102 * PAGE,
    ]);
  });

  it("stop at the first fault; what lies before it has been done", () => {
    const { memory, remapper } = setUp({ 100: 3, 102: 4 });
    const port = createDmaPort({ memory, remapper, sourceId: 0 });
    expect(port.write(100 * PAGE, data)).toBe(WRITE_DENIED);
    expect(memory.read32(3 * PAGE + 4)).toBe(0x07060504);
    expect(memory.read32(4 * PAGE + 4)).toBe(0);
    const target = new Uint8Array(3 * PAGE);
    expect(port.read(100 * PAGE, target)).toBe(READ_DENIED);
    expect(target.subarray(0, PAGE)).toEqual(data.subarray(0, PAGE));
    expect(remapper.asked.length).toBe(4);
  });

  it("tell an abort without record and missing memory from a fault", () => {
    const { memory, remapper } = setUp({ 1: -1, 2: 50, 3: 16 });
    const port = createDmaPort({ memory, remapper, sourceId: 0 });
    const eight = new Uint8Array(8);
    expect(port.read(PAGE, eight)).toBe(DmaResult.ABORTED);
    expect(port.read(2 * PAGE, eight)).toBe(NO_MEMORY);
    expect(port.write(2 * PAGE, eight)).toBe(NO_MEMORY);
    expect(port.writeWord(2 * PAGE, 1)).toBe(NO_MEMORY);
    expect(port.read(3 * PAGE, eight)).toBe(0);
    expect(port.write(3 * PAGE, eight)).toBe(NO_MEMORY);
  });

  it("with no bytes: a zero-length read asks for no right, an empty write does nothing", () => {
    const { memory, remapper } = setUp({ 2: 50 });
    const port = createDmaPort({ memory, remapper, sourceId: 0 });
    expect(port.read(2 * PAGE, new Uint8Array(0))).toBe(0);
    expect(port.read(7 * PAGE, new Uint8Array(0))).toBe(READ_DENIED);
    expect(port.write(7 * PAGE, new Uint8Array(0))).toBe(0);
    expect(remapper.asked.map((asked) => asked.access)).toEqual([Access.NONE, Access.NONE]);
  });

  it("ask for the requester each time, and carry the PASID", () => {
    const { memory, remapper } = setUp({ 2: 2 });
    let bus = 1;
    const port = createDmaPort({ memory, remapper, sourceId: () => bus << 8, pasid: 0x21 });
    port.writeWord(2 * PAGE, 1);
    bus = 2;
    port.read(2 * PAGE, new Uint8Array(4));
    expect(remapper.asked).toEqual([
      { sourceId: 0x100, pasid: 0x21, access: Access.WRITE, address: 2 * PAGE },
      { sourceId: 0x200, pasid: 0x21, access: Access.READ, address: 2 * PAGE },
    ]);
  });

  it("of an address beyond every width reach the remapper and end there", () => {
    const { memory, remapper } = setUp({});
    const port = createDmaPort({ memory, remapper, sourceId: 0 });
    for (const address of [-1, 2 ** 60, 2 ** 53, Number.NaN, Infinity]) {
      expect(port.read(address, new Uint8Array(8))).toBe(READ_DENIED);
      expect(port.write(address, new Uint8Array(8))).toBe(WRITE_DENIED);
    }
  });
});

describe("writeWord", () => {
  it("stores one little-endian dword, unaligned too", () => {
    const { memory, remapper } = setUp({ 2: 2, 3: 5 });
    const port = createDmaPort({ memory, remapper, sourceId: 0 });
    expect(port.writeWord(2 * PAGE + 8, 0x81020304)).toBe(0);
    expect(memory.read32(2 * PAGE + 8)).toBe(0x81020304);
    expect(port.writeWord(3 * PAGE - 2, 0x81020304)).toBe(0);
    expect(memory.read32(3 * PAGE - 4)).toBe(0x03040000);
    expect(memory.read32(5 * PAGE)).toBe(0x8102);
  });
});

describe("a request into FEEx_xxxxh", () => {
  function withInterrupts(pasid?: number) {
    const { memory, remapper } = setUp({});
    const requests: string[] = [];
    const delivered: number[][] = [];
    const answers: number[] = [];
    const interrupts: InterruptRemapper = {
      segment: 0,
      remap(request: InterruptRequest): number {
        const { sourceId, address, upper, data: value } = request;
        requests.push(
          [sourceId, address >>> 0, upper, value >>> 0].map((n) => n.toString(16)).join(),
        );
        request.messageUpper = 0x100;
        request.messageAddress = 0xfee02000 | 0;
        request.messageData = 0x4031;
        return answers.shift() ?? InterruptResult.DELIVER;
      },
      probe: () => 0,
    };
    const sink = {
      deliver: (...message: [number, number, number]) => {
        delivered.push(message);
      },
    };
    const port = createDmaPort({
      memory,
      remapper,
      sourceId: 0xf8,
      ...(pasid === undefined ? {} : { pasid }),
      interrupts: { remapper: interrupts, sink },
    });
    return { port, remapper, requests, delivered, answers };
  }

  it("is an interrupt when it writes one dword without PASID", () => {
    const { port, remapper, requests, delivered } = withInterrupts();
    expect(port.writeWord(0xfee00258, 0xc0000001)).toBe(0);
    expect(port.write(0xfeeffffc, Uint8Array.of(1, 2, 3, 0x84))).toBe(0);
    expect(requests).toEqual(["f8,fee00258,0,c0000001", "f8,feeffffc,0,84030201"]);
    expect(delivered).toEqual([
      [0x100, 0xfee02000 | 0, 0x4031],
      [0x100, 0xfee02000 | 0, 0x4031],
    ]);
    expect(remapper.asked).toEqual([]);
  });

  it("is delivered neither when blocked nor when posted", () => {
    const { port, delivered, answers } = withInterrupts();
    answers.push(0x26, InterruptResult.CONSUMED);
    expect(port.writeWord(0xfee00000, 0)).toBe(0x26);
    expect(port.writeWord(0xfee00000, 0)).toBe(0);
    expect(delivered).toEqual([]);
  });

  it("is DMA in every other form, which the unit blocks", () => {
    const { port, remapper, requests } = withInterrupts();
    expect(port.write(0xfee00000, new Uint8Array(8))).toBe(MALFORMED);
    expect(port.write(0xfee00000, new Uint8Array(2))).toBe(MALFORMED);
    expect(port.write(0xfee00002, new Uint8Array(4))).toBe(MALFORMED);
    expect(port.writeWord(0xfee00002, 0)).toBe(MALFORMED);
    expect(port.read(0xfee00000, new Uint8Array(4))).toBe(MALFORMED);
    expect(port.read(0xfee00000, new Uint8Array(0))).toBe(MALFORMED);
    expect(port.segments(0xfee00000, 4, Access.WRITE).result).toBe(MALFORMED);
    expect(port.writeWord(0xfedffffc, 0)).toBe(WRITE_DENIED);
    expect(port.writeWord(0x1fee00000, 0)).toBe(WRITE_DENIED);
    expect(requests).toEqual([]);
    expect(remapper.asked.every((asked) => asked.pasid === NO_PASID)).toBe(true);
  });

  it("is DMA with a PASID", () => {
    const { port, remapper, requests } = withInterrupts(5);
    expect(port.writeWord(0xfee00000, 0)).toBe(MALFORMED);
    expect(requests).toEqual([]);
    expect(remapper.asked[0]!.pasid).toBe(5);
  });

  it("is DMA where the port has no way for interrupts", () => {
    const { memory, remapper } = setUp({});
    const port = createDmaPort({ memory, remapper, sourceId: 0 });
    expect(port.writeWord(0xfee00000, 0)).toBe(MALFORMED);
  });
});

describe("segments", () => {
  it("are views into memory, in flight until released", () => {
    const { memory, remapper } = setUp({ 100: 3, 101: 9 });
    const port = createDmaPort({ memory, remapper, sourceId: 0x10 });
    const segments = port.segments(100 * PAGE + 0xf00, 0x200, Access.ATOMIC);
    expect(segments.result).toBe(0);
    expect(segments.views.map((view) => view.length)).toEqual([0x100, 0x100]);
    expect(remapper.inFlight.size).toBe(1);
    segments.views[1]!.fill(0x5a);
    expect(memory.read32(9 * PAGE + 0xfc)).toBe(0x5a5a5a5a);
    segments.release();
    segments.release();
    expect(remapper.inFlight.size).toBe(0);
  });

  it("are in flight before the first page is translated", () => {
    const { memory, remapper } = setUp({ 100: 3 });
    let inFlight = -1;
    const translate = remapper.translate.bind(remapper);
    remapper.translate = (request) => {
      inFlight = remapper.inFlight.size;
      return translate(request);
    };
    createDmaPort({ memory, remapper, sourceId: 0 }).segments(100 * PAGE, 4, Access.READ);
    expect(inFlight).toBe(1);
  });

  it("are all or nothing, and nothing is left in flight after a fault", () => {
    const { memory, remapper } = setUp({ 100: 3, 102: 60, 103: 16 });
    const port = createDmaPort({ memory, remapper, sourceId: 0 });
    const faulted = port.segments(100 * PAGE, 2 * PAGE, Access.READ);
    expect([faulted.result, faulted.views.length]).toEqual([READ_DENIED, 0]);
    expect(port.segments(102 * PAGE, 8, Access.READ).result).toBe(NO_MEMORY);
    expect(port.segments(103 * PAGE, 8, Access.WRITE).result).toBe(NO_MEMORY);
    const readable = port.segments(103 * PAGE, 8, Access.READ);
    expect(readable.result).toBe(0);
    expect(remapper.inFlight.size).toBe(1);
    readable.release();
  });
});
