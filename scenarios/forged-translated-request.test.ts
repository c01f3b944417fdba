/**
 * A device says of addresses that they are translated, which it has made up or kept too long. Its
 * guest has a host permission table for it (VT-d 4.2.4, 4.2.5), and the unit lets through only what is
 * in there.
 */
import { createAtcRouter } from "@viommu/memory";
import { Access, AddressType, NO_PASID } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { CopyDevice } from "./support/copy-device.ts";
import type { Fault } from "./support/guest.ts";
import { Reg } from "./support/guest.ts";
import { HostPermissions } from "./support/host-permissions.ts";
import { Random, seed } from "./support/random.ts";
import {
  ownDeviceTlbPage,
  pasidIotlbPage,
  ScalableGuest,
  USER_READ_ONLY,
} from "./support/scalable-guest.ts";

const DEVICE = 0x18;
/** It answers that it has forgotten, and has not. */
const LIAR = 0x20;
/** No table says what it may reach by translated requests. */
const TRUSTED = 0x28;
const DOMAIN = 3;
const RID_PASID = 0;
const HPTDID = 9n;
const IOVA = 0x5000n;
const STEPS = 5000;
const [READ, READ_WRITE] = [1n, 3n];
const { HPT_READ_DENIED, HPT_WRITE_DENIED } = FaultReason;

function setUp() {
  const devices = createAtcRouter();
  const guest = new ScalableGuest({ devices, capabilities: { HPTS: 1, HPT1GPS: 1 } });
  const tables = guest.firstStage();
  const permissions = new HostPermissions(guest, HPTDID).bind(RID_PASID);
  guest.bind(RID_PASID, tables, DOMAIN);
  for (const sourceId of [DEVICE, LIAR]) guest.addDevice(sourceId, { hostPermissions: true });
  guest.addDevice(TRUSTED);
  const [device, liar, trusted] = [DEVICE, LIAR, TRUSTED].map(
    (sourceId) => new CopyDevice(guest, devices, sourceId),
  ) as [CopyDevice, CopyDevice, CopyDevice];
  devices.attach(LIAR, { invalidate: () => "done", respond: () => undefined });

  /** What a device sends with an address that it calls translated: 0, or the reason. */
  const forge = (address: bigint, access: number, sourceId = DEVICE): number => {
    const { result, gpa } = guest.dma(sourceId, address, access, AddressType.TRANSLATED);
    if (result === 0) expect(gpa).toBe(address);
    return result;
  };
  /** Permits a page, and then maps it (VT-d 6.5.3.4). */
  const map = (iova: bigint, page: bigint, rights: bigint, permitted = rights): void => {
    permissions.set(page, permitted);
    expect(guest.flush(permissions.page(page))).toBe(true);
    tables.map(iova, page, ...(rights === READ ? [USER_READ_ONLY] : []));
  };
  /** Unit and devices forget a translation. */
  const unmap = (iova: bigint): void => {
    tables.unmap(iova);
    const done = guest.flush(
      pasidIotlbPage(BigInt(DOMAIN), BigInt(RID_PASID), iova),
      ...[DEVICE, LIAR, TRUSTED].map((sourceId) => ownDeviceTlbPage(sourceId, iova)),
    );
    expect(done).toBe(true);
  };
  /** After that, they may not reach the page. */
  const forbid = (page: bigint, rights = 0n): void => {
    permissions.set(page, rights);
    expect(guest.flush(permissions.page(page))).toBe(true);
  };
  return { guest, device, liar, trusted, forge, map, unmap, forbid };
}

/** The type of request in a record: bits 125:124 (VT-d 11.4.7.6). */
const addressTypeOf = ({ high }: Fault): number => Number((high >> 60n) & 3n);

