import { Offset } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { dmaRequest } from "./answers.ts";
import type { DmaEvent, MmioEvent, TraceHeader } from "./format.ts";
import { HeldQueue } from "./held-queue.ts";
import { hostAddressWidthOf, readRegister } from "./replay-unit.ts";
import type { ReplayUnit } from "./replay-unit.ts";
import type { TraceMemory } from "./trace-memory.ts";

const SCALABLE = 1n;
const SRTP = 1n << 30n;
const GSTS_IRES = 1n << 25n;
const GSTS_QIES = 1n << 26n;
const IRTA_EIME = 1n << 11n;
const PAGE_ADDRESS = ~0xfffn;

/** What the deviations may look at: the unit, its memory, and what the guest has programmed. */
export class ReplayContext {
  readonly header: TraceHeader;
  readonly capabilities: Capabilities;
  readonly memory: TraceMemory;
  readonly unit: ReplayUnit;
  /** Where the reference stops an invalidation queue, and the unit goes on. */
  readonly heldQueue: HeldQueue;
  #scalable = false;
  #command = 0n;
  #queueOn = false;
  #queueAddress = 0n;
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
    this.heldQueue = new HeldQueue(unit);
  }

  /** The root table in use is a scalable-mode one (RTADDR.TTM at the last SRTP). */
  get scalable(): boolean {
    return this.#scalable;
  }

  /** Interrupt remapping is on (GSTS.IRES). */
  get remapping(): boolean {
    return (readRegister(this.unit, Offset.GSTS, 4) & GSTS_IRES) !== 0n;
  }

  /** APIC ids of interrupt-remapping entries have 32 bits (IRTA.EIME). */
  get extendedInterrupts(): boolean {
    return (readRegister(this.unit, Offset.IRTA, 4) & IRTA_EIME) !== 0n;
  }

  /** What the guest last wrote to FEUADDR or IEUADDR. */
  upperAddress(offset: number): bigint {
    return this.#upper.get(offset) ?? 0n;
  }

  /** What the guest last wrote to GCMD. */
  get command(): bigint {
    return this.#command;
  }

  /** Base of IQA when the guest last enabled the queue; 0 before. */
  get queueAddress(): bigint {
    return this.#queueAddress;
  }

  /** Records the fault of a request that the reference blocked; false where the unit can't. */
  record(event: DmaEvent, reason: number): boolean {
    if (this.unit.recordDmaFault === undefined) return false;
    this.unit.recordDmaFault(reason, dmaRequest(event));
    return true;
  }

  /** Host address width of the unit, in bits. */
  get hostAddressWidth(): number {
    return hostAddressWidthOf(this.header);
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
    this.#command = 0n;
    this.#queueOn = false;
    this.#queueAddress = 0n;
    this.#upper.clear();
    this.heldQueue.reset();
  }

  /** Keeps track of a register write that was just performed. */
  noteWrite({ offset, size, value }: MmioEvent): void {
    if (offset === Offset.GCMD) this.#noteCommand(value & 0xffff_ffffn);
    for (const upper of [Offset.FEUADDR, Offset.IEUADDR]) {
      if (offset === upper) this.#upper.set(upper, value & 0xffff_ffffn);
      if (offset === upper - 4 && size === 8) this.#upper.set(upper, value >> 32n);
    }
  }

  #noteCommand(command: bigint): void {
    this.#command = command;
    if ((command & SRTP) !== 0n) {
      const root = readRegister(this.unit, Offset.RTADDR, 8);
      this.#scalable = ((root >> 10n) & 3n) === SCALABLE;
    }
    const queueOn = (readRegister(this.unit, Offset.GSTS, 4) & GSTS_QIES) !== 0n;
    if (queueOn && !this.#queueOn) {
      this.#queueAddress = readRegister(this.unit, Offset.IQA, 8) & PAGE_ADDRESS;
    }
    this.#queueOn = queueOn;
  }
}
