import { DeliveryMode } from "@viommu/vtd-spec";
import { checksOf } from "./check.ts";
import type { Check, Requirement } from "./check.ts";
import { unicast } from "./interrupt-message.ts";
import { Random } from "./random.ts";
import { SinkUnderTest } from "./sink-under-test.ts";
import type { InterruptSinkHarness, SinkCpu } from "./sink-under-test.ts";

const DELIVER =
  "Delivers a message in the form of {@link InterruptRequest}'s output; it is never remapped again.";
const FORM = "`messageAddress` 19:12 destination 7:0, 3 redirection hint, 2 logical mode";
const { FIXED, INIT, LOWEST_PRIORITY, NMI } = DeliveryMode;
/** Start-up: no message has this mode, but an enemy may send it. */
const STARTUP = 6;

/**
 * Whether a sink brings interrupts to whom they are addressed, and to nobody else, and takes any
 * message.
 */
export function interruptSinkConformance(make: () => InterruptSinkHarness): readonly Check[] {
  return checksOf(() => new SinkUnderTest(make()), requirements());
}

function requirements(): readonly Requirement<SinkUnderTest>[] {
  return [
    {
      name: "an interrupt for one CPU reaches this CPU alone",
      chapterOrPort: "InterruptSink.deliver",
      sentence: FORM,
      prove: (sink, judge) => {
        sink.cpus.forEach(({ apicId }, i) => {
          sink.reaches(judge, unicast(apicId, 0x20 + (i % 0xd0)), [apicId]);
        });
      },
    },
    {
      name: "a level-triggered interrupt reaches its CPU as well",
      chapterOrPort: "InterruptSink.deliver",
      sentence: "14 level, 15 trigger mode",
      prove: (sink, judge) => {
        const { apicId } = sink.cpus.at(-1)!;
        sink.reaches(judge, { ...unicast(apicId, 0x44), level: true }, [apicId]);
      },
    },
    {
      name: "every vector arrives as it is",
      chapterOrPort: "InterruptSink.deliver",
      sentence: "`messageData` 7:0 vector, 10:8 delivery mode",
      prove: (sink, judge) => {
        const { apicId } = sink.cpus[0]!;
        for (let vector = 16; vector < 256; vector += 1) {
          sink.reaches(judge, unicast(apicId, vector), [apicId]);
        }
      },
    },
    {
      name: "an NMI reaches the addressed CPU as an NMI",
      chapterOrPort: "InterruptSink.deliver",
      sentence: "`messageData` 7:0 vector, 10:8 delivery mode",
      prove: (sink, judge) => {
        const { apicId } = sink.cpus.at(-1)!;
        sink.reaches(judge, { ...unicast(apicId, 0), mode: NMI }, [apicId]);
      },
    },
    {
      name: "an interrupt for a CPU that is not there vanishes",
      chapterOrPort: "InterruptSink.deliver",
      sentence: "`messageUpper` 31:8 destination 31:8",
      prove: (sink, judge) => {
        for (const id of strangers(sink)) sink.reaches(judge, unicast(id, 0x45), []);
      },
    },
    {
      name: "a broadcast reaches every CPU once",
      chapterOrPort: "InterruptSink.deliver",
      sentence: FORM,
      prove: (sink, judge) => {
        const all = sink.cpus.map(({ apicId }) => apicId);
        sink.reaches(judge, unicast(sink.everyone, 0x46), all);
        sink.reaches(judge, { ...unicast(sink.everyone, 0x47), logical: true }, all);
      },
    },
    {
      name: "a logical destination reaches the CPU that it names",
      chapterOrPort: "InterruptSink.deliver",
      sentence: FORM,
      applies: ({ cpus }) => cpus.some(hasLogicalId),
      prove: (sink, judge) => {
        for (const { apicId, logicalId } of sink.cpus.filter(hasLogicalId)) {
          sink.reaches(judge, { ...unicast(logicalId, 0x48), logical: true }, [apicId]);
        }
      },
    },
    {
      name: "a logical destination reaches all members of a cluster that it names",
      chapterOrPort: "InterruptSink.deliver",
      sentence: FORM,
      applies: ({ cpus }) => pairs(cpus).length > 0,
      prove: (sink, judge) => {
        for (const { destination, apicIds } of pairs(sink.cpus)) {
          sink.reaches(judge, { ...unicast(destination, 0x49), logical: true }, apicIds);
        }
      },
    },
    {
      name: "of several CPUs one takes a lowest-priority or redirected interrupt",
      chapterOrPort: "InterruptSink.deliver",
      sentence: FORM,
      applies: ({ cpus }) => pairs(cpus).length > 0,
      prove: (sink, judge) => {
        for (const { destination, apicIds } of pairs(sink.cpus)) {
          const to = { ...unicast(destination, 0x4a), logical: true };
          const interrupts = [
            { ...to, mode: LOWEST_PRIORITY },
            { ...to, mode: FIXED, redirect: true },
          ];
          for (const interrupt of interrupts) {
            const deliveries = sink.send(judge, interrupt);
            judge.equal("deliveries", deliveries.length, 1);
            const { apicId, vector } = deliveries[0]!;
            judge.that(apicIds.includes(apicId), `APIC id ${apicIds.join(" or ")}`, apicId);
            judge.equal("vector", vector, interrupt.vector);
          }
        }
      },
    },
    {
      name: "any message is taken without an exception",
      chapterOrPort: "InterruptSink.deliver",
      sentence: DELIVER,
      prove: (sink, judge) => {
        const random = new Random(31);
        for (let i = 0; i < 5000; i += 1) {
          const words = hostileWords(random);
          judge.subject = `deliver(${words.map((word) => `0x${(word >>> 0).toString(16)}`).join()})`;
          sink.harness.sink.deliver(...words);
        }
      },
    },
    {
      name: "after any messages interrupts arrive as before",
      chapterOrPort: "InterruptSink.deliver",
      sentence: DELIVER,
      prove: (sink, judge) => {
        const random = new Random(32);
        for (let i = 0; i < 5000; i += 1) {
          const [upper, address, data] = hostileWords(random);
          const mode = (data >>> 8) & 7;
          if (mode === INIT || mode === STARTUP) continue; // a CPU may well stop
          sink.harness.sink.deliver(upper, address, data);
        }
        const some = [sink.cpus[0]!, sink.cpus.at(-1)!];
        for (const { apicId } of some) sink.reaches(judge, unicast(apicId, 0xee), [apicId]);
      },
    },
  ];
}

