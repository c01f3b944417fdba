import type { Requirement } from "./check.ts";
import { Random } from "./random.ts";
import type { RemapperUnderTest } from "./remapper-under-test.ts";

const SENTENCE =
  "An invalidation that is completed after `enter` is reported to the guest only after `leave`.";

/** Accesses in flight: DmaRemapper.enter and leave. */
export function drainRequirements(): readonly Requirement<RemapperUnderTest>[] {
  return [
    {
      name: "accesses in flight may be many, and end in any order",
      chapterOrPort: "DmaRemapper.leave",
      sentence: "The access of this ticket has ended.",
      prove: (remapper, judge) => {
        const random = new Random(14);
        const queries = remapper.queries().slice(0, 40);
        const before = queries.map((query) => remapper.answer(judge, "translate", query));
        const tickets = queries.map(() => remapper.port.enter());
        queries.forEach((query, i) => {
          judge.equal(
            "while accesses are in flight,",
            remapper.answer(judge, "translate", query),
            before[i],
          );
        });
        judge.subject = "leave";
        while (tickets.length > 0) {
          const [ticket] = tickets.splice(random.below(tickets.length), 1);
          remapper.port.leave(ticket!);
        }
      },
    },
    {
      name: "an invalidation is complete only when the accesses begun before it are over",
      chapterOrPort: "DmaRemapper",
      sentence: SENTENCE,
      applies: hasMappings,
      prove: ({ port, mappings }, judge) => {
        judge.subject = "an invalidation";
        judge.equal("with nothing in flight, complete:", mappings!.sync()(), true);
        const ticket = port.enter();
        const complete = mappings!.sync();
        judge.equal("with an access in flight, complete:", complete(), false);
        port.leave(ticket);
        judge.equal("after the access, complete:", complete(), true);
      },
    },
    {
      name: "an invalidation waits for every access, whichever ends first",
      chapterOrPort: "DmaRemapper",
      sentence: SENTENCE,
      applies: hasMappings,
      prove: ({ port, mappings }, judge) => {
        for (const first of [0, 1, 2]) {
          judge.subject = `an invalidation with three accesses in flight, number ${first} ends first`;
          const tickets = [port.enter(), port.enter(), port.enter()];
          const complete = mappings!.sync();
          for (let i = 0; i < 3; i += 1) {
            judge.equal(`after ${i} of them, complete:`, complete(), false);
            port.leave(tickets[(first + i) % 3]!);
          }
          judge.equal("after all of them, complete:", complete(), true);
        }
      },
    },
    {
      name: "each invalidation waits for the accesses that began before it",
      chapterOrPort: "DmaRemapper",
      sentence: SENTENCE,
      applies: hasMappings,
      prove: ({ port, mappings }, judge) => {
        const older = port.enter();
        const first = mappings!.sync();
        const newer = port.enter();
        const second = mappings!.sync();
        port.leave(older);
        judge.subject = "an invalidation with a newer access in flight";
        judge.equal("complete:", second(), false);
        port.leave(newer);
        judge.subject = "two invalidations with nothing in flight";
        judge.equal("first complete:", first(), true);
        judge.equal("second complete:", second(), true);
      },
    },
  ];
}

function hasMappings({ mappings }: RemapperUnderTest): boolean {
  return mappings !== null;
}
