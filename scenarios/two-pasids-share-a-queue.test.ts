/**
 * Two processes share the one queue of an accelerator, each with its PASID (VT-d 3.4.3, 4.1). Both
 * map the same addresses, to pages of their own; one of them dies while the device is at work.
 */
import { AtcResult, createAtcRouter } from "@viommu/memory";
import type { DmaSegments } from "@viommu/memory";
import { Access } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { CopyDevice } from "./support/copy-device.ts";
import { Random, seed } from "./support/random.ts";
import {
  deviceTlb,
  deviceTlbPage,
  pasidCache,
  pasidIotlb,
  pasidIotlbPage,
  ScalableGuest,
} from "./support/scalable-guest.ts";
import type { FirstStage } from "./support/scalable-guest.ts";
import { Reg } from "./support/guest.ts";

const DEVICE = 0x18;
/** Addresses that both processes use. */
const SOURCE = 0x10_0000;
const TARGET = 0x20_0000;
const PAGES = 8;
const WORD = 64;

interface Process {
  readonly pasid: number;
  readonly domain: number;
  readonly tables: FirstStage;
  readonly sources: bigint[];
  readonly targets: bigint[];
}

class SharedQueue {
  readonly devices = createAtcRouter();
  readonly guest = new ScalableGuest({ devices: this.devices });
  readonly device = new CopyDevice(this.guest, this.devices, DEVICE);
  readonly first: Process;
  readonly second: Process;

  constructor() {
    this.guest.addDevice(DEVICE);
    this.first = this.#start(1, 11);
    this.second = this.#start(2, 12);
  }

  /** A process whose source pages hold its PASID and the number of the page. */
  #start(pasid: number, domain: number): Process {
    const tables = this.guest.firstStage();
    const pages = (base: number): bigint[] =>
      Array.from({ length: PAGES }, (_, i) => {
        const page = this.guest.alloc();
        tables.map(BigInt(base + i * 4096), page);
        return page;
      });
    const process = { pasid, domain, tables, sources: pages(SOURCE), targets: pages(TARGET) };
    process.sources.forEach((page, i) => {
      this.fill(page, content(process, i));
    });
    this.guest.bind(pasid, tables, domain);
    return process;
  }

  fill(page: bigint, value: bigint): void {
    for (let at = 0n; at < WORD; at += 8n) this.guest.put64(page + at, value);
  }

  /** The value that a page is filled with, or null where it is not of one piece. */
  read(page: bigint): bigint | null {
    const value = this.guest.get64(page);
    for (let at = 8n; at < WORD; at += 8n) {
      if (this.guest.get64(page + at) !== value) return null;
    }
    return value;
  }

  /** A job: the source page with this number to the target page with that one. */
  copy({ pasid }: Process, from: number, to: number): number {
    this.device.submit(pasid, SOURCE + from * 4096, TARGET + to * 4096, WORD);
    return this.device.step();
  }

  /** Invalidates all translations of a process, as after its end; the number of the wait. */
  end(process: Process): bigint {
    const [domain, pasid] = [BigInt(process.domain), BigInt(process.pasid)];
    this.guest.put64(this.guest.pasidEntry(process.pasid), 0n);
    return this.guest.flushLater(
      pasidCache(domain, pasid),
      pasidIotlb(domain, pasid),
      deviceTlb(DEVICE, pasid),
    );
  }
}

const content = ({ pasid }: Process, page: number): bigint => BigInt(pasid * 1000 + page);

