import { Access, AddressType, DmaResult } from "@viommu/plugin";
import type { Judge, Requirement } from "./check.ts";
import { ACCESSES } from "./dma-query.ts";
import type { DmaQuery } from "./dma-query.ts";
import { Random } from "./random.ts";
import { LEFTOVERS } from "./remapper-under-test.ts";
import type { Member, RemapperUnderTest } from "./remapper-under-test.ts";

const MEMBERS: readonly Member[] = ["probe", "translate"];
const RIGHTS = Access.READ | Access.WRITE;
const KNOWN = RIGHTS | Access.EXECUTE | Access.PRIVILEGED | Access.SNOOP | Access.BYPASS;

/** The form of answers, whatever is asked. */
export function answerRequirements(): readonly Requirement<RemapperUnderTest>[] {
  return [
    {
      name: "it names the PCI segment of its devices",
      chapterOrPort: "DmaRemapper.segment",
      sentence: "PCI segment whose source-ids this remapper understands.",
      prove: ({ port: { segment } }, judge) => {
        const good = Number.isInteger(segment) && segment >= 0 && segment < 0x1_0000;
        judge.that(good, "segment 0 to 0xffff", segment);
      },
    },
    {
      name: "every request gets 0, ABORTED or a fault reason, and no exception",
      chapterOrPort: "DmaRemapper.translate",
      sentence:
        "Answers one request: 0, {@link DmaResult}.ABORTED, or the fault reason, which has been reported.",
      prove: (remapper, judge) => {
        for (const query of remapper.queries()) {
          for (const member of MEMBERS) {
            const result = remapper.ask(judge, member, query);
            const good = Number.isInteger(result) && result >= DmaResult.ABORTED;
            judge.that(good, "0, -1 or a fault reason", result);
          }
        }
      },
    },
    {
      name: "what was asked stays in the request",
      chapterOrPort: "DmaRequest",
      sentence: "The caller owns the object and uses it again and again",
      prove: (remapper, judge) => {
        for (const query of remapper.queries()) {
          for (const member of MEMBERS) {
            remapper.ask(judge, member, query);
            const { request } = remapper;
            judge.equal("sourceId", request.sourceId, query.sourceId);
            judge.equal("pasid", request.pasid, query.pasid);
            judge.equal("addressType", request.addressType, query.addressType);
            judge.equal("access", request.access, query.access);
            judge.equal("hi", request.hi, query.hi);
            judge.equal("lo", request.lo, query.lo);
          }
        }
      },
    },
    {
      name: "what the request object held before is in no answer",
      chapterOrPort: "DmaResult.TRANSLATED",
      sentence: "The output fields are valid.",
      prove: (remapper, judge) => {
        for (const query of remapper.queries()) {
          for (const member of MEMBERS) {
            const first = remapper.answer(judge, member, query, LEFTOVERS[0]);
            const second = remapper.answer(judge, member, query, LEFTOVERS[1]);
            judge.equal("with other leftovers,", second, first);
          }
        }
      },
    },
    {
      name: "the output fields of a translated request are valid",
      chapterOrPort: "DmaResult.TRANSLATED",
      sentence: "The output fields are valid.",
      prove: (remapper, judge) => {
        for (const query of remapper.queries()) {
          for (const member of MEMBERS) {
            if (remapper.ask(judge, member, query) === 0) judgeOutputs(remapper, judge);
          }
        }
      },
    },
    {
      name: "a translated request is granted what it asked for",
      chapterOrPort: "DmaRequest.granted",
      sentence: "Output: bits of {@link Access} that hold for that range.",
      prove: (remapper, judge) => {
        for (const query of remapper.queries()) {
          if (query.addressType !== AddressType.UNTRANSLATED) continue;
          for (const member of MEMBERS) {
            if (remapper.ask(judge, member, query) !== 0) continue;
            const { granted } = remapper.request;
            judge.equal(
              "rights that are missing in `granted`:",
              query.access & RIGHTS & ~granted,
              0,
            );
          }
        }
      },
    },
    {
      name: "the answer holds for all of its range",
      chapterOrPort: "DmaRequest.pageShift",
      sentence: "Output: the answer holds for the naturally aligned range of 2^pageShift bytes.",
      prove: (remapper, judge) => {
        const random = new Random(12);
        for (const query of remapper.queries()) {
          if (query.addressType !== AddressType.UNTRANSLATED) continue;
          if (remapper.ask(judge, "translate", query) === 0) {
            judgeRange(remapper, judge, query, random);
          }
        }
      },
    },
    {
      name: "the same request gets the same answer again",
      chapterOrPort: "DmaRemapper.translate",
      sentence: "Answers one request",
      prove: (remapper, judge) => {
        const random = new Random(13);
        const queries = remapper.queries();
        const first = queries.map((query) => remapper.answer(judge, "translate", query));
        for (let i = 0; i < 2 * queries.length; i += 1) {
          const at = random.below(queries.length);
          const again = remapper.answer(judge, "translate", queries[at]!);
          judge.equal("asked again,", again, first[at]);
        }
      },
    },
    {
      name: "each blocked request is reported once, and nothing else is",
      chapterOrPort: "DmaRemapper.translate",
      sentence: "or the fault reason, which has been reported.",
      prove: (remapper, judge) => {
        for (const query of remapper.queries()) {
          const before = remapper.harness.reported();
          const result = remapper.ask(judge, "translate", query);
          const reports = remapper.harness.reported() - before;
          judge.equal(`result ${result}, reports`, reports, result > 0 ? 1 : 0);
        }
      },
    },
  ];
}

