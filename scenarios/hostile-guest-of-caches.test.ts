/**
 * A hostile guest against devices with translation caches and page requests: tables change under
 * them, invalidations and answers come that nobody asked for, the page request queue is moved about.
 * Nothing throws, what waits is bounded, and a device reaches only pages that were once mapped.
 */
import { createAtcRouter } from "@viommu/memory";
import type { DmaSegments } from "@viommu/memory";
import { Access } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { CopyDevice } from "./support/copy-device.ts";
import { Gcmd, Reg } from "./support/guest.ts";
import { Random, seed } from "./support/random.ts";
import { pageGroupResponse, ScalableGuest } from "./support/scalable-guest.ts";
import { SUPERVISOR, USER_READ_ONLY } from "./support/scalable-guest.ts";

const OPERATIONS = 200_000;
const SOURCES = [0, 1, 2, 3];
const PASIDS = [1, 2, 3];
const PAGES = 64;
/** No device shall write here: it is mapped nowhere. */
const SECRET = 0x5ec2_e700_5ec2_e700n;

class HostileKernel {
  readonly devices = createAtcRouter();
  readonly guest = new ScalableGuest({ devices: this.devices });
  readonly caches;
  readonly secret: bigint;
  answered = 0;
  readonly results = new Map<number, number>();
  readonly #random: Random;
  readonly #tables;
  readonly #frames: readonly bigint[];
  readonly #held: DmaSegments[] = [];

