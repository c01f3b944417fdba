import { isDeepStrictEqual } from "node:util";
import { createMemory } from "@viommu/memory";
import type { ChunkedMemory } from "@viommu/memory";
import { createHookTable, hiFromBigint, loFromBigint, toBigint } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import type { Capabilities } from "@viommu/vtd-spec";
import { TranslationEngine } from "../../src/index.ts";
import { answerOf, capabilitiesOf, requestOf, variantOf } from "./machine.ts";
import type { Answer, Ask } from "./machine.ts";
import type { World } from "./oracle.ts";
import type { Random } from "./random.ts";

const HIGH = 0x1_4000_0000n; // 64 KiB of memory there
/** Indices used in every table: requests are made of them, so that they meet the entries. */
const INDICES = [0, 1, 17, 511];

/** Pages before this one are for root and context tables. */
export const FIRST_TABLE = 18;

/** A part of memory: address of the first byte, and size in bytes. */
export interface Region {
  readonly base: number;
  readonly size: number;
}

/** What a test wants to be other than random. */
export interface SoupOptions {
  readonly hostAddressWidth?: number;
  /** Memory besides what the pages lie in. */
  readonly regions?: readonly Region[];
}

/** A machine with random capabilities and tables that are mostly, but not always, in order. */
export class Soup implements World {
  readonly random: Random;
  readonly regions: readonly Region[];
  readonly memory: ChunkedMemory;
  readonly capabilities: Capabilities;
  readonly hostAddressWidth: number;
  readonly majorVersion: number;
  readonly engine: TranslationEngine;
  enabled = true;
  root: bigint;
  ttm: number;
  ssirwe = false;
  protectedRanges: [bigint, bigint][] = [];
  /** Pages that tables lie in; the last ones have no memory. */
  readonly pages: bigint[] = [];
  readonly faults: { reason: number; suppressed: boolean; address: bigint }[] = [];
  readonly sources = [0x0000, 0x0001, 0x0011, 0x00ff, 0x0100, 0x1101, 0xff11, 0x0002];

  constructor(
    random: Random,
    capabilities: Partial<Capabilities>,
    ttm: number,
    options: SoupOptions = {},
  ) {
    this.random = random;
    this.capabilities = capabilitiesOf(capabilities);
    this.hostAddressWidth = options.hostAddressWidth ?? random.of([36, 39, 46, 52]);
    this.majorVersion = random.of([1, 8]);
    this.regions = [
      { base: 0, size: 1 << 17 },
      { base: Number(HIGH), size: 1 << 16 },
      ...(options.regions ?? []),
    ];
    this.memory = createMemory({ regions: this.regions });
    for (let i = 1n; i < 28n; i += 1n) this.pages.push(i << 12n);
    for (let i = 0n; i < 10n; i += 1n) this.pages.push(HIGH + (i << 12n));
    this.pages.push(0x2_0000n, 0x8000_0000n);
    this.root = this.pages[0]!;
    this.ttm = ttm;
    this.engine = new TranslationEngine({
      memory: this.view(random.below(4)),
      capabilities: this.capabilities,
      hostAddressWidth: this.hostAddressWidth,
      majorVersion: this.majorVersion,
      segment: 0,
      reporter: {
        dmaFault: (reason, { suppressed, hi, lo }) => {
          this.faults.push({ reason, suppressed, address: toBigint(hi, lo) });
        },
      },
      hooks: createHookTable(),
      unit: "soup",
      iotlbSlots: random.of([1, 8, 64, 8192]),
    });
    this.latch();
    this.engine.setEnabled(true);
  }

  /** The memory with all fast views, with none, with short ones, or shared. */
  private view(kind: number): GuestMemory {
    const { memory } = this;
    if (kind === 0) return variantOf(memory, { chunks: [] });
    if (kind === 1) return variantOf(memory, { chunks: [memory.chunks[0]!.subarray(0, 0x2801)] });
    return kind === 2 ? variantOf(memory, { shared: true }) : memory;
  }

  read(address: bigint): bigint | null {
    const words = new Int32Array(2);
    const done = this.memory.readWords(hiFromBigint(address), loFromBigint(address), 2, words);
    return done ? (BigInt(words[1]! >>> 0) << 32n) | BigInt(words[0]! >>> 0) : null;
  }