describe("a device with a device-TLB and a host permission table", () => {
  it("works as it always did", () => {
    const { guest, device, map } = setUp();
    const [source, target] = [guest.alloc(), guest.alloc()];
    map(IOVA, source, READ_WRITE);
    map(IOVA + 0x1000n, target, READ_WRITE);
    guest.put64(source + 0x10n, 0x1234_5678n);
    device.submit(NO_PASID, Number(IOVA) + 0x10, Number(IOVA) + 0x1ff8, 8);
    expect(device.step()).toBe(0);
    expect(guest.get64(target + 0xff8n)).toBe(0x1234_5678n);
    expect(guest.takeFaults()).toEqual([]);
  });

  it.each([
    ["read", Access.READ, HPT_READ_DENIED],
    ["write", Access.WRITE, HPT_WRITE_DENIED],
    ["atomic", Access.ATOMIC, HPT_WRITE_DENIED],
  ])(
    "a forged %s of a page that nobody mapped for it is blocked, and recorded once",
    (_name, access, reason) => {
      const { guest, device, forge, map } = setUp();
      const [page, secret] = [guest.alloc(), guest.alloc()];
      map(IOVA, page, READ_WRITE);
      expect(device.port(NO_PASID).writeWord(Number(IOVA), 1)).toBe(0);
      expect(forge(page, access)).toBe(0);
      expect(forge(secret + 0x123n, access)).toBe(reason);
      expect(guest.read32(Reg.FSTS) & 3).toBe(2); // PPF, no overflow
      const faults = guest.takeFaults();
      expect(faults).toMatchObject([{ reason, sourceId: DEVICE, info: secret }]);
      expect(faults.map(addressTypeOf)).toEqual([AddressType.TRANSLATED]);
      expect(guest.takeFaults()).toEqual([]);
      // far away, where no table leads
      expect(forge(1n << 44n, access)).toBe(reason);
    },
  );

  it("a page that was mapped to be read cannot be written", () => {
    const { guest, device, forge, map } = setUp();
    const page = guest.alloc();
    map(IOVA, page, READ);
    expect(device.port(NO_PASID).read(Number(IOVA), new Uint8Array(4))).toBe(0);
    expect(forge(page, Access.READ)).toBe(0);
    expect(forge(page, Access.WRITE)).toBe(HPT_WRITE_DENIED);
  });

  it("a device that keeps a translation is stopped by the invalidation of permissions", () => {
    const { guest, liar, map, unmap, forbid } = setUp();
    const page = guest.alloc();
    map(IOVA, page, READ_WRITE);
    const port = liar.port(NO_PASID);
    expect(port.writeWord(Number(IOVA), 0x11)).toBe(0);
    unmap(IOVA);
    // its device-TLB leads there still
    expect(port.writeWord(Number(IOVA), 0x22)).toBe(0);
    expect(guest.get64(page)).toBe(0x22n);
    forbid(page);
    expect(port.writeWord(Number(IOVA), 0x33)).toBe(HPT_WRITE_DENIED);
    expect(port.read(Number(IOVA), new Uint8Array(4))).toBe(HPT_READ_DENIED);
    expect(guest.get64(page)).toBe(0x22n);
    const [fault] = guest.takeFaults();
    expect(fault).toMatchObject({ reason: HPT_WRITE_DENIED, sourceId: LIAR, info: page });
  });

  it("a device without one is trusted, as before", () => {
    const { guest, trusted, forge, map, unmap, forbid } = setUp();
    const [page, secret] = [guest.alloc(), guest.alloc()];
    map(IOVA, page, READ_WRITE);
    expect(trusted.port(NO_PASID).writeWord(Number(IOVA), 0x11)).toBe(0);
    expect(forge(secret, Access.WRITE, TRUSTED)).toBe(0);
    unmap(IOVA);
    forbid(page);
    expect(forge(page, Access.WRITE)).toBe(HPT_WRITE_DENIED);
    expect(forge(page, Access.WRITE, TRUSTED)).toBe(0);
  });
});

describe("5,000 steps of a guest and its devices", () => {
  it("a translated request gets where a page is mapped at that time, and nowhere else", () => {
    const { guest, device, liar, forge, map, unmap, forbid } = setUp();
    const random = new Random(seed(20_261_122));
    // some share an entry of level 1, the last ones are in the next
    const frames = Array.from({ length: 40 }, () => guest.alloc());
    const places = Array.from({ length: 24 }, (_, i) => IOVA + BigInt(i) * 0x1000n);
    /** What is mapped where: the plain model. */
    const mapped = new Map<bigint, { page: bigint; rights: bigint }>();
    const rightsOf = (page: bigint): bigint =>
      [...mapped.values()].reduce((all, one) => (one.page === page ? all | one.rights : all), 0n);
    const allowed = (page: bigint, access: number): boolean =>
      (BigInt(access) & ~rightsOf(page)) === 0n;
    const seen = { permitted: 0, denied: 0, stale: 0 };
    /** Where the liar believes a place to be. */
    const believed = new Map<bigint, { page: bigint; rights: bigint }>();

    const withdraw = (iova: bigint): void => {
      const { page } = mapped.get(iova)!;
      unmap(iova);
      mapped.delete(iova);
      // another mapping may need it yet
      forbid(page, rightsOf(page));
    };
    const step = (): void => {
      const iova = random.pick(places);
      const access = random.pick([Access.READ, Access.WRITE]);
      const kind = random.below(10);
      if (kind < 2) {
        if (mapped.has(iova)) withdraw(iova);
        const page = random.pick(frames);
        const rights = random.pick([READ, READ_WRITE]);
        map(iova, page, rights, rights | rightsOf(page));
        mapped.set(iova, { page, rights });
      } else if (kind < 4) {
        if (mapped.has(iova)) withdraw(iova);
      } else if (kind < 6) {
        const here = mapped.get(iova);
        const result = device.port(NO_PASID).read(Number(iova), new Uint8Array(4));
        expect(result === 0).toBe(here !== undefined);
      } else if (kind < 8) {
        const page = random.pick(frames);
        const result = forge(page, access);
        const denied = access === Access.READ ? HPT_READ_DENIED : HPT_WRITE_DENIED;
        expect(result).toBe(allowed(page, access) ? 0 : denied);
        seen[result === 0 ? "permitted" : "denied"] += 1;
      } else {
        const belief = believed.get(iova) ?? mapped.get(iova);
        const result = liar.port(NO_PASID).read(Number(iova), new Uint8Array(4));
        if (belief === undefined) {
          expect(result).not.toBe(0);
          return;
        }
        believed.set(iova, belief);
        const isStale = belief.page !== mapped.get(iova)?.page;
        expect(result).toBe(allowed(belief.page, Access.READ) ? 0 : HPT_READ_DENIED);
        if (isStale && result !== 0) seen.stale += 1;
      }
    };

    for (let i = 0; i < STEPS; i += 1) {
      step();
      guest.takeFaults();
    }
    expect(Math.min(seen.permitted, seen.denied, seen.stale)).toBeGreaterThan(200);
    for (const iova of [...mapped.keys()]) withdraw(iova);
    for (const page of frames) {
      expect(forge(page, Access.READ)).toBe(HPT_READ_DENIED);
      expect(forge(page, Access.WRITE)).toBe(HPT_WRITE_DENIED);
    }
    expect(guest.read32(Reg.FSTS) & ~3).toBe(0);
  });
});
