import { NO_PASID } from "@viommu/plugin";
import type { PagingSpace } from "@viommu/plugin";
import type { Requirement } from "./check.ts";
import { DFN, RW } from "./physical-under-test.ts";
import type { PhysicalUnderTest } from "./physical-under-test.ts";

const READ_AND_CLEAR =
  "Tells of each dirty page in 2^order pages from `dfn` on, large ones in their order, and makes it clean.";

/** Dirty tracking. */
export function physicalDirtyRequirements(): readonly Requirement<PhysicalUnderTest>[] {
  return [
    {
      name: "pages that a device has written are told of, once for each time",
      chapterOrPort: "PagingSpace.readAndClearDirty",
      sentence: READ_AND_CLEAR,
      applies: tracks,
      prove: (test, judge) => {
        const { device, harness } = test;
        const pages = [0, 1, 2, 3].map((number) => [DFN + number, test.frame(number)] as const);
        const space = test.space(pages, device);
        const write = (number: number): void => {
          harness.write(device, NO_PASID, (DFN + number) * 4096, 1);
        };
        write(0);
        judge.subject = "tracking";
        space.setDirtyTracking(true);
        judge.equal("dirty at the start:", dirtyPages(space), "");
        harness.read(device, NO_PASID, (DFN + 1) * 4096);
        judge.equal("dirty after a read:", dirtyPages(space), "");
        write(0);
        write(2);
        judge.equal("dirty after two writes:", dirtyPages(space), `${DFN}/0 ${DFN + 2}/0`);
        judge.equal("dirty when told already:", dirtyPages(space), "");
        write(0);
        judge.equal("dirty after another write:", dirtyPages(space), `${DFN}/0`);
        space.setDirtyTracking(false);
        write(3);
        space.setDirtyTracking(true);
        judge.equal("dirty after tracking began anew:", dirtyPages(space), "");
      },
    },
    {
      name: "only the range asked for is told of and made clean",
      chapterOrPort: "PagingSpace.readAndClearDirty",
      sentence: READ_AND_CLEAR,
      applies: tracks,
      prove: (test, judge) => {
        const { device, harness } = test;
        const dfn = DFN - (DFN % 4);
        const space = test.space(
          [0, 1, 2, 3].map((number) => [dfn + number, test.frame(number)] as const),
          device,
        );
        space.setDirtyTracking(true);
        for (const number of [0, 1, 2, 3]) {
          harness.write(device, NO_PASID, (dfn + number) * 4096, 1);
        }
        judge.subject = "reading two of four dirty pages";
        judge.equal("told:", dirtyPages(space, dfn + 2, 1), `${dfn + 2}/0 ${dfn + 3}/0`);
        judge.equal("left:", dirtyPages(space), `${dfn}/0 ${dfn + 1}/0`);
      },
    },
    {
      name: "a large page is told of in its order",
      chapterOrPort: "PagingSpace.readAndClearDirty",
      sentence: READ_AND_CLEAR,
      applies: (test) => tracks(test) && test.iommu.info.pageOrders.includes(9),
      prove: (test, judge) => {
        const { device, harness } = test;
        const frame = test.frame(0);
        const base = frame - (frame % 512);
        const space = test.space([], device);
        space.map(0x400, base, 9, RW);
        space.setDirtyTracking(true);
        harness.write(device, NO_PASID, (0x400 + (frame - base)) * 4096, 1);
        judge.subject = "a write to a large page";
        judge.equal("told:", dirtyPages(space, 0x400, 0), "1024/9");
        judge.equal("left:", dirtyPages(space), "");
      },
    },
    {
      name: "dirty tracking is refused where it can't be",
      chapterOrPort: "PagingSpace.setDirtyTracking",
      sentence: "Throws ERR_VIOMMU_PIOMMU unless `info.dirtyTracking`.",
      applies: (test) => !tracks(test),
      prove: (test, judge) => {
        const space = test.space([]);
        judge.subject = "setDirtyTracking";
        test.refused(judge, "it", () => {
          space.setDirtyTracking(true);
        });
      },
    },
  ];
}

function tracks({ iommu }: PhysicalUnderTest): boolean {
  return iommu.info.dirtyTracking;
}

/** The dirty pages as `dfn/order`, in order. */
function dirtyPages(space: PagingSpace, dfn = 0, order = 27): string {
  const pages: { dfn: number; order: number }[] = [];
  space.readAndClearDirty(dfn, order, (page, pageOrder) => {
    pages.push({ dfn: page, order: pageOrder });
  });
  pages.sort((a, b) => a.dfn - b.dfn);
  return pages.map((page) => `${page.dfn}/${page.order}`).join(" ");
}
