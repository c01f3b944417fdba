import { MapFlag, MapResult, NO_PASID } from "@viommu/plugin";
import type { PhysicalMapping } from "@viommu/plugin";
import type { Requirement } from "./check.ts";
import { DFN, RW } from "./physical-under-test.ts";
import type { PhysicalUnderTest } from "./physical-under-test.ts";

const MAP =
  "Maps 2^order pages from `dfn` on to those from `mfn` on, both naturally aligned; whatever the range mapped before is replaced.";
const UNMAP = "Removes 2^order pages (any order), splitting larger ones at the edges.";
const FLUSH =
  "From its return on no request, through nested spaces on top of this one either, is translated by what was unmapped or replaced before.";

/** What a paging space maps. */
export function physicalMappingRequirements(): readonly Requirement<PhysicalUnderTest>[] {
  return [
    {
      name: "a device reaches exactly the frame that a page is mapped to, and no neighbour",
      chapterOrPort: "PagingSpace.map",
      sentence: MAP,
      prove: (test, judge) => {
        const [one, two] = [test.frame(0), test.frame(1)];
        judge.subject = "map";
        test.space([[DFN, one], [DFN + 2, two]], test.device); // prettier-ignore
        test.reaches(judge, DFN, one);
        test.reaches(judge, DFN + 2, two);
        for (const dfn of [DFN - 1, DFN + 1, DFN + 3, 0]) test.reaches(judge, dfn, null);
      },
    },
    {
      name: "a page is open for reads and writes as it was mapped",
      chapterOrPort: "MapFlag",
      sentence: "Bits of a mapping's rights.",
      prove: (test, judge) => {
        const { device, harness } = test;
        const space = test.space([], device);
        for (const flags of [MapFlag.READ, MapFlag.WRITE, RW]) {
          judge.subject = `a page with the rights ${flags}`;
          space.map(DFN, test.frame(0), 0, flags);
          space.flush();
          const read = harness.read(device, NO_PASID, DFN * 4096) !== null;
          judge.equal("readable:", read, (flags & MapFlag.READ) !== 0);
          const written = harness.write(device, NO_PASID, DFN * 4096, 5);
          judge.equal("writable:", written, (flags & MapFlag.WRITE) !== 0);
        }
      },
    },
    {
      name: "pages of every size map all of their range, and no more",
      chapterOrPort: "PhysicalIommuInfo.pageOrders",
      sentence: "Orders (log2 of 4 KiB pages) of the page sizes a paging space can use: 0, 9, 18.",
      prove: (test, judge) => {
        const found: PhysicalMapping = { mfn: 0, order: 0, flags: 0 };
        for (const order of test.iommu.info.pageOrders) {
          judge.subject = `a page of order ${order}`;
          const space = test.space([], test.device);
          const size = 2 ** order;
          // large pages can't all have memory behind them: the target is chosen so that some have
          const mfn = test.harness.firstFrame - (test.harness.firstFrame % size);
          const inside = test.frame(3) - mfn;
          test.mapped(judge, space.map(4 * size, mfn, order, RW));
          test.reaches(judge, 4 * size + inside, order === 0 ? null : mfn + inside);
          for (const page of [0, size - 1]) {
            judge.equal("mapped:", space.lookup(4 * size + page, found), true);
            judge.equal("mfn", found.mfn, mfn + page);
            judge.equal("order", found.order, order);
            judge.equal("flags", found.flags, RW);
          }
          for (const dfn of [4 * size - 1, 5 * size]) {
            judge.equal("mapped beside it:", space.lookup(dfn, found), false);
          }
          test.iommu.attach(test.device, NO_PASID, test.iommu.blocking);
          space.destroy();
        }
      },
    },
    {
      name: "a mapping replaces what was there, and the rest of a larger page stays",
      chapterOrPort: "PagingSpace.map",
      sentence: MAP,
      applies: hasLargePages,
      prove: (test, judge) => {
        const base = test.harness.firstFrame - (test.harness.firstFrame % 512);
        const [one, two] = [test.frame(4), test.frame(5)];
        const space = test.space([[0x400, test.frame(0)]], test.device);
        judge.subject = "a large page over a small one";
        space.map(0x400, base, 9, RW);
        space.flush();
        test.reaches(judge, 0x400 + (one - base), one);
        judge.subject = "a small page in a large one";
        space.map(0x400 + (one - base), two, 0, RW);
        space.flush();
        test.reaches(judge, 0x400 + (one - base), two);
        test.reaches(judge, 0x400 + (two - base), two);
      },
    },
    {
      name: "what is unmapped is gone, and the rest of a larger page stays",
      chapterOrPort: "PagingSpace.unmap",
      sentence: UNMAP,
      applies: hasLargePages,
      prove: (test, judge) => {
        const base = test.harness.firstFrame - (test.harness.firstFrame % 512);
        const frames = [8, 9, 10, 11, 12].map((number) => test.frame(number));
        const space = test.space([], test.device);
        space.map(0x400, base, 9, RW);
        judge.subject = "two pages out of a large one";
        test.mapped(judge, space.unmap(0x400 + (frames[0]! - base), 1));
        space.flush();
        frames.forEach((frame, i) => {
          test.reaches(judge, 0x400 + (frame - base), i < 2 ? null : frame);
        });
        judge.subject = "everything";
        test.mapped(judge, space.unmap(0, 36));
        space.flush();
        for (const frame of frames) test.reaches(judge, 0x400 + (frame - base), null);
      },
    },
    {
      name: "after a flush no device is led by what was unmapped or replaced",
      chapterOrPort: "PagingSpace.flush",
      sentence: FLUSH,
      prove: (test, judge) => {
        const [one, two] = [test.frame(0), test.frame(1)];
        const pages = Array.from({ length: 20 }, (_, i) => DFN + i);
        for (const count of [1, 20]) {
          judge.subject = `${count} pages that a device had used`;
          const some = pages.slice(0, count);
          const space = test.space(pages.map((dfn) => [dfn, one]), test.device); // prettier-ignore
          for (const dfn of some) test.reaches(judge, dfn, one);
          for (const dfn of some) space.map(dfn, two, 0, RW);
          space.flush();
          for (const dfn of some) test.reaches(judge, dfn, two);
          for (const dfn of some) space.unmap(dfn, 0);
          space.flush();
          for (const dfn of some) test.reaches(judge, dfn, null);
          for (const dfn of pages.slice(count)) test.reaches(judge, dfn, one);
        }
      },
    },
    {
      name: "what lies beyond the address width is refused, and nothing changes",
      chapterOrPort: "MapResult.BEYOND_WIDTH",
      sentence: "`dfn` or `mfn` outside its address width; nothing was changed.",
      prove: (test, judge) => {
        const { hostAddressWidth, inputWidth } = test.iommu.info;
        const frame = test.frame(0);
        const space = test.space([[DFN, frame]], test.device);
        judge.subject = "a page behind the last";
        const { BEYOND_WIDTH } = MapResult;
        judge.equal("result", space.map(2 ** (inputWidth - 12), frame, 0, RW), BEYOND_WIDTH);
        judge.equal("result", space.map(DFN, 2 ** (hostAddressWidth - 12), 0, RW), BEYOND_WIDTH);
        judge.subject = "the last page";
        test.mapped(judge, space.map(2 ** (inputWidth - 12) - 1, frame, 0, RW));
        test.reaches(judge, 2 ** (inputWidth - 12) - 1, frame);
        test.reaches(judge, DFN, frame);
      },
    },
    {
      name: "a space keeps to its frame quota, and a mapping that breaks it changes nothing",
      chapterOrPort: "MapResult.NO_FRAMES",
      sentence: "The space's table frames (or the host's) are used up; nothing was changed.",
      prove: (test, judge) => {
        const space = test.iommu.createPagingSpace({ frameQuota: 6 });
        test.iommu.attach(test.device, NO_PASID, space);
        const frame = test.frame(0);
        const mapped: number[] = [];
        judge.subject = "pages 64 GiB apart";
        for (let i = 0; i < 6; i += 1) {
          const dfn = (i * 0x100_0000) % 2 ** (test.iommu.info.inputWidth - 12);
          const result = space.map(dfn + i, frame, 0, RW);
          const expected = result === MapResult.MAPPED ? frame : null;
          if (result === MapResult.MAPPED) mapped.push(dfn + i);
          test.reaches(judge, dfn + i, expected);
          judge.that(space.frames <= 6, "at most 6 frames", space.frames);
        }
        judge.that(mapped.length > 0 && mapped.length < 6, "some of 6 mapped", mapped.length);
        for (const dfn of mapped) space.unmap(dfn, 0);
        space.flush();
        judge.subject = "a page after the others were unmapped";
        test.mapped(judge, space.map(0x300_0000, frame, 0, RW));
      },
    },
    {
      name: "a space in use is not destroyed; a destroyed one gives its id and frames back",
      chapterOrPort: "PagingSpace.destroy",
      sentence:
        "Gives all frames back. Throws ERR_VIOMMU_PIOMMU while a device or a nested space uses it.",
      prove: (test, judge) => {
        const frame = test.frame(0);
        const space = test.space([[DFN, frame]], test.device);
        judge.subject = "destroy, while a device uses it";
        test.refused(judge, "it", () => {
          space.destroy();
        });
        test.reaches(judge, DFN, frame);
        test.iommu.attach(test.device, NO_PASID, test.iommu.blocking);
        space.destroy();
        judge.equal("frames after it:", space.frames, 0);
        test.reaches(judge, DFN, null);
        judge.subject = "many spaces, one after the other";
        for (let i = 0; i < Math.min(1000, 2 * test.iommu.info.domainIds); i += 1) {
          test.space([[DFN, frame]]).destroy();
        }
      },
    },
  ];
}

function hasLargePages({ iommu }: PhysicalUnderTest): boolean {
  return iommu.info.pageOrders.includes(9);
}