describe("two processes with PASIDs share the queue of a device", () => {
  it("the same addresses are different pages", () => {
    const shared = new SharedQueue();
    for (let i = 0; i < PAGES; i++) {
      for (const process of [shared.first, shared.second]) {
        expect(shared.copy(process, i, PAGES - 1 - i)).toBe(0);
      }
    }
    for (const process of [shared.first, shared.second]) {
      process.targets.forEach((page, i) => {
        expect(shared.read(page)).toBe(content(process, PAGES - 1 - i));
      });
    }
    expect(shared.guest.takeFaults()).toEqual([]);
  });

  it("are invalidated apart: what the other one has cached stays", () => {
    const shared = new SharedQueue();
    const { guest, first, second } = shared;
    for (const process of [first, second]) shared.copy(process, 0, 0);
    const moved = new Map<Process, bigint>();
    for (const process of [first, second]) {
      const page = guest.alloc();
      process.tables.map(BigInt(TARGET), page);
      moved.set(process, page);
    }
    const page = BigInt(TARGET);
    expect(guest.flush(pasidIotlbPage(11n, 1n, page), deviceTlbPage(DEVICE, 1n, page))).toBe(true);
    for (const process of [first, second]) expect(shared.copy(process, 3, 0)).toBe(0);
    expect(shared.read(moved.get(first)!)).toBe(content(first, 3));
    expect(shared.read(first.targets[0]!)).toBe(content(first, 0));
    // the other one was not told yet
    expect(shared.read(moved.get(second)!)).toBe(0n);
    expect(shared.read(second.targets[0]!)).toBe(content(second, 3));
    expect(guest.flush(pasidIotlbPage(12n, 2n, page), deviceTlbPage(DEVICE, 2n, page))).toBe(true);
    shared.copy(second, 4, 0);
    expect(shared.read(moved.get(second)!)).toBe(content(second, 4));
  });

  it("a page of the IOTLB alone is not enough: the device keeps its own translation", () => {
    const shared = new SharedQueue();
    const { guest, first } = shared;
    shared.copy(first, 0, 0);
    first.tables.unmap(BigInt(TARGET));
    expect(guest.flush(pasidIotlbPage(11n, 1n, BigInt(TARGET)))).toBe(true);
    expect(shared.copy(first, 1, 0)).toBe(0);
    expect(guest.flush(deviceTlbPage(DEVICE, 1n, BigInt(TARGET)))).toBe(true);
    expect(shared.copy(first, 1, 0)).toBe(AtcResult.NO_PERMISSION);
  });

  it("the end of one waits for its transfer under way, and stops neither the other nor the queue", () => {
    const shared = new SharedQueue();
    const { guest, device, first, second } = shared;
    const transfer = device.port(1).segments(TARGET, 4096, Access.WRITE);
    expect(transfer.result).toBe(0);
    const wait = shared.end(first);
    expect(guest.hasCompleted(wait)).toBe(false);
    // new work is blocked already, and the other process works on
    expect(shared.copy(first, 1, 1)).toBe(AtcResult.NO_PERMISSION);
    expect(shared.copy(second, 1, 1)).toBe(0);
    transfer.views[0]!.fill(0x5a, 0, WORD);
    transfer.release();
    expect(guest.hasCompleted(wait)).toBe(true);
    expect(shared.read(first.targets[0]!)).toBe(0x5a5a_5a5a_5a5a_5a5an);
    expect(shared.read(second.targets[1]!)).toBe(content(second, 1));
    // no page is there for the device (59h), which is nothing to record for a translation request
    expect(guest.takeFaults()).toEqual([]);
    expect(guest.read32(Reg.FSTS)).toBe(0);
  });

  it("one ends and comes back again and again under traffic, without a stale access", () => {
    const shared = new SharedQueue();
    const { guest, device, first, second } = shared;
    const random = new Random(seed(20_251_122));
    const transfers: DmaSegments[] = [];
    let waiting: bigint | null = null;
    let alive = true;
    let [ends, blocked, held] = [0, 0, 0];

    for (let step = 0; step < 5000; step++) {
      const [from, to] = [random.below(PAGES), random.below(PAGES)];
      if (random.oneIn(40) && alive && waiting === null) {
        waiting = shared.end(first);
        alive = false;
        ends += 1;
      } else if (random.oneIn(8) && transfers.length < 4) {
        const pasid = 1 + random.below(2);
        const segments = device.port(pasid).segments(TARGET + to * 4096, WORD, Access.WRITE);
        if (segments.result === 0) transfers.push(segments);
      } else if (random.oneIn(6) && transfers.length > 0) {
        // a late write of a transfer, then its end
        const [transfer] = transfers.splice(random.below(transfers.length), 1);
        transfer!.views[0]!.fill(0);
        transfer!.release();
      } else if (random.oneIn(2)) {
        const result = shared.copy(first, from, to);
        expect(result).toBe(alive ? 0 : AtcResult.NO_PERMISSION);
        if (result !== 0) blocked += 1;
      } else {
        expect(shared.copy(second, from, to)).toBe(0);
        expect(shared.read(second.targets[to]!)).toBe(content(second, from));
      }
      if (waiting === null) continue;
      if (!guest.hasCompleted(waiting)) {
        held += 1;
        continue;
      }
      // the pages belong to somebody else from here on; then the process starts anew elsewhere
      waiting = null;
      const old = first.targets.slice();
      old.forEach((page) => {
        shared.fill(page, 0xdeadn);
      });
      for (let i = 0; i < 20; i++) {
        expect(shared.copy(first, i % PAGES, i % PAGES)).toBe(AtcResult.NO_PERMISSION);
      }
      // transfers that began before the end are over; only those of the other process go on
      old.forEach((page) => {
        expect(shared.read(page)).toBe(0xdeadn);
      });
      for (let i = 0; i < PAGES; i++) {
        // pages change places, so that a stale translation would hit a wrong one
        first.targets[i] = old[(i + 1) % PAGES]!;
        first.tables.map(BigInt(TARGET + i * 4096), first.targets[i]!);
      }
      guest.bind(first.pasid, first.tables, first.domain);
      alive = true;
    }
    expect(ends).toBeGreaterThan(30);
    expect(blocked).toBeGreaterThan(30);
    expect(held).toBeGreaterThan(30);
    expect(guest.takeFaults()).toEqual([]);
  });
});
