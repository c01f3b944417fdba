import { DmaRequest, DmaResult } from "@viommu/plugin";
import type { DmaRemapper } from "@viommu/plugin";
import type { Judge } from "./check.ts";
import { describeQuery, hostileQueries, mappedQueries, MAPPINGS } from "./dma-query.ts";
import type { DmaMapping, DmaQuery } from "./dma-query.ts";

/** How the suite chooses what a remapper translates. */
export interface DmaMappings {
  /** Maps a page for a device that may be new; what else the device asks for is blocked. */
  map(mapping: DmaMapping): void;
  /** Takes a mapped page back. */
  unmap(mapping: DmaMapping): void;
  /**
   * Makes changes take effect, as a guest does: invalidates everything. The function it returns
   * tells whether the guest has been told by now that this is complete.
   */
  sync(): () => boolean;
}

/** A remapper to prove. */
export interface DmaRemapperHarness {
  readonly remapper: DmaRemapper;
  /** Null for a remapper whose translations cannot be chosen, such as an identity. */
  readonly mappings: DmaMappings | null;
  /** How many faults it has reported so far, to whomever. */
  reported(): number;
  /**
   * All that a guest or a host can see of it and that a request may change, as text: fault log,
   * counters, marks in tables.
   */
  state(): string;
}

/** What a request object holds from its last use. */
interface Leftovers {
  readonly outHi: number;
  readonly outLo: number;
  readonly pageShift: number;
  readonly granted: number;
  readonly suppressed: boolean;
}

/** Two sets of leftovers which no answer holds. */
export const LEFTOVERS: readonly [Leftovers, Leftovers] = [
  { outHi: -7, outLo: -1, pageShift: 99, granted: 0x4000, suppressed: true },
  { outHi: -8, outLo: -2, pageShift: 98, granted: 0x8000, suppressed: false },
];

export type Member = "translate" | "probe";

/** A remapper with {@link MAPPINGS} where they can be made, asked through one request object. */
export class RemapperUnderTest {
  readonly port: DmaRemapper;
  readonly mappings: DmaMappings | null;
  readonly harness: DmaRemapperHarness;
  /** Of the last question. */
  readonly request: DmaRequest = new DmaRequest();

  constructor(harness: DmaRemapperHarness) {
    this.harness = harness;
    this.port = harness.remapper;
    this.mappings = harness.mappings;
    for (const mapping of MAPPINGS) this.mappings?.map(mapping);
    this.mappings?.sync();
  }

  /** Asks and returns the result; the outputs are in `request`. */
  ask(judge: Judge, member: Member, query: DmaQuery, leftovers: Leftovers = LEFTOVERS[0]): number {
    judge.subject = `${member}, ${describeQuery(query)}`;
    Object.assign(this.request, query, leftovers);
    return this.port[member](this.request);
  }

  /** Asks and returns all of the answer that counts, as text. */
  answer(judge: Judge, member: Member, query: DmaQuery, leftovers?: Leftovers): string {
    const result = this.ask(judge, member, query, leftovers);
    const { outHi, outLo, pageShift, granted, suppressed } = this.request;
    if (result === DmaResult.ABORTED) return "aborted";
    if (result !== 0) return `fault 0x${result.toString(16)}${suppressed ? ", suppressed" : ""}`;
    return `${outHi}:0x${outLo.toString(16)} for 2^${pageShift} bytes, granted ${granted}`;
  }

  /** Requests of every kind: for mapped pages, and hostile ones. */
  queries(): readonly DmaQuery[] {
    return [...mappedQueries(), ...hostileQueries(600)];
  }
}
