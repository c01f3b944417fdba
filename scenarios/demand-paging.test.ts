/**
 * A process gives its address space to a device, and its pages come only when the device asks for
 * them (VT-d 4.2.4, 7.4): 10,000 pages, fewer frames than that, a page request queue that overflows,
 * and pages that are taken away again while the device works.
 */
import { AtcResult, createAtcRouter, PageResponse } from "@viommu/memory";
import type { DmaSegments } from "@viommu/memory";
import { Access, NO_PASID } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { CopyDevice } from "./support/copy-device.ts";
import { Reg } from "./support/guest.ts";
import { Random, seed } from "./support/random.ts";
import {
  deviceTlbPage,
  pageGroupResponse,
  pasidIotlbPage,
  ScalableGuest,
} from "./support/scalable-guest.ts";

const DEVICE = 0x18;
const PASID = 9;
const DOMAIN = 3;
const EVENT = 0x51;
const PAGES = 10_000;
const FRAMES = 3000;
const BASE = 0x7f00_0000_0000n;

/** Where the content of a page is: in a frame, or swapped out. */
interface Swapping {
  readonly page: number;
  readonly frame: bigint;
  readonly wait: bigint;
}

/** A kernel that pages on demand: it answers page requests, and takes frames back. */
class PagingKernel {
  readonly devices = createAtcRouter();
  readonly guest = new ScalableGuest({ devices: this.devices });
  readonly tables = this.guest.firstStage();
  /** Groups that the kernel has answered; others were answered by the unit. */
  answers = 0;
  overflows = 0;
  invalidations = 0;
  readonly #free: bigint[] = [];
  /** Pages with a frame, oldest first. */
  readonly #mapped = new Map<number, bigint>();
  readonly #swapped = new Map<number, Uint8Array>();
  readonly #leaving: Swapping[] = [];

  constructor() {
    const { guest } = this;
    for (let i = 0; i < FRAMES; i++) this.#free.push(guest.alloc());
    guest.addDevice(DEVICE);
    guest.bind(PASID, this.tables, DOMAIN);
    guest.enablePageRequests(0, EVENT);
  }

  get mapped(): number {
    return this.#mapped.size;
  }

  /** Serves the page request event, if it has come. */
  serveEvent(): void {
    const { guest } = this;
    if (!guest.messages.some(([, , data]) => data === EVENT)) return;
    guest.messages.length = 0;
    const { requests, done } = guest.pageRequests();
    for (const request of requests) {
      this.#provide(Number((request.address - BASE) >> 12n));
      // success also where no frame was free: the device asks again
      if (request.last) guest.submit(pageGroupResponse(request, 0n));
      if (request.last) this.answers += 1;
    }
    done();
    if ((guest.read32(Reg.PRS) & 2) !== 0) {
      this.overflows += 1;
      guest.write32(Reg.PRS, 2);
    }
  }

  /** Takes frames back, until some are free; those whose invalidation is complete change hands. */
  reclaim(): void {
    while (this.#leaving.length > 0 && this.guest.hasCompleted(this.#leaving[0]!.wait)) {
      const { page, frame } = this.#leaving.shift()!;
      const content = this.#bytes(frame);
      this.#swapped.set(page, content.slice());
      content.fill(0xee);
      this.#free.push(frame);
    }
    for (const [page, frame] of this.#mapped) {
      if (this.#free.length + this.#leaving.length >= 100) return;
      this.#mapped.delete(page);
      const address = BASE + BigInt(page) * 0x1000n;
      this.tables.unmap(address);
      const wait = this.guest.flushLater(
        pasidIotlbPage(BigInt(DOMAIN), BigInt(PASID), address),
        deviceTlbPage(DEVICE, BigInt(PASID), address),
      );
      this.invalidations += 1;
      this.#leaving.push({ page, frame, wait });
    }
  }

  #provide(page: number): void {
    const frame = this.#free.at(-1);
    const isLeaving = this.#leaving.some((one) => one.page === page);
    if (this.#mapped.has(page) || isLeaving || frame === undefined) return;
    this.#free.pop();
    const content = this.#swapped.get(page);
    if (content === undefined) this.#bytes(frame).fill(0);
    else this.#bytes(frame).set(content);
    this.#swapped.delete(page);
    this.#mapped.set(page, frame);
    this.tables.map(BASE + BigInt(page) * 0x1000n, frame);
  }

  #bytes(frame: bigint): Uint8Array {
    return this.guest.memory.view(0, Number(frame), 4096, true)!;
  }
}

/** A job of the device: to add 1 to a counter in a page. */
interface Increment {
  readonly page: number;
  readonly at: number;
}

