import { NO_PASID, toNumber } from "@viommu/plugin";
import type { NestedSpace, PagingSpace } from "@viommu/plugin";
import { encode, FS_PAGE_4K, FS_TABLE } from "@viommu/vtd-spec";
import type { Requirement } from "./check.ts";
import { DFN, RW } from "./physical-under-test.ts";
import type { PhysicalUnderTest } from "./physical-under-test.ts";

const CREATE = "First-stage tables of a guest, walked on top of `parent`, which holds GPA→HPA.";
const STAGE =
  "Which tables blocked it: the guest's first stage of a nested space, or anything of the host.";

/** Guest-physical frame of the first of four tables. */
const GUEST_TABLES = 0x500;
const GUEST_DATA = 0x600;
/** Number in the memory of the suite of the frames behind them. */
const TABLES = 16;

/** A guest with four-level tables. */
class Guest {
  readonly parent: PagingSpace;
  readonly nested: NestedSpace;
  private readonly test: PhysicalUnderTest;

  constructor(test: PhysicalUnderTest) {
    this.test = test;
    this.parent = test.space([0, 1, 2, 3].map((i) => [GUEST_TABLES + i, test.frame(TABLES + i)]));
    for (let i = 0; i < 4; i += 1) this.clear(i);
    for (let i = 0; i < 3; i += 1) {
      const ADDR = BigInt(GUEST_TABLES + i + 1) << 12n;
      const index = Math.floor(DFN / 2 ** (9 * (3 - i))) % 512;
      this.store(i, index, encode(FS_TABLE, { P: 1, RW: 1, US: 1, A: 1, ADDR }));
    }
    this.nested = test.iommu.createNestedSpace(this.parent, {
      rootFrame: GUEST_TABLES,
      levels: 4,
      supervisor: false,
      writeProtect: false,
      extendedAccessed: false,
    });
  }

  /** Writes a first-stage entry, as the guest does; null: not present. */
  map(page: number, frame: number | null, writable = true): void {
    const ADDR = BigInt(frame ?? 0) << 12n;
    const flags = { P: 1, RW: Number(writable), US: 1, A: 1, D: 1, ADDR };
    this.store(3, page % 512, encode(FS_PAGE_4K, frame === null ? {} : flags));
  }

  private clear(table: number): void {
    for (let i = 0; i < 512; i += 1) this.store(table, i, new Int32Array(2));
  }

  private store(table: number, index: number, words: Int32Array): void {
    const address = (this.test.harness.firstFrame + TABLES + table) * 4096 + index * 8;
    const { memory } = this.test.harness;
    const [hi, lo] = [Math.floor(address / 2 ** 30), address % 2 ** 30];
    memory.writeWord(hi, lo + 4, words[1]!);
    memory.writeWord(hi, lo, words[0]!);
  }
}

