/**
 * A nested domain (VT-d 3.8): the guest owns the first stage, its host the second one. The host reads
 * the fault log. It passes on what the guest has done wrong, with the guest's own ids, and keeps what
 * is its own doing: memory that it has taken away, moved, or write-protected.
 */
import { AtcResult, createAtcRouter } from "@viommu/memory";
import { Access, DmaRequest } from "@viommu/plugin";
import { faultReason } from "@viommu/vtd-spec";
import { beforeEach, describe, expect, it } from "vitest";
import { CopyDevice } from "./support/copy-device.ts";
import { Reg } from "./support/guest.ts";
import { pageGroupResponse, ScalableGuest } from "./support/scalable-guest.ts";
import { FirstStage, SUPERVISOR, USER_READ_ONLY } from "./support/scalable-guest.ts";
import { R, RW } from "./support/second-stage.ts";
import type { SecondStage } from "./support/second-stage.ts";

const DEVICE = 0x18;
const PASID = 5;
/** The device and PASID as the guest knows them. */
const VIRTUAL = { sourceId: 0x08, pasid: 1 };
const DOMAIN = 7;
const { READ, WRITE } = Access;

interface Told {
  readonly reason: number;
  readonly sourceId: number;
  readonly pasid: number;
  readonly address: bigint;
}

/** A host that has put a nested domain under a guest, with guest memory mapped as it is. */
class Host {
  readonly devices = createAtcRouter();
  readonly machine = new ScalableGuest({ devices: this.devices });
  readonly second: SecondStage = this.machine.secondStage();
  readonly first = new FirstStage(this.machine);
  /** Faults that the guest was told, and those kept from it. */
  readonly told: Told[] = [];
  readonly kept: Told[] = [];

  constructor() {
    this.machine.addDevice(DEVICE);
    this.machine.bindNested(PASID, this.first, this.second, DOMAIN);
  }

  /** Maps a page of the guest's memory; unless said otherwise where it is. */
  mapGuest(page: bigint, rights = RW): void {
    this.second.map(page, page, rights);
  }

  /** Maps all first-stage tables on the way to an address. */
  mapTables(address: bigint): void {
    for (const level of [4, 3, 2, 1]) {
      this.mapGuest(this.first.entryAddress(address, level) & ~0xfffn);
    }
  }

  /** A request of the device with the PASID. */
  dma(address: bigint, access: number): number {
    const request = new DmaRequest();
    Object.assign(request, { sourceId: DEVICE, pasid: PASID, access });
    request.hi = Number(address >> 30n);
    request.lo = Number(address & 0x3fff_ffffn);
    return this.machine.unit.dma.translate(request);
  }

  /** Reads the fault log, and sorts what is in it. */
  serveFaults(): void {
    for (const { reason, sourceId, info, high } of this.machine.takeFaults()) {
      const fault = { reason, sourceId, pasid: Number((high >> 40n) & 0xf_ffffn), address: info };
      const isWrite = (high >> 62n) % 2n === 0n;
      if (this.#isOfGuest(fault, isWrite)) this.told.push({ ...fault, ...VIRTUAL });
      else this.kept.push(fault);
    }
  }

  /** Whether the guest's own tables are the reason (VT-d 7.1.3). */
  #isOfGuest({ reason, address }: Told, isWrite: boolean): boolean {
    const label = faultReason(reason)!.label;
    switch (label) {
      case "SFS.6":
      case "SFS.7":
      case "SFS.8":
        return false; // the second stage denied the access to a first-stage table
      case "SFS.1":
      case "SFS.4":
        return false; // a table where the host has no memory
      case "SGN.6":
        // either stage may lack the permission: only a look at the guest's tables tells
        return isWrite && !this.#guestMayWrite(address);
      default:
        return label.startsWith("SFS") || label === "SGN.1" || label === "SGN.2";
    }
  }

  #guestMayWrite(address: bigint): boolean {
    return [4, 3, 2, 1].every((level) => {
      const entry = this.machine.get64(this.first.entryAddress(address, level));
      return (entry & 2n) !== 0n;
    });
  }
}