function judgeOutputs({ request }: RemapperUnderTest, judge: Judge): void {
  const { outHi, outLo, pageShift, granted } = request;
  judge.that(outHi === (outHi | 0), "outHi a signed 32-bit int", outHi);
  const isLo = Number.isInteger(outLo) && outLo >= 0 && outLo < 2 ** 30;
  judge.that(isLo, "outLo of 30 bits", outLo);
  // a request may reach to the next 4 KiB border
  const isShift = Number.isInteger(pageShift) && pageShift >= 12 && pageShift <= 64;
  judge.that(isShift, "pageShift 12 to 64", pageShift);
  judge.equal("bits that `Access` does not have, in granted:", granted & ~KNOWN, 0);
}

/** Asks for other bytes of the range, with all rights that were granted. */
function judgeRange(
  remapper: RemapperUnderTest,
  judge: Judge,
  query: DmaQuery,
  random: Random,
): void {
  const { pageShift, granted, outHi, outLo } = remapper.request;
  const distance = linear(outHi, outLo) - linear(query.hi, query.lo);
  const size = 1n << BigInt(pageShift);
  const base = linear(query.hi, query.lo) & -size;
  const drawn = (BigInt(random.below(2 ** 32)) << 30n) | BigInt(random.below(2 ** 30));
  const allowed = ACCESSES.filter((rights) => rights !== 0 && (rights & ~granted) === 0).map(
    (rights) => (query.access & ~RIGHTS) | rights,
  );
  for (const offset of [0n, size / 2n - 1n, size / 2n, size - 1n, drawn % size]) {
    const other = { ...query, ...split(base + offset) };
    for (const access of [query.access, ...allowed]) {
      for (const member of MEMBERS) {
        const result = remapper.ask(judge, member, { ...other, access });
        const { request } = remapper;
        judge.subject += `, in the range of 2^${pageShift} bytes of the answer for hi ${query.hi}, lo 0x${query.lo.toString(16)}`;
        judge.equal("result", result, 0);
        const seen = linear(request.outHi, request.outLo);
        judge.equal("output address", seen, base + offset + distance);
      }
    }
  }
}

function linear(hi: number, lo: number): bigint {
  return (BigInt(hi) << 30n) + BigInt(lo);
}

function split(address: bigint): { hi: number; lo: number } {
  return { hi: Number(address >> 30n), lo: Number(address & 0x3fff_ffffn) };
}
