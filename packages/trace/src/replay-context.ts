import { Offset } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import type { MmioEvent, TraceHeader } from "./format.ts";
import { readRegister } from "./replay-unit.ts";
import type { ReplayUnit } from "./replay-unit.ts";
import type { TraceMemory } from "./trace-memory.ts";

const SCALABLE = 1n;
const SRTP = 1n << 30n;
const GSTS_IRES = 1n << 25n;

/** What the deviations may look at: the unit, its memory, and what the guest has programmed. */
export class ReplayContext {
  readonly header: TraceHeader;
  readonly capabilities: Capabilities;
  readonly memory: TraceMemory;
  readonly unit: ReplayUnit;
  #scalable = false;
  readonly #upper = new Map<number, bigint>();

  constructor(
    header: TraceHeader,
    capabilities: Capabilities,
    memory: TraceMemory,
    unit: ReplayUnit,
  ) {
    this.header = header;
    this.capabilities = capabilities;
    this.memory = memory;
    this.unit = unit;
  }

  /** The root table in use is a scalable-mode one (RTADDR.TTM at the last SRTP). */
  get scalable(): boolean {
    return this.#scalable;
  }

  /** Interrupt remapping is on (GSTS.IRES). */
  get remapping(): boolean {
    return (readRegister(this.unit, Offset.GSTS, 4) & GSTS_IRES) !== 0n;
  }

  /** What the guest last wrote to FEUADDR or IEUADDR. */
  upperAddress(offset: number): bigint {
    return this.#upper.get(offset) ?? 0n;
  }

  /** Byte offset of fault recording register 0 (CAP.FRO). */
  get faultRecords(): number {
    return 16 * this.capabilities.FRO;
  }

  /** Number of fault recording registers (CAP.NFR). */
  get faultRecordCount(): number {
    return this.capabilities.NFR + 1;
  }

  noteReset(): void {
    this.#scalable = false;
    this.#upper.clear();
  }

  /** Keeps track of a register write that was just performed. */
  noteWrite({ offset, size, value }: MmioEvent): void {
    if (offset === Offset.GCMD && (value & SRTP) !== 0n) {
      const root = readRegister(this.unit, Offset.RTADDR, 8);
      this.#scalable = ((root >> 10n) & 3n) === SCALABLE;
    }
    for (const upper of [Offset.FEUADDR, Offset.IEUADDR]) {
      if (offset === upper) this.#upper.set(upper, value & 0xffff_ffffn);
      if (offset === upper - 4 && size === 8) this.#upper.set(upper, value >> 32n);
    }
  }
}
