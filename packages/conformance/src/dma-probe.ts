import { Access } from "@viommu/plugin";
import type { Requirement } from "./check.ts";
import { FULL_PAGE, queryIn } from "./dma-query.ts";
import type { RemapperUnderTest } from "./remapper-under-test.ts";

const SENTENCE =
  "The same answer with no effect: nothing is recorded, cached, marked accessed or counted.";

/** DmaRemapper.probe. */
export function probeRequirements(): readonly Requirement<RemapperUnderTest>[] {
  return [
    {
      name: "probe answers what translate answers, before and after it",
      chapterOrPort: "DmaRemapper.probe",
      sentence: SENTENCE,
      prove: (remapper, judge) => {
        for (const query of remapper.queries()) {
          const before = remapper.answer(judge, "probe", query);
          const translated = remapper.answer(judge, "translate", query);
          const after = remapper.answer(judge, "probe", query);
          judge.equal("after translate,", after, translated);
          judge.equal("before translate,", before, translated);
        }
      },
    },
    {
      name: "probe leaves no trace",
      chapterOrPort: "DmaRemapper.probe",
      sentence: SENTENCE,
      prove: (remapper, judge) => {
        const { harness } = remapper;
        const queries = remapper.queries();
        for (let i = 0; i < queries.length; i += 5) {
          const state = harness.state();
          const reported = harness.reported();
          remapper.ask(judge, "probe", queries[i]!);
          judge.equal("number of reported faults", harness.reported(), reported);
          judge.equal("state", harness.state(), state);
        }
      },
    },
    {
      name: "probe caches nothing",
      chapterOrPort: "DmaRemapper.probe",
      sentence: SENTENCE,
      applies: ({ mappings }) => mappings !== null,
      prove: (remapper, judge) => {
        const query = queryIn(FULL_PAGE, 0, Access.READ);
        judge.equal("result", remapper.ask(judge, "probe", query), 0);
        remapper.mappings!.unmap(FULL_PAGE);
        const result = remapper.ask(judge, "translate", query);
        judge.subject += ", unmapped since a probe";
        judge.that(result !== 0, "a blocked request", result);
      },
    },
  ];
}