describe("faults of a nested domain", () => {
  const address = 0x7000n;
  let host: Host;
  let page: bigint;

  beforeEach(() => {
    host = new Host();
    page = host.machine.alloc();
    host.first.map(address, page);
    host.mapTables(address);
    host.mapGuest(page);
  });

  it("are none while both stages map the page", () => {
    expect(host.dma(address, WRITE)).toBe(0);
    host.serveFaults();
    expect([host.told, host.kept]).toEqual([[], []]);
  });

  it.each<[string, number, (host: Host) => void, bigint?]>([
    ["71h: a page that is not present", 0x71, ({ first }) => first.unmap(address)],
    ["72h: a reserved bit", 0x72, ({ first }) => first.put(address, 4, 0xe7n)],
    ["81h: a page of the guest's kernel", 0x81, ({ first }) => first.map(address, 0n, SUPERVISOR)],
    [
      "85h: a page that the guest has write-protected",
      0x85,
      ({ first }) => first.map(address, first.root, USER_READ_ONLY),
    ],
    [
      "74h: a page beyond the guest's memory",
      0x74,
      ({ first }) => first.put(address, 1, (1n << 48n) | 0x67n),
    ],
    ["80h: an address that is not canonical", 0x80, () => undefined, 1n << 47n],
  ])("of the first stage are the guest's, by its own ids: %s", (_name, reason, change, at) => {
    change(host);
    expect(host.dma(at ?? address, WRITE)).toBe(reason);
    host.serveFaults();
    expect(host.told).toEqual([{ ...VIRTUAL, reason, address: at ?? address }]);
    expect(host.kept).toEqual([]);
  });

  it.each<[string, number, (host: Host, page: bigint) => void]>([
    ["79h: the page is gone", 0x79, ({ second }, gpa) => second.map(gpa, 0n, 0n)],
    ["85h: the page is write-protected", 0x85, ({ second }, gpa) => second.map(gpa, gpa, R)],
    ["86h: the page may not be read", 0x86, ({ second }, gpa) => second.map(gpa, gpa, 2n)],
    ["7Ah: a broken entry", 0x7a, ({ second }, gpa) => second.map(gpa, gpa, RW | 0x800n)],
    ["78h: a broken table", 0x78, ({ second }, gpa) => second.put(gpa, 2, (1n << 40n) | RW)],
    [
      "87h: the page is moved to FEEx_xxxxh",
      0x87,
      ({ second }, gpa) => second.map(gpa, 0xfee0_0000n),
    ],
    [
      "79h: a first-stage table is gone",
      0x79,
      ({ first, second }) => second.map(first.root, 0n, 0n),
    ],
    [
      "75h: a first-stage table may not be read",
      0x75,
      ({ first, second }) => second.map(first.root, first.root, 2n),
    ],
    [
      "77h: a first-stage table is write-protected, and A is to be set",
      0x77,
      ({ first, second }, gpa) => {
        first.map(address, gpa, 7n);
        const table = first.entryAddress(address, 1) & ~0xfffn;
        second.map(table, table, R);
      },
    ],
    [
      "73h: a first-stage table is put where no memory is",
      0x73,
      ({ first, second }) => second.map(first.root, 1n << 40n),
    ],
  ])("of the second stage are kept from it: %s", (_name, reason, change) => {
    change(host, page);
    expect(host.dma(address, reason === 0x86 ? READ : WRITE)).toBe(reason);
    host.serveFaults();
    expect(host.told).toEqual([]);
    expect(host.kept).toEqual([{ sourceId: DEVICE, pasid: PASID, reason, address }]);
  });

  it("of both at once come one after the other: first the table the walk meets first", () => {
    host.first.unmap(address);
    host.second.map(host.first.root, 0n, 0n);
    expect(host.dma(address, READ)).toBe(0x79);
    host.mapGuest(host.first.root);
    expect(host.dma(address, READ)).toBe(0x71);
    host.serveFaults();
    // two faults of one requester that are pending are one record, the first
    expect([host.kept.map(({ reason }) => reason), host.told]).toEqual([[0x79], []]);
    expect(host.dma(address, READ)).toBe(0x71);
    host.serveFaults();
    expect(host.told.map(({ reason }) => reason)).toEqual([0x71]);
  });
});

describe("page requests of a nested domain", () => {
  it("don't say which stage: the host looks, serves its own pages, and passes on the others", () => {
    const host = new Host();
    const { machine, first, second, devices } = host;
    machine.enablePageRequests(0, 0x41);
    const device = new CopyDevice(machine, devices, DEVICE, () => undefined);
    const [own, ofGuest] = [0x1000n, 0x2000n];
    const page = machine.alloc();
    first.map(own, page);
    first.put(ofGuest, 1, 0n);
    host.mapTables(own);
    const port = device.port(PASID);
    expect(port.writeWord(Number(own), 1)).toBe(AtcResult.PAGE_REQUESTED);
    expect(port.writeWord(Number(ofGuest), 1)).toBe(AtcResult.PAGE_REQUESTED);

    const forGuest: bigint[] = [];
    const { requests, done } = machine.pageRequests();
    for (const request of requests) {
      const entry = machine.get64(first.entryAddress(request.address, 1));
      if ((entry & 1n) === 0n) {
        forGuest.push(request.address);
        continue;
      }
      second.map(entry & 0xf_ffff_ffff_f000n, page);
      machine.submit(pageGroupResponse(request, 0n));
    }
    done();
    expect(forGuest).toEqual([ofGuest]);
    expect(device.atc.pending.groups).toBe(1);
    expect(port.writeWord(Number(own), 0x1234)).toBe(0);
    expect(machine.get64(page)).toBe(0x1234n);

    // the guest serves its page, and the host sends the answer on
    const gpa = 0x5000_0000n;
    first.map(ofGuest, gpa);
    second.map(gpa, machine.alloc());
    machine.submit(pageGroupResponse(requests[1]!, 0n));
    expect(port.writeWord(Number(ofGuest), 0x5678)).toBe(0);
    expect(machine.read32(Reg.FSTS)).toBe(0);
  });
});