function hasLogicalId({ logicalId }: SinkCpu): boolean {
  return logicalId !== 0;
}

/** Destinations that name two CPUs of one cluster. */
function pairs(cpus: readonly SinkCpu[]): { destination: number; apicIds: readonly number[] }[] {
  const named = cpus.filter(hasLogicalId);
  return named.slice(1).flatMap((cpu, i) => {
    const other = named[i]!;
    const destination = (cpu.logicalId | other.logicalId) >>> 0;
    if (cpu.logicalId >>> 16 !== other.logicalId >>> 16) return [];
    return [{ destination, apicIds: [cpu.apicId, other.apicId] }];
  });
}

/** Physical destinations that no CPU has, many of them like one that a CPU has. */
function strangers({ cpus, everyone }: SinkUnderTest): readonly number[] {
  const ids = new Set([...cpus.map(({ apicId }) => apicId), everyone, 0xff, 0xffff_ffff]);
  const alike = cpus
    .slice(0, 300)
    .flatMap(({ apicId }) => [
      (apicId ^ 0x100) >>> 0,
      (apicId ^ 0x1_0000) >>> 0,
      (apicId ^ 0x8000_0000) >>> 0,
      (apicId + 1) >>> 0,
    ]);
  return alike.filter((id) => !ids.has(id));
}

function hostileWords(random: Random): [upper: number, address: number, data: number] {
  const anything = random.below(8) === 0;
  const address = (0xfee << 20) | random.below(2 ** 20);
  return [
    random.below(2) === 0 ? 0 : random.word(),
    anything ? random.word() : address,
    random.below(2) === 0 ? random.word() : random.below(0x1_0000),
  ];
}
