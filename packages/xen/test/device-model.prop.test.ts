/** The device model's cache under random use: no answer is older than the last invalidation. */
import fc from "fast-check";
import { Access } from "@viommu/plugin";
import { expect, it } from "vitest";
import { DummyViommu } from "../src/index.ts";
import { GuestTables, iotlbPage } from "./guest-tables.ts";
import { addressOf, dmaRequest, DOM0, GUEST, XenHost } from "./xen-host.ts";

const NIC = 0x0010;
const seed = Number(process.env.VIOMMU_SEED ?? 20_161_019);
const SMALL = 0; // 6 pages of 4 KiB from here
const LARGE = 2 ** 21; // 2 pages of 2 MiB from here

const step = fc.oneof(
  fc.record({
    kind: fc.constantFrom("map", "unmap"),
    page: fc.nat(5),
    frame: fc.nat(63),
    access: fc.constantFrom(1, 2, 3),
  }),
  fc.record({
    kind: fc.constantFrom("mapLarge", "unmapLarge"),
    page: fc.nat(1),
    frame: fc.nat(3),
    access: fc.constantFrom(1, 2, 3),
  }),
  fc.record({ kind: fc.constant("dma"), page: fc.nat(5), access: fc.constantFrom(1, 2, 3) }),
  // first pages of both large ones
  fc.record({
    kind: fc.constant("dmaLarge"),
    page: fc.constantFrom(0, 1, 2, 512, 513, 514),
    access: fc.constantFrom(1, 2),
  }),
);

it("answers as the tables say, once the guest has invalidated what it changed", () => {
  const property = fc.property(fc.array(step, { minLength: 40, maxLength: 120 }), (steps) => {
    const host = new XenHost();
    const { unit, memory, domain } = host.guestWithUnit();
    const dummy = new DummyViommu({ client: host.client, domid: GUEST, cachedPages: 8 });
    domain.connect(DOM0, dummy);
    const tables = new GuestTables(unit, memory).start();
    tables.mapPage(NIC, 2 ** 29, 0);
    /** By page: the frame's address and its rights. */
    const model = new Map<number, { gpa: number; access: number }>();
    const check = (iova: number, access: number): void => {
      const size = iova < LARGE ? 4096 : LARGE;
      const entry = model.get(iova - (iova % size));
      const request = dmaRequest(NIC, iova, access);
      const result = dummy.translate(request);
      const missing = access & ~(entry?.access ?? 0);
      // VT-d 7.1.3: 5 for a write that is not allowed, 6 for a read
      if (missing !== 0) expect(result).toBe((missing & Access.WRITE) !== 0 ? 5 : 6);
      else expect([result, addressOf(request)]).toEqual([0, entry!.gpa + (iova % size)]);
    };
    for (const { kind, page, access, ...rest } of steps) {
      const frame = "frame" in rest ? rest.frame : 0;
      const large = kind.endsWith("Large");
      const shift = large ? 21 : 12;
      const iova = large ? LARGE + page * LARGE : SMALL + page * 4096;
      if (kind.startsWith("dma")) {
        check(large ? LARGE + page * 4096 : iova, access);
        continue;
      }
      if (kind.startsWith("map")) {
        const gpa = frame * 2 ** shift;
        tables.mapPage(NIC, iova, gpa, access, shift);
        model.set(iova, { gpa, access });
      } else {
        tables.unmapPage(NIC, iova, shift);
        model.delete(iova);
      }
      // one page of a large one is enough (VT-d 6.5.2.3)
      const mask = large && page % 2 === 0 ? 9 : 0;
      const [type, zero, low, high] = iotlbPage(iova);
      expect(tables.flush([type!, zero!, low! | mask, high!])()).toBe(true);
    }
  });
  fc.assert(property, { seed, numRuns: 200 });
});