  constructor(random: Random) {
    this.#random = random;
    const { guest, devices } = this;
    this.secret = guest.alloc();
    for (let at = 0n; at < 0x1000n; at += 8n) guest.put64(this.secret + at, SECRET);
    this.#frames = PASIDS.map(() => guest.alloc());
    this.#tables = PASIDS.map((pasid) => {
      const tables = guest.firstStage();
      for (let page = 0; page < PAGES; page++) tables.map(BigInt(page) << 12n, 0n, 0n);
      guest.bind(pasid, tables, pasid);
      return tables;
    });
    guest.enablePageRequests(0, 0x41);
    this.caches = SOURCES.map((sourceId) => {
      guest.addDevice(sourceId);
      return new CopyDevice(guest, devices, sourceId, () => {
        this.answered += 1;
      });
    });
  }

  step(): void {
    const kind = this.#random.below(20);
    if (kind < 9) this.#access();
    else if (kind < 11) this.#changeTables();
    else if (kind < 17) this.#describe();
    else if (kind < 19) this.#registers();
    else this.#transfer();
  }

  #access(): void {
    const random = this.#random;
    const device = random.pick(this.caches);
    const port = device.port(random.pick(PASIDS));
    const address = random.below(PAGES * 4096 - 64);
    const bytes = new Uint8Array(random.pick([0, 4, 64]));
    const result = random.oneIn(2) ? port.read(address, bytes) : port.write(address, bytes);
    this.results.set(Math.min(result, 1), (this.results.get(Math.min(result, 1)) ?? 0) + 1);
    if (random.oneIn(20)) {
      device.atc.requestPages({
        ...{ sourceId: SOURCES[this.caches.indexOf(device)]!, pasid: random.pick(PASIDS) },
        ...{ hi: 0, lo: address, pages: 1 + random.below(20), access: Access.READ },
      });
    }
    if (random.oneIn(50)) device.atc.pageRequestsEnabled = true;
  }

  #changeTables(): void {
    const random = this.#random;
    const tables = random.pick(this.#tables);
    const page = BigInt(random.below(PAGES)) << 12n;
    switch (random.below(24)) {
      case 0:
        tables.unmap(page);
        return;
      case 1:
        tables.map(page, 0xfee0_0000n);
        return;
      case 2:
        // far beyond memory, or with a bit that is reserved
        tables.put(page, 1, (1n << BigInt(30 + random.below(20))) | 0x67n);
        return;
      case 3: {
        if (!random.oneIn(8)) return;
        const entry = this.guest.pasidEntry(random.pick(PASIDS));
        this.guest.put64(entry, this.guest.get64(entry) ^ 1n);
        return;
      }
      default: {
        const flags = random.pick([0x67n, USER_READ_ONLY, SUPERVISOR]);
        tables.map(page, random.pick(this.#frames), flags);
      }
    }
  }

  /** A descriptor of any type; ids and groups that exist, mostly. */
  #describe(): void {
    const random = this.#random;
    const id = (limit: number): bigint => BigInt(random.below(random.oneIn(9) ? 65_536 : limit));
    const [source, pasid, page] = [id(4), id(4), id(PAGES) << 12n];
    const descriptor = random.pick<[bigint, bigint]>([
      [(pasid << 32n) | (source << 16n) | 0x8n, page | (id(2) << 11n)],
      [(source << 32n) | 0x3n, page | id(2)],
      [(pasid << 32n) | (pasid << 16n) | 0x36n, page],
      [(pasid << 32n) | (pasid << 16n) | 0x17n, 0n],
      [
        (pasid << 32n) | (source << 16n) | (random.pick([0n, 1n, 2n, 15n]) << 12n) | 0x19n,
        id(512) << 3n,
      ],
      [(pasid << 32n) | (source << 16n) | 0x19n, id(512) << 3n],
      [(1n << 32n) | 0x25n, this.#frames[0]!],
      [random.u64(), random.u64()],
    ]);
    this.#submit(descriptor);
  }

  #submit(descriptor: readonly [bigint, bigint]): void {
    try {
      this.guest.submit(descriptor);
    } catch (error) {
      // the queue is full behind a wait: the guest has to have patience
      if (!(error instanceof RangeError)) throw error;
      this.#release();
    }
  }

  #registers(): void {
    const random = this.#random;
    const { guest } = this;
    switch (random.below(7)) {
      case 0:
        guest.write64(Reg.PQH, BigInt(random.below(256)) * 32n);
        break;
      case 1: {
        const { requests, done } = guest.pageRequests();
        for (const request of requests) {
          if (request.last && random.oneIn(2)) this.#submit(pageGroupResponse(request, 0n));
        }
        done();
        break;
      }
      case 2:
        guest.write32(Reg.PRS, 3);
        break;
      case 3:
        guest.write32(Reg.PECTL, random.oneIn(2) ? 0 : 1 << 31);
        break;
      case 4:
        if (random.oneIn(50)) guest.command(Gcmd.TE, random.oneIn(2));
        else guest.command(Gcmd.TE);
        break;
      case 5:
        // a device that is given up, and the end of the time-out
        if (random.oneIn(20)) guest.unit.deviceTlbTimedOut(random.pick(SOURCES));
        break;
      default:
        guest.write32(Reg.FRCD + 12, 1 << 31);
        // a bad descriptor is passed over
        if ((guest.read32(Reg.FSTS) & 0x10) !== 0) guest.command(Gcmd.QIE, false);
        guest.write32(Reg.FSTS, 0x71);
        if ((guest.read32(Reg.GSTS) & Gcmd.QIE) === 0) guest.enableQueueAgain();
    }
  }

  #transfer(): void {
    const random = this.#random;
    if (this.#held.length > 6 || random.oneIn(2)) {
      this.#release();
      return;
    }
    const port = random.pick(this.caches).port(random.pick(PASIDS));
    const segments = port.segments(random.below(PAGES) * 4096, 64, Access.WRITE);
    if (segments.result === 0) this.#held.push(segments);
  }

  #release(): void {
    const [segments] = this.#held.splice(0, 1);
    segments?.views[0]!.fill(0x11);
    segments?.release();
  }
}

describe("a hostile guest of devices with translation caches", () => {
  it(`does ${OPERATIONS} operations; what waits is bounded, and nothing is reached that was never mapped`, () => {
    const start = seed(20_161_019);
    const kernel = new HostileKernel(new Random(start));
    for (let operation = 0; operation < OPERATIONS; operation++) {
      try {
        kernel.step();
      } catch (error) {
        throw new Error(`VIOMMU_SEED=${start}: operation ${operation}`, { cause: error });
      }
      if (operation % 1000 !== 0) continue;
      for (const { atc } of kernel.caches) {
        expect(atc.pending.groups).toBeLessThanOrEqual(64);
        // what timed out is still owed by the device
        expect(atc.pending.invalidations).toBeLessThan(200);
      }
    }
    for (let at = 0n; at < 0x1000n; at += 8n) {
      expect(kernel.guest.get64(kernel.secret + at)).toBe(SECRET);
    }
    // accesses succeeded, faulted, were blocked, met no memory, waited, were refused
    for (const result of [0, 1, -1, -2, -3, -4]) {
      expect(kernel.results.get(result) ?? 0, `result ${result}`).toBeGreaterThan(50);
    }
    expect(kernel.answered).toBeGreaterThan(1000);
  });
});