describe("demand paging by a device", () => {
  it("10,000 pages: no request, answer or byte is lost, whatever overflows or is taken away", () => {
    const kernel = new PagingKernel();
    const { guest, devices } = kernel;
    const random = new Random(seed(20_251_122));
    let answered = 0;
    const device = new CopyDevice(guest, devices, DEVICE, ({ code }) => {
      expect(code).toBe(PageResponse.SUCCESS);
      answered += 1;
    });
    const port = device.port(PASID);
    const held: { segments: DmaSegments; left: number }[] = [];

    /** Pages not touched yet, in random order, each with a counter; then some once more. */
    const expected = new Uint32Array(PAGES);
    const jobs: Increment[] = [];
    for (let page = 0; page < PAGES; page++) jobs.push({ page, at: random.below(1024) * 4 });
    for (let i = jobs.length - 1; i > 0; i--) {
      const j = random.below(i + 1);
      [jobs[i], jobs[j]] = [jobs[j]!, jobs[i]!];
    }
    // what waits for a page is tried again first
    const waiting: Increment[] = [];
    const places = jobs.slice();
    for (let i = 0; i < 5000; i++) jobs.push(random.pick(places));

    /** One attempt: false when the page is not there, and has been asked for. */
    const attempt = ({ page, at }: Increment): boolean => {
      const address = Number(BASE) + page * 4096 + at;
      const bytes = new Uint8Array(4);
      const read = port.read(address, bytes);
      const value = new DataView(bytes.buffer).getUint32(0, true);
      const result = read || port.writeWord(address, value + 1);
      if (result === AtcResult.PAGE_REQUESTED) return false;
      expect(result).toBe(0);
      expect(value).toBe(expected[page]);
      expected[page]! += 1;
      return true;
    };

    let steps = 0;
    while (jobs.length + waiting.length > 0) {
      expect(++steps).toBeLessThan(20_000);
      // the device works on several jobs at once; sometimes it asks for neighbours in one group
      const fresh = jobs.splice(0, random.below(Math.max(1, 120 - waiting.length)));
      for (const job of [...waiting.splice(0), ...fresh]) {
        if (random.oneIn(10)) {
          device.atc.requestPages({
            ...{ sourceId: DEVICE, pasid: PASID, access: Access.ATOMIC },
            hi: Number(BASE >> 30n) + (job.page >> 18),
            lo: (job.page & 0x3ffff) * 4096,
            pages: Math.min(1 + random.below(8), PAGES - job.page),
          });
        }
        if (!attempt(job)) waiting.push(job);
      }
      // a transfer that takes a while keeps its page until it is over
      if (random.oneIn(3) && held.length < 8) {
        const { page } = random.pick(places);
        const address = Number(BASE) + page * 4096;
        const segments = port.segments(address, 4096, Access.READ);
        if (segments.result === 0) held.push({ segments, left: random.below(4) });
      }
      for (const one of held.splice(0)) {
        if (one.left-- > 0) held.push(one);
        else one.segments.release();
      }
      if (random.oneIn(2)) kernel.serveEvent();
      kernel.reclaim();
    }

    for (const { segments } of held) segments.release();
    for (let round = 0; device.atc.pending.groups > 0; round++) {
      expect(round).toBeLessThan(10);
      kernel.serveEvent();
    }
    expect(expected.every((count) => count >= 1)).toBe(true);
    // the queue overflowed, invalidations met transfers, and every group was answered once
    expect(kernel.overflows).toBeGreaterThan(20);
    expect(kernel.invalidations).toBeGreaterThan(PAGES - FRAMES);
    expect(kernel.answers).toBeLessThan(answered);
    expect(device.atc.pending).toEqual({ invalidations: 0, groups: 0 });
    expect(guest.takeFaults()).toEqual([]);
    expect(guest.read32(Reg.FSTS)).toBe(0);
  });

  it("a group of pages is answered once; pages of a group that overflowed are asked for again", () => {
    const kernel = new PagingKernel();
    const { guest, devices } = kernel;
    const answers: [group: number, code: number, pages: number][] = [];
    const device = new CopyDevice(guest, devices, DEVICE, ({ group, code, pages }) => {
      answers.push([group, code, pages]);
    });
    const need = {
      ...{ sourceId: DEVICE, pasid: PASID, access: Access.READ },
      ...{ hi: Number(BASE >> 30n), lo: 0 },
    };
    // 127 entries fit: the second group loses its last 73 pages, and is answered at once
    device.atc.requestPages({ ...need, pages: 100 });
    device.atc.requestPages({ ...need, lo: 100 * 4096, pages: 100 });
    expect(answers).toEqual([[1, PageResponse.SUCCESS, 100]]);
    expect(guest.read32(Reg.PRS)).toBe(3);
    // while PRO is set everything is dropped, and answered with success
    device.atc.requestPages({ ...need, lo: 200 * 4096, pages: 1 });
    expect(answers).toHaveLength(2);

    kernel.serveEvent();
    expect(answers).toEqual([
      [1, PageResponse.SUCCESS, 100],
      [2, PageResponse.SUCCESS, 1],
      [0, PageResponse.SUCCESS, 100],
    ]);
    expect(kernel.mapped).toBe(127);
    const port = device.port(PASID);
    const buffer = new Uint8Array(200 * 4096);
    for (let rounds = 0; port.read(Number(BASE), buffer) !== 0; rounds++) {
      expect(rounds).toBeLessThan(80);
      kernel.serveEvent();
    }
    expect(kernel.mapped).toBe(200);
  });

  it("a request that the tables refuse is invalid: the device gives up, and the fault is recorded", () => {
    const kernel = new PagingKernel();
    const { guest, devices } = kernel;
    const answers: number[] = [];
    const device = new CopyDevice(guest, devices, DEVICE, ({ code }) => answers.push(code));
    expect(device.port(12).read(Number(BASE), new Uint8Array(4))).toBe(AtcResult.NO_PERMISSION);
    expect(answers).toEqual([PageResponse.INVALID_REQUEST]);
    expect(guest.takeFaults()).toMatchObject([{ reason: 0x59, sourceId: DEVICE, info: BASE }]);
    // T2 says that it was a page request
    expect(device.port(NO_PASID).read(0, new Uint8Array(4))).toBe(AtcResult.NO_PERMISSION);
    expect((guest.takeFaults()[0]!.high >> 28n) & 1n).toBe(1n);
  });
});