  write(address: bigint, value: bigint): boolean {
    const [hi, lo] = [hiFromBigint(address), loFromBigint(address)];
    const low = Number(value & 0xffff_ffffn) | 0;
    return (
      this.memory.writeWord(hi, lo, low) &&
      this.memory.writeWord(hi, lo + 4, Number((value >> 32n) & 0xffff_ffffn) | 0)
    );
  }

  latch(): void {
    const { root, ttm, ssirwe } = this;
    this.engine.latchRoot(hiFromBigint(root), loFromBigint(root), ttm, ssirwe);
  }

  protect(): void {
    const { random } = this;
    const ranges = [0, 1].map((high) => {
      const base = high === 1 ? (random.bits(36) >> 20n) << 20n : random.bits(20) & ~0xfffn;
      return [base, base + (random.bits(random.of([13, 21, 31])) | 0xfffn)] as const;
    });
    const on = random.chance(50);
    this.protectedRanges = on ? ranges.map(([a, b]) => [a, b]) : [];
    const [low, high] = ranges.map(([base, limit]) => ({
      baseHi: hiFromBigint(base),
      baseLo: loFromBigint(base),
      limitHi: hiFromBigint(limit),
      limitLo: loFromBigint(limit),
    }));
    this.engine.setProtected(on, low!, high!);
  }

  /** A page for a table, sometimes one that is no memory. */
  page(): bigint {
    return this.random.of(this.pages);
  }

  /** A page for paging structures of a level (0: any page). */
  tablePage(level: number): bigint {
    const pages = this.tables().filter(([own]) => own === level);
    return pages.length > 0 ? this.random.of(pages)[1] : this.page();
  }

  /** The pages of paging structures, each with its level. */
  tables(): [number, bigint][] {
    return this.pages.slice(FIRST_TABLE, -2).map((page, i) => [1 + (i % 5), page]);
  }

  /** A few of the bits of a mask, mostly none. */
  some(mask: bigint, percent: number): bigint {
    return this.random.chance(percent) ? mask & (1n << BigInt(this.random.below(64))) : 0n;
  }

  /** An address made of indices that tables use. */
  address(): bigint {
    const { random } = this;
    if (random.chance(3)) return 0xfee0_0000n | random.bits(20);
    if (random.chance(2)) return random.bits(64);
    let address = random.bits(12);
    const top = random.of([39, 39, 39, 48, 57]);
    for (let shift = 12; shift < top; shift += 9) {
      address |= BigInt(random.of(INDICES)) << BigInt(shift);
    }
    return random.chance(2) ? address | (1n << BigInt(random.below(64))) : address;
  }

  index(): bigint {
    return BigInt(this.random.of(INDICES));
  }

  /** Asks the engine, by `probe` and by `translate`; they must agree, and report as they should. */
  ask(ask: Ask): Answer {
    const { engine, faults } = this;
    const request = requestOf(ask);
    const probed = answerOf(engine.probe(request), request);
    if (faults.length > 0) throw new Error("a probe reported a fault");
    const answer = answerOf(engine.translate(request), request);
    const report = faults.pop();
    const expected =
      answer.result > 0
        ? { reason: answer.result, suppressed: answer.suppressed, address: report?.address }
        : undefined;
    if (!same(report, expected) || faults.length > 0) {
      throw new Error(`reported ${show(report)}, expected ${show(expected)}`);
    }
    if (!same(probed, answer)) {
      throw new Error(`probe says ${show(probed)}, translate ${show(answer)}`);
    }
    return answer;
  }
}

/** An answer as the port can express it: of an address beyond 57 bits it keeps bits 56:0. */
export function representable(answer: Answer): Answer {
  const { out } = answer;
  return out === undefined
    ? answer
    : { ...answer, out: toBigint(hiFromBigint(out), loFromBigint(out)) };
}

export function same(a: unknown, b: unknown): boolean {
  return isDeepStrictEqual(a, b);
}

export function show(value: unknown): string {
  if (value === undefined) return "nothing";
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member === "bigint" ? `0x${member.toString(16)}` : member,
  );
}
