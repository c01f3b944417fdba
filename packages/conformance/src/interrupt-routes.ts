import { InterruptResult } from "@viommu/plugin";
import type { Judge, Requirement } from "./check.ts";
import { describeInterrupt, messageOf, unicast } from "./interrupt-message.ts";
import type { Interrupt } from "./interrupt-message.ts";
import { DEVICE, made, OTHER_DEVICE } from "./interrupts-under-test.ts";
import type { InterruptsUnderTest, Routed } from "./interrupts-under-test.ts";

const FORM = "Output: the message to deliver, in the form an MSI has.";
const REMAP =
  "Answers one request: {@link InterruptResult}, or the fault reason, which has been reported.";

/** Bits 1:0 of a message's address count for nobody, and its level only with trigger mode level. */
const ADDRESS_BITS = ~3;
const LEVEL = 0x4000;

/** What a remapper answers where the suite has made ways. */
export function routeRequirements(): readonly Requirement<InterruptsUnderTest>[] {
  return [
    {
      name: "an interrupt arrives with the destination, vector and modes of its way",
      chapterOrPort: "InterruptRequest.messageAddress",
      sentence: FORM,
      applies: hasRoutes,
      prove: (interrupts, judge) => {
        for (const routed of interrupts.routed) judgeRouted(interrupts, judge, routed);
      },
    },
    {
      name: "a way belongs to its requester",
      chapterOrPort: "InterruptRequest.sourceId",
      sentence: "Requester: bus (15:8), device (7:3), function (2:0).",
      applies: hasRoutes,
      prove: (interrupts, judge) => {
        const routes = interrupts.routes!;
        const own = made(routes, OTHER_DEVICE, unicast(9, 0x91));
        routes.sync();
        judgeRouted(interrupts, judge, own);
        for (const { query, interrupt } of interrupts.routed) {
          const result = interrupts.ask(judge, "remap", { ...query, sourceId: OTHER_DEVICE });
          const same = result === InterruptResult.DELIVER && arrives(interrupts, interrupt);
          judge.that(!same, "not the interrupt of another requester", "it");
        }
      },
    },
    {
      name: "a way that was taken back is blocked",
      chapterOrPort: "InterruptRemapper.remap",
      sentence: REMAP,
      applies: hasRoutes,
      prove: (interrupts, judge) => {
        const routes = interrupts.routes!;
        const [first, ...others] = interrupts.routed;
        judgeRouted(interrupts, judge, first!);
        routes.drop(first!.message);
        routes.sync();
        const result = interrupts.ask(judge, "remap", first!.query);
        judge.that(result > 0, "a fault reason", result);
        for (const routed of others) judgeRouted(interrupts, judge, routed);
      },
    },
    {
      name: "a way that was changed leads to its new destination",
      chapterOrPort: "InterruptRemapper.remap",
      sentence: REMAP,
      applies: hasRoutes,
      prove: (interrupts, judge) => {
        const routes = interrupts.routes!;
        const [first, ...others] = interrupts.routed;
        judgeRouted(interrupts, judge, first!);
        const interrupt = unicast(0x2a, 0xa2);
        routes.change(first!.message, DEVICE, interrupt);
        routes.sync();
        judgeRouted(interrupts, judge, { ...first!, interrupt });
        for (const routed of others) judgeRouted(interrupts, judge, routed);
      },
    },
    {
      name: "a posted interrupt is consumed, and posted",
      chapterOrPort: "InterruptResult.CONSUMED",
      sentence: "Taken in full (posted, no notification due): nothing is to be delivered.",
      applies: ({ posted }) => posted !== null,
      prove: (interrupts, judge) => {
        const { harness, posted } = interrupts;
        const before = harness.state();
        const result = interrupts.ask(judge, "remap", posted!);
        judge.equal("result", result, InterruptResult.CONSUMED);
        judge.that(harness.state() !== before, "a change of state", "none");
      },
    },
  ];
}

function hasRoutes({ routes }: InterruptsUnderTest): boolean {
  return routes !== null;
}

function judgeRouted(interrupts: InterruptsUnderTest, judge: Judge, routed: Routed): void {
  const { interrupt, query } = routed;
  for (const member of ["probe", "remap"] as const) {
    const result = interrupts.ask(judge, member, query);
    judge.subject += `, for ${describeInterrupt(interrupt)}`;
    judge.equal("result", result, InterruptResult.DELIVER);
    const { upper, address, data } = messageOf(interrupt);
    const { messageUpper, messageAddress, messageData } = interrupts.request;
    judge.equal("messageUpper", messageUpper | 0, upper);
    judge.equal("messageAddress 31:2", messageAddress & ADDRESS_BITS, address);
    const dataBits = interrupt.level ? ~0 : ~LEVEL;
    judge.equal("messageData", messageData & dataBits, data & dataBits);
  }
}

/** Whether the last answer delivers this interrupt. */
function arrives({ request }: InterruptsUnderTest, interrupt: Interrupt): boolean {
  const { upper, address, data } = messageOf(interrupt);
  return (
    (request.messageUpper | 0) === upper &&
    (request.messageAddress & ADDRESS_BITS) === address &&
    ((request.messageData ^ data) & 0xff) === 0
  );
}
