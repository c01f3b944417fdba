import { createMemory } from "@viommu/memory";
import type { ChunkedMemory } from "@viommu/memory";
import { createHookTable, DmaRequest, hiFromBigint, loFromBigint } from "@viommu/plugin";
import { NO_PASID, toBigint } from "@viommu/plugin";
import type { GuestMemory, HookTable } from "@viommu/plugin";
import { decodeCapabilities, encodeCapabilities } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { TranslationEngine } from "../../src/index.ts";

/** A unit that offers all that matters here, but scalable mode. */
export const LEGACY: Partial<Capabilities> = {
  ND: 6,
  SAGAW: 0b1110,
  MGAW: 56,
  SSLPS: 3,
  PSI: 1,
  MAMV: 18,
  ZLR: 1,
  QI: 1,
  DT: 1,
  PT: 1,
  SC: 1,
};

/** All capabilities by name; those not given are 0. */
export function capabilitiesOf(values: Partial<Capabilities>): Capabilities {
  const { cap, ecap } = encodeCapabilities(values);
  return decodeCapabilities(cap, ecap);
}

/** What a test asks of a device. */
export interface Ask {
  readonly sourceId?: number;
  readonly pasid?: number;
  readonly addressType?: number;
  readonly access?: number;
  readonly address: bigint;
}

/** The request object of a device. */
export function requestOf(ask: Ask): DmaRequest {
  const request = new DmaRequest();
  request.sourceId = ask.sourceId ?? DEVICE;
  request.pasid = ask.pasid ?? NO_PASID;
  request.addressType = ask.addressType ?? 0;
  request.access = ask.access ?? 1;
  request.hi = hiFromBigint(ask.address);
  request.lo = loFromBigint(ask.address);
  return request;
}

/** What came back, comparable. */
export interface Answer {
  readonly result: number;
  readonly suppressed?: boolean;
  readonly out?: bigint;
  readonly pageShift?: number;
  readonly granted?: number;
}

export function answerOf(result: number, request: DmaRequest): Answer {
  if (result > 0) return { result, suppressed: request.suppressed };
  if (result < 0) return { result };
  const { outHi, outLo, pageShift, granted } = request;
  return { result, out: toBigint(outHi, outLo), pageShift, granted };
}

/** 00:02.0. */
export const DEVICE = 0x10;
export const ROOT = 0x1000n;
export const CONTEXT = 0x2000n;
/** First page of the tables that {@link Bench.page} gives out. */
const FIRST_PAGE = 0x10_000n;

export interface BenchOptions {
  readonly capabilities?: Partial<Capabilities>;
  readonly hostAddressWidth?: number;
  readonly iotlbSlots?: number;
  readonly memory?: (memory: ChunkedMemory) => GuestMemory;
  readonly ttm?: number;
  readonly ssirwe?: boolean;
  readonly majorVersion?: number;
}

/** A memory that differs from another one in some members. */
export function variantOf(memory: GuestMemory, members: Partial<GuestMemory>): GuestMemory {
  return {
    chunks: memory.chunks,
    shared: memory.shared,
    readWords: (...args) => memory.readWords(...args),
    writeWord: (...args) => memory.writeWord(...args),
    exchangeWord: (...args) => memory.exchangeWord(...args),
    readBytes: (...args) => memory.readBytes(...args),
    writeBytes: (...args) => memory.writeBytes(...args),
    view: (...args) => memory.view(...args),
    ...members,
  };
}

/** One engine over 16 MiB of memory (and 64 KiB at 8 GiB), switched on, and what it reported. */
export class Bench {
  readonly memory = createMemory({
    regions: [
      { base: 0, size: 1 << 24 },
      { base: 2 ** 33, size: 1 << 16 },
    ],
  });
  readonly hooks: HookTable = createHookTable();
  readonly engine: TranslationEngine;
  /** `[reason, sourceId, address, suppressed]` of each report. */
  readonly faults: [number, number, bigint, boolean][] = [];
  private nextPage = FIRST_PAGE;

  constructor(options: BenchOptions = {}) {
    this.engine = new TranslationEngine({
      memory: options.memory?.(this.memory) ?? this.memory,
      capabilities: capabilitiesOf({ ...LEGACY, ...options.capabilities }),
      hostAddressWidth: options.hostAddressWidth ?? 46,
      segment: 0,
      reporter: {
        dmaFault: (reason, { sourceId, hi, lo, suppressed }) => {
          this.faults.push([reason, sourceId, toBigint(hi, lo), suppressed]);
        },
      },
      hooks: this.hooks,
      unit: "dmar0",
      ...(options.iotlbSlots !== undefined && { iotlbSlots: options.iotlbSlots }),
    });
    this.latch(ROOT, options.ttm ?? 0, options.ssirwe ?? false);
    this.engine.setEnabled(true);
  }

  latch(root: bigint, ttm = 0, ssirwe = false): void {
    this.engine.latchRoot(hiFromBigint(root), loFromBigint(root), ttm, ssirwe);
  }

  /** An empty page for a table. */
  page(): bigint {
    const page = this.nextPage;
    this.nextPage += 0x1000n;
    return page;
  }

  write(address: bigint, ...qwords: bigint[]): void {
    qwords.forEach((qword, i) => {
      this.memory.write64(Number(address) + 8 * i, qword & 0xffff_ffff_ffff_ffffn);
    });
  }

  read(address: bigint): bigint {
    return this.memory.read64(Number(address));
  }

  /** Fills in root entry and context entry of a device. */
  context(low: bigint, high: bigint, sourceId = DEVICE): void {
    this.write(ROOT + 16n * BigInt(sourceId >> 8), CONTEXT | 1n, 0n);
    this.write(CONTEXT + 16n * BigInt(sourceId & 0xff), low, high);
  }

  /**
   * Writes the second-stage entry for an address; makes the tables above it, with R and W, where
   * there are none. Returns the address of the entry.
   */
  map(root: bigint, levels: number, iova: bigint, entry: bigint, level = 1): bigint {
    let table = root;
    for (let at = levels; ; at -= 1) {
      const slot = table + 8n * ((iova >> BigInt(9 * at + 3)) & 0x1ffn);
      if (at === level) {
        this.write(slot, entry);
        return slot;
      }
      if (this.read(slot) === 0n) this.write(slot, this.page() | 3n);
      table = this.read(slot) & 0xf_ffff_ffff_f000n;
    }
  }

  ask(ask: Ask): Answer {
    const request = requestOf(ask);
    const result = this.engine.translate(request);
    return answerOf(result, request);
  }

  probe(ask: Ask): Answer {
    const request = requestOf(ask);
    const result = this.engine.probe(request);
    return answerOf(result, request);
  }

  /** The fault reason; 0 if there was none, -1 for an abort. */
  reason(ask: Ask): number {
    return this.ask(ask).result;
  }
}

/** The counters now. */
export function countersOf({ engine }: Bench): Record<string, number> {
  return Object.fromEntries(Object.entries(engine.counters));
}

/** A bench with one device: domain 5, 48-bit second stage, TT as given; returns its root table. */
export function secondStageBench(
  options: BenchOptions = {},
  { tt = 0n, aw = 2n }: { tt?: bigint; aw?: bigint } = {},
): { bench: Bench; root: bigint; levels: number } {
  const bench = new Bench(options);
  const root = bench.page();
  bench.context(root | (tt << 2n) | 1n, (5n << 8n) | aw);
  return { bench, root, levels: Number(aw) + 2 };
}
