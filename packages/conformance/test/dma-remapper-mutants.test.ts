import { DmaResult } from "@viommu/plugin";
import type { DmaRequest } from "@viommu/plugin";
import { describe } from "vitest";
import { dmaRemapperConformance } from "../src/index.ts";
import type { DmaRemapperHarness } from "../src/index.ts";
import { catchesAll } from "./mutants.ts";
import type { Mutant } from "./mutants.ts";
import { pageMapHarness, PageMapRemapper } from "./page-map-remapper.ts";

const wrong = (Remapper: new () => PageMapRemapper) => () => pageMapHarness(new Remapper());

const MUTANTS: readonly Mutant<DmaRemapperHarness>[] = [
  {
    that: "throws on an address beyond its width",
    make: wrong(
      class extends PageMapRemapper {
        override key(sourceId: number, hi: number, lo: number): string {
          if (hi < 0 || hi > 0x1_0000) throw new RangeError("address");
          return super.key(sourceId, hi, lo);
        }
      },
    ),
    foundBy: "every request gets 0, ABORTED or a fault reason, and no exception",
  },
  {
    that: "says -2 for what it does not know",
    make: wrong(
      class extends PageMapRemapper {
        override answer(request: DmaRequest, caches: boolean): number {
          return request.addressType === 2 ? -2 : super.answer(request, caches);
        }
      },
    ),
    foundBy: "every request gets 0, ABORTED or a fault reason, and no exception",
  },
  {
    that: "cuts the address in the request",
    make: wrong(
      class extends PageMapRemapper {
        override answer(request: DmaRequest, caches: boolean): number {
          request.hi &= 0x3_ffff;
          return super.answer(request, caches);
        }
      },
    ),
    foundBy: "what was asked stays in the request",
  },
  {
    that: "leaves the old size in the answer",
    make: wrong(
      class extends PageMapRemapper {
        override answer(request: DmaRequest, caches: boolean): number {
          const { pageShift } = request;
          const result = super.answer(request, caches);
          request.pageShift = pageShift;
          return result;
        }
      },
    ),
    foundBy: "what the request object held before is in no answer",
  },
  {
    that: "leaves the old `suppressed` in a fault",
    make: wrong(
      class extends PageMapRemapper {
        override report(): void {
          this.faults += 1;
        }
      },
    ),
    foundBy: "what the request object held before is in no answer",
  },
  {
    that: "puts the whole address into outLo",
    make: wrong(
      class extends PageMapRemapper {
        override answer(request: DmaRequest, caches: boolean): number {
          const result = super.answer(request, caches);
          if (result === 0) request.outLo += request.outHi * 2 ** 30;
          return result;
        }
      },
    ),
    foundBy: "the output fields of a translated request are valid",
  },
  {
    that: "answers for 2 MiB where it has 4 KiB",
    make: wrong(
      class extends PageMapRemapper {
        override answer(request: DmaRequest, caches: boolean): number {
          const result = super.answer(request, caches);
          if (result === 0) request.pageShift = 21;
          return result;
        }
      },
    ),
    foundBy: "the answer holds for all of its range",
  },
  {
    that: "grants nothing",
    make: wrong(
      class extends PageMapRemapper {
        override answer(request: DmaRequest, caches: boolean): number {
          const result = super.answer(request, caches);
          if (result === 0) request.granted = 0;
          return result;
        }
      },
    ),
    foundBy: "a translated request is granted what it asked for",
  },
  {
    that: "blocks every thousandth request",
    make: wrong(
      class extends PageMapRemapper {
        #count = 0;
        override answer(request: DmaRequest, caches: boolean): number {
          this.#count += 1;
          return this.#count % 1000 === 0 ? 9 : super.answer(request, caches);
        }
      },
    ),
    foundBy: "the same request gets the same answer again",
  },
  {
    that: "reports a fault twice",
    make: wrong(
      class extends PageMapRemapper {
        override report(request: DmaRequest): void {
          super.report(request);
          this.faults += 1;
        }
      },
    ),
    foundBy: "each blocked request is reported once, and nothing else is",
  },
  {
    that: "reports what it aborts",
    make: wrong(
      class extends PageMapRemapper {
        override translate(request: DmaRequest): number {
          const result = super.translate(request);
          if (result === DmaResult.ABORTED) this.report(request);
          return result;
        }
      },
    ),
    foundBy: "each blocked request is reported once, and nothing else is",
  },
  {
    that: "lets a probe through that it would block",
    make: wrong(
      class extends PageMapRemapper {
        override probe(request: DmaRequest): number {
          const { access } = request;
          request.access = 0;
          const result = super.probe(request);
          request.access = access;
          return result;
        }
      },
    ),
    foundBy: "probe answers what translate answers, before and after it",
  },
  {
    that: "records the faults of probes",
    make: wrong(
      class extends PageMapRemapper {
        override probe(request: DmaRequest): number {
          return this.translate(request);
        }
      },
    ),
    foundBy: "probe leaves no trace",
  },
  {
    that: "caches what a probe has found",
    make: wrong(
      class extends PageMapRemapper {
        override probe(request: DmaRequest): number {
          const result = this.answer(request, true);
          if (result > 0) request.suppressed = false;
          return result;
        }
      },
    ),
    foundBy: "probe caches nothing",
  },
  {
    that: "forgets the offset in a page",
    make: wrong(
      class extends PageMapRemapper {
        override answer(request: DmaRequest, caches: boolean): number {
          const result = super.answer(request, caches);
          if (result === 0) request.outLo -= request.outLo % 4096;
          return result;
        }
      },
    ),
    foundBy: "a mapped address is translated to exactly the byte behind it",
  },
  {
    that: "lets every access through to a mapped page",
    make: wrong(
      class extends PageMapRemapper {
        override map(mapping: Parameters<PageMapRemapper["map"]>[0]): void {
          super.map({ ...mapping, access: 3 });
        }
      },
    ),
    foundBy: "a page is open for the accesses it was mapped for, and for no other",
  },
  {
    that: "lets unmapped addresses through",
    make: wrong(
      class extends PageMapRemapper {
        override answer(request: DmaRequest, caches: boolean): number {
          const result = super.answer(request, caches);
          if (result !== 2) return result;
          this.complete(request, { outHi: request.hi, outLo: request.lo & ~4095, access: 3 });
          return 0;
        }
      },
    ),
    foundBy: "what is not mapped is blocked, beside mapped pages too",
  },
  {
    that: "has one table for all devices",
    make: wrong(
      class extends PageMapRemapper {
        override key(_sourceId: number, hi: number, lo: number): string {
          return super.key(0, hi, lo);
        }
      },
    ),
    foundBy: "a mapping belongs to its device",
  },
  {
    that: "never forgets a page",
    make: wrong(
      class extends PageMapRemapper {
        override sync(): () => boolean {
          const kept = [...this.cache];
          const complete = super.sync();
          for (const [key, page] of kept) this.cache.set(key, page);
          return complete;
        }
      },
    ),
    foundBy: "a page that was unmapped and invalidated is blocked",
  },
  {
    that: "completes an invalidation while an access is in flight",
    make: wrong(
      class extends PageMapRemapper {
        override sync(): () => boolean {
          super.sync();
          return () => true;
        }
      },
    ),
    foundBy: "an invalidation is complete only when the accesses begun before it are over",
  },
  {
    that: "waits for the newest access only",
    make: wrong(
      class extends PageMapRemapper {
        override sync(): () => boolean {
          const newest = Math.max(0, ...this.running);
          super.sync();
          return () => !this.running.has(newest);
        }
      },
    ),
    foundBy: "an invalidation waits for every access, whichever ends first",
  },
  {
    that: "waits for the accesses of the first invalidation only",
    make: wrong(
      class extends PageMapRemapper {
        override sync(): () => boolean {
          super.sync();
          return () => this.waits.some(({ done }) => done) && this.waits[1]?.done !== false;
        }
      },
    ),
    foundBy: "each invalidation waits for the accesses that began before it",
  },
  {
    that: "wants accesses to end in the order they began",
    make: wrong(
      class extends PageMapRemapper {
        override leave(ticket: number): void {
          if (ticket !== Math.min(...this.running)) throw new RangeError("not the oldest");
          super.leave(ticket);
        }
      },
    ),
    foundBy: "accesses in flight may be many, and end in any order",
  },
];

describe("dmaRemapperConformance", () => {
  catchesAll("a remapper", dmaRemapperConformance, MUTANTS);
});