/** Nested spaces, where there are any. */
export function physicalNestingRequirements(): readonly Requirement<PhysicalUnderTest>[] {
  return [
    {
      name: "a nested space goes through the guest's tables and then through its parent",
      chapterOrPort: "PhysicalIommu.createNestedSpace",
      sentence: CREATE,
      prove: (test, judge) => {
        const guest = new Guest(test);
        const frame = test.frame(1);
        guest.parent.map(GUEST_DATA, frame, 0, RW);
        guest.map(DFN, GUEST_DATA);
        for (const pasid of [NO_PASID, ...test.harness.pasids]) {
          judge.subject = `a device attached to a nested space with PASID ${pasid}`;
          test.iommu.attach(test.device, pasid, guest.nested);
          test.reaches(judge, DFN, frame, test.device, pasid);
          test.reaches(judge, GUEST_DATA, null, test.device, pasid);
          test.iommu.attach(test.device, pasid, guest.parent);
          test.reaches(judge, GUEST_DATA, frame, test.device, pasid);
          test.reaches(judge, DFN, null, test.device, pasid);
        }
      },
    },
    {
      name: "an invalidation of a nested space drops what the guest has changed",
      chapterOrPort: "NestedSpace.invalidate",
      sentence:
        "Drops what is cached of 2^order pages (52: all) from page `page` of the first-stage input on.",
      prove: (test, judge) => {
        const guest = new Guest(test);
        const frames = [0, 1].map((number) => test.frame(number));
        frames.forEach((frame, i) => guest.parent.map(GUEST_DATA + i, frame, 0, RW));
        for (const pasid of [NO_PASID, ...test.harness.pasids]) {
          test.iommu.attach(test.device, pasid, guest.nested);
          for (const [order, page] of [
            [0, DFN],
            [9, DFN - (DFN % 512)],
            [52, 0],
          ] as const) {
            // prettier-ignore
            judge.subject = `invalidate of order ${order}`;
            for (const i of [0, 1]) {
              guest.map(DFN, GUEST_DATA + i);
              guest.nested.invalidate(page, order, false);
              test.reaches(judge, DFN, frames[i]!, test.device, pasid);
            }
          }
        }
      },
    },
    {
      name: "a device drops what it has cached itself when it is told to",
      chapterOrPort: "PhysicalIommu.invalidateDeviceTlb",
      sentence:
        "Drops what a device has cached itself of 2^order pages (52: all) from input page `page` on, for its requests with `pasid`, or those without for NO_PASID (device-TLB, VT-d 6.5.2.5).",
      applies: ({ iommu }) => iommu.invalidateDeviceTlb !== undefined,
      prove: (test, judge) => {
        const guest = new Guest(test);
        const { device, harness, iommu } = test;
        const frames = [0, 1].map((number) => test.frame(number));
        frames.forEach((frame, i) => guest.parent.map(GUEST_DATA + i, frame, 0, RW));
        for (const pasid of [NO_PASID, ...harness.pasids]) {
          iommu.attach(device, pasid, guest.nested);
          for (const [order, page] of [
            [0, DFN],
            [9, DFN - (DFN % 512)],
            [52, 0],
          ] as const) {
            // prettier-ignore
            judge.subject = `invalidateDeviceTlb of order ${order} with PASID ${pasid}`;
            for (const i of [0, 1]) {
              guest.map(DFN, GUEST_DATA + i);
              guest.nested.invalidate(page, order, false, true);
              iommu.invalidateDeviceTlb!(device, pasid, page, order);
              test.reaches(judge, DFN, frames[i]!, device, pasid);
            }
          }
        }
      },
    },
    {
      name: "a flush of the parent reaches nested spaces",
      chapterOrPort: "PagingSpace.flush",
      sentence:
        "From its return on no request, through nested spaces on top of this one either, is translated by what was unmapped or replaced before.",
      prove: (test, judge) => {
        const guest = new Guest(test);
        const [one, two] = [test.frame(0), test.frame(1)];
        guest.map(DFN, GUEST_DATA);
        test.iommu.attach(test.device, NO_PASID, guest.nested);
        judge.subject = "a change of the parent";
        for (const frame of [one, two, one]) {
          guest.parent.map(GUEST_DATA, frame, 0, RW);
          guest.parent.flush();
          test.reaches(judge, DFN, frame);
        }
        guest.parent.unmap(GUEST_DATA, 0);
        guest.parent.flush();
        test.reaches(judge, DFN, null);
      },
    },
    {
      name: "a parent is not destroyed below a nested space, nor a nested space below a device",
      chapterOrPort: "PagingSpace.destroy",
      sentence:
        "Gives all frames back. Throws ERR_VIOMMU_PIOMMU while a device or a nested space uses it.",
      prove: (test, judge) => {
        const guest = new Guest(test);
        const frame = test.frame(0);
        guest.parent.map(GUEST_DATA, frame, 0, RW);
        guest.map(DFN, GUEST_DATA);
        test.iommu.attach(test.device, NO_PASID, guest.nested);
        judge.subject = "destroy";
        for (const space of [guest.parent, guest.nested]) {
          test.refused(judge, `of a ${space.kind} space in use,`, () => {
            space.destroy();
          });
        }
        test.reaches(judge, DFN, frame);
        test.iommu.attach(test.device, NO_PASID, test.iommu.blocking);
        guest.nested.destroy();
        guest.parent.destroy();
      },
    },
    {
      name: "a fault says whether the guest's first stage or the host blocked the request",
      chapterOrPort: "PhysicalFault.stage",
      sentence: STAGE,
      prove: (test, judge) => {
        const guest = new Guest(test);
        guest.parent.map(GUEST_DATA, test.frame(0), 0, RW);
        guest.parent.map(GUEST_DATA + 1, test.frame(1), 0, 1);
        guest.map(DFN, GUEST_DATA, false);
        guest.map(DFN + 1, GUEST_DATA + 1);
        guest.map(DFN + 2, GUEST_DATA + 2);
        const { device, faults, harness, iommu } = test;
        const pasid = harness.pasids[0] ?? NO_PASID;
        iommu.attach(device, pasid, guest.nested);
        const cases = [
          ["a page that the guest has not mapped", DFN + 3, "first-stage"],
          ["a page that the guest has mapped read-only", DFN, "first-stage"],
          ["a page that the host has mapped read-only", DFN + 1, "host"],
          ["a page that the host has not mapped", DFN + 2, "host"],
        ] as const;
        for (const [what, dfn, stage] of cases) {
          judge.subject = `a write to ${what}`;
          faults.length = 0;
          judge.equal("done:", harness.write(device, pasid, dfn * 4096, 1), false);
          judge.equal("faults told of:", faults.length, 1);
          const fault = faults[0]!;
          judge.equal("stage", fault.stage, stage);
          judge.equal("pasid", fault.pasid, pasid);
          judge.equal("page", Math.floor(toNumber(fault.hi, fault.lo) / 4096), dfn);
        }
      },
    },
  ];
}
