import { Access } from "@viommu/plugin";
import type { Judge, Requirement } from "./check.ts";
import { ACCESSES, FULL_PAGE, MAPPINGS, offsetsIn, OTHER_PAGE, queryIn } from "./dma-query.ts";
import type { DmaMapping, DmaQuery } from "./dma-query.ts";
import type { RemapperUnderTest } from "./remapper-under-test.ts";

const TRANSLATE =
  "Answers one request: 0, {@link DmaResult}.ABORTED, or the fault reason, which has been reported.";

/** What a remapper answers for pages that the suite has mapped. */
export function mappingRequirements(): readonly Requirement<RemapperUnderTest>[] {
  return [
    {
      name: "a mapped address is translated to exactly the byte behind it",
      chapterOrPort: "DmaRequest.outHi",
      sentence: "Output: guest-physical address of exactly `hi:lo`.",
      prove: (remapper, judge) => {
        for (const mapping of MAPPINGS) judgeMapped(remapper, judge, mapping);
      },
    },
    {
      name: "a page is open for the accesses it was mapped for, and for no other",
      chapterOrPort: "DmaRequest.granted",
      sentence: "Output: bits of {@link Access} that hold for that range.",
      prove: (remapper, judge) => {
        for (const mapping of MAPPINGS) {
          for (const access of ACCESSES) {
            const allowed = (access & ~mapping.access) === 0;
            if (access === Access.NONE) continue;
            const result = remapper.ask(judge, "translate", queryIn(mapping, 0x10, access));
            judge.subject += ` of a page with the rights ${mapping.access}`;
            judge.equal("translated:", result === 0, allowed);
            if (!allowed) continue;
            const more = remapper.request.granted & Access.ATOMIC & ~mapping.access;
            judge.equal("rights beyond those of the mapping:", more, 0);
          }
        }
      },
    },
    {
      name: "what is not mapped is blocked, beside mapped pages too",
      chapterOrPort: "DmaRemapper.translate",
      sentence: TRANSLATE,
      prove: (remapper, judge) => {
        for (const query of unmappedNeighbours()) {
          const result = remapper.ask(judge, "translate", query);
          judge.that(result !== 0, "a blocked request", result);
        }
      },
    },
    {
      name: "a mapping belongs to its device",
      chapterOrPort: "DmaRequest.sourceId",
      sentence: "Requester: bus (15:8), device (7:3), function (2:0).",
      prove: (remapper, judge) => {
        remapper.mappings!.unmap(OTHER_PAGE);
        remapper.mappings!.sync();
        judgeMapped(remapper, judge, FULL_PAGE);
        judgeBlocked(remapper, judge, OTHER_PAGE);
      },
    },
    {
      name: "a page that was unmapped and invalidated is blocked",
      chapterOrPort: "DmaRemapper.translate",
      sentence: TRANSLATE,
      prove: (remapper, judge) => {
        for (const mapping of MAPPINGS) judgeMapped(remapper, judge, mapping);
        for (const mapping of MAPPINGS.slice(1)) remapper.mappings!.unmap(mapping);
        remapper.mappings!.sync();
        for (const mapping of MAPPINGS.slice(1)) judgeBlocked(remapper, judge, mapping);
        judgeMapped(remapper, judge, MAPPINGS[0]!);
      },
    },
    {
      name: "a page that was mapped anew and invalidated has its new address and rights",
      chapterOrPort: "DmaRemapper.translate",
      sentence: TRANSLATE,
      prove: (remapper, judge) => {
        judgeMapped(remapper, judge, FULL_PAGE);
        const anew = { ...FULL_PAGE, outHi: 6, outLo: 0x1234_5000, access: Access.READ };
        remapper.mappings!.unmap(FULL_PAGE);
        remapper.mappings!.map(anew);
        remapper.mappings!.sync();
        judgeMapped(remapper, judge, anew);
        const result = remapper.ask(judge, "translate", queryIn(anew, 0, Access.WRITE));
        judge.that(result !== 0, "a blocked request", result);
      },
    },
  ];
}

function judgeMapped(remapper: RemapperUnderTest, judge: Judge, mapping: DmaMapping): void {
  for (const offset of offsetsIn(mapping)) {
    for (const member of ["probe", "translate", "translate"] as const) {
      const result = remapper.ask(judge, member, queryIn(mapping, offset, mapping.access));
      judge.equal("result", result, 0);
      judge.equal("outHi", remapper.request.outHi, mapping.outHi);
      judge.equal("outLo", remapper.request.outLo, mapping.outLo + offset);
    }
  }
}

function judgeBlocked(remapper: RemapperUnderTest, judge: Judge, mapping: DmaMapping): void {
  for (const offset of offsetsIn(mapping)) {
    const result = remapper.ask(judge, "translate", queryIn(mapping, offset, mapping.access));
    judge.that(result !== 0, "a blocked request", result);
  }
}

/** Requests for the pages before and behind mapped ones. */
function unmappedNeighbours(): readonly DmaQuery[] {
  return MAPPINGS.flatMap((mapping) => [
    queryIn(mapping, -1, Access.READ),
    queryIn(mapping, 2 ** mapping.pageShift, Access.READ),
  ]).filter(({ sourceId, hi, lo }) => {
    const page = lo - (lo % 4096);
    const mapped = MAPPINGS.some(
      (other) => other.sourceId === sourceId && other.hi === hi && other.lo === page,
    );
    return !mapped && lo >= 0 && lo < 2 ** 30;
  });
}
