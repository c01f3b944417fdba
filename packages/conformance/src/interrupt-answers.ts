import { InterruptResult } from "@viommu/plugin";
import type { Requirement } from "./check.ts";
import { isInterruptQuery } from "./interrupt-query.ts";
import { LEFTOVERS } from "./interrupts-under-test.ts";
import type { InterruptsUnderTest } from "./interrupts-under-test.ts";
import { Random } from "./random.ts";

const MEMBERS = ["probe", "remap"] as const;
const REMAP =
  "Answers one request: {@link InterruptResult}, or the fault reason, which has been reported.";
const PROBE = "The same answer with no effect: nothing is recorded, posted or counted.";

/** The form of answers, whatever is asked. */
export function interruptAnswerRequirements(): readonly Requirement<InterruptsUnderTest>[] {
  return [
    {
      name: "it names the PCI segment of its devices",
      chapterOrPort: "InterruptRemapper.segment",
      sentence: "Remaps interrupt requests of devices and I/O APICs.",
      prove: ({ port: { segment } }, judge) => {
        const good = Number.isInteger(segment) && segment >= 0 && segment < 0x1_0000;
        judge.that(good, "segment 0 to 0xffff", segment);
      },
    },
    {
      name: "every request gets DELIVER, CONSUMED or a fault reason, and no exception",
      chapterOrPort: "InterruptRemapper.remap",
      sentence: REMAP,
      prove: (interrupts, judge) => {
        for (const query of interrupts.queries()) {
          for (const member of MEMBERS) {
            const result = interrupts.ask(judge, member, query);
            const good = Number.isInteger(result) && result >= InterruptResult.CONSUMED;
            judge.that(good, "0, -1 or a fault reason", result);
          }
        }
      },
    },
    {
      name: "what was asked stays in the request",
      chapterOrPort: "InterruptRequest",
      sentence: "One interrupt request and its answer; owned and reused by the caller.",
      prove: (interrupts, judge) => {
        for (const query of interrupts.queries()) {
          for (const member of MEMBERS) {
            interrupts.ask(judge, member, query);
            const { request } = interrupts;
            judge.equal("sourceId", request.sourceId, query.sourceId);
            judge.equal("address", request.address, query.address);
            judge.equal("upper", request.upper, query.upper);
            judge.equal("data", request.data, query.data);
          }
        }
      },
    },
    {
      name: "what the request object held before is in no answer",
      chapterOrPort: "InterruptResult.DELIVER",
      sentence: "The message fields hold what has to be delivered.",
      prove: (interrupts, judge) => {
        for (const query of interrupts.queries()) {
          for (const member of MEMBERS) {
            const first = interrupts.answer(judge, member, query, LEFTOVERS[0]);
            const second = interrupts.answer(judge, member, query, LEFTOVERS[1]);
            judge.equal("with other leftovers,", second, first);
          }
        }
      },
    },
    {
      name: "what is to be delivered has the form of an MSI",
      chapterOrPort: "InterruptRequest.messageAddress",
      sentence: "Output: the message to deliver, in the form an MSI has.",
      prove: (interrupts, judge) => {
        const { request } = interrupts;
        for (const query of interrupts.queries()) {
          if (!isInterruptQuery(query)) continue;
          if (interrupts.ask(judge, "remap", query) !== InterruptResult.DELIVER) continue;
          judge.equal("messageAddress 31:20", request.messageAddress >>> 20, 0xfee);
          judge.equal("messageUpper 7:0", request.messageUpper & 0xff, 0);
        }
      },
    },
    {
      name: "a write above 4 GiB is no interrupt",
      chapterOrPort: "InterruptRequest.upper",
      sentence: "Bits 63:32 of the address written; no interrupt unless 0.",
      prove: (interrupts, judge) => {
        for (const query of interrupts.queries()) {
          for (const upper of [1, 0x100, -1, -0x8000_0000]) {
            const result = interrupts.ask(judge, "remap", { ...query, upper });
            judge.that(result > 0, "a fault reason", result);
          }
        }
      },
    },
    {
      name: "the same request gets the same answer again",
      chapterOrPort: "InterruptRemapper.remap",
      sentence: REMAP,
      prove: (interrupts, judge) => {
        const random = new Random(22);
        const queries = interrupts.queries();
        const first = queries.map((query) => interrupts.answer(judge, "remap", query));
        for (let i = 0; i < 2 * queries.length; i += 1) {
          const at = random.below(queries.length);
          const again = interrupts.answer(judge, "remap", queries[at]!);
          judge.equal("asked again,", again, first[at]);
        }
      },
    },
    {
      name: "each blocked request is reported once, and nothing else is",
      chapterOrPort: "InterruptRemapper.remap",
      sentence: REMAP,
      prove: (interrupts, judge) => {
        for (const query of interrupts.queries()) {
          const before = interrupts.harness.reported();
          const result = interrupts.ask(judge, "remap", query);
          const reports = interrupts.harness.reported() - before;
          judge.equal(`result ${result}, reports`, reports, result > 0 ? 1 : 0);
        }
      },
    },
    {
      name: "probe answers what remap answers, before and after it",
      chapterOrPort: "InterruptRemapper.probe",
      sentence: PROBE,
      prove: (interrupts, judge) => {
        for (const query of interrupts.queries()) {
          const before = interrupts.answer(judge, "probe", query);
          const remapped = interrupts.answer(judge, "remap", query);
          const after = interrupts.answer(judge, "probe", query);
          judge.equal("after remap,", after, remapped);
          judge.equal("before remap,", before, remapped);
        }
      },
    },
    {
      name: "probe leaves no trace",
      chapterOrPort: "InterruptRemapper.probe",
      sentence: PROBE,
      prove: (interrupts, judge) => {
        const { harness } = interrupts;
        for (const query of interrupts.queries().slice(0, 200)) {
          const state = harness.state();
          const reported = harness.reported();
          interrupts.ask(judge, "probe", query);
          judge.equal("number of reported faults", harness.reported(), reported);
          judge.equal("state", harness.state(), state);
        }
      },
    },
  ];
}
