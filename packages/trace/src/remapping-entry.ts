import { Offset } from "@viommu/vtd-spec";
import { askIrq } from "./answers.ts";
import type { IrqAnswer } from "./answers.ts";
import type { IrqEvent } from "./format.ts";
import type { ReplayContext } from "./replay-context.ts";
import { readRegister } from "./replay-unit.ts";

// bytes of an entry in remapped format (VT-d 9.9)
export const DLM_SHIFT = 5;
export const IM = 0x80;
export const SVT_SHIFT = 2;
export const SVT: number = 3 << SVT_SHIFT;

/** The interrupt-remapping entry of a request, as the trace has told it. */
export class RemappingEntry {
  readonly bytes: Uint8Array;
  readonly #event: IrqEvent;
  readonly #context: ReplayContext;
  readonly #address: bigint;

  constructor(event: IrqEvent, context: ReplayContext) {
    const table = readRegister(context.unit, Offset.IRTA, 8) & ~0xfffn;
    this.#event = event;
    this.#context = context;
    this.#address = table + 16n * BigInt(remappingIndex(event.addr, event.data));
    this.bytes = context.memory.peek(this.#address, 16);
  }

  get deliveryMode(): number {
    return (this.bytes[0]! >> DLM_SHIFT) & 7;
  }

  get isPosted(): boolean {
    return (this.bytes[1]! & IM) !== 0;
  }

  /** SVT: what is verified of the requester. */
  get validation(): number {
    return (this.bytes[10]! & SVT) >> SVT_SHIFT;
  }

  /** A source-id that the entry accepts, if there is one (VT-d 9.9: SVT, SQ, SID). */
  get acceptedRequester(): number | undefined {
    const sourceId = this.bytes[8]! | (this.bytes[9]! << 8);
    if (this.validation === 1) return sourceId; // SQ leaves bits of a match out, never the match itself
    return this.validation === 2 ? sourceId & 0xff00 : undefined; // the first bus of the range
  }

  /** The unit's answer while the entry is another one. */
  answerWith(
    change: (bytes: Uint8Array) => void,
    requester: number = requesterOf(this.#event, this.#context),
  ): IrqAnswer {
    const { memory, unit } = this.#context;
    const bytes = this.bytes.slice();
    change(bytes);
    return memory.lend(this.#address, bytes, () => askIrq(unit, this.#event, requester, "remap"));
  }
}

/** The requester of an interrupt event: where the reference had none, the I/O APIC of the header. */
export function requesterOf(event: IrqEvent, context: ReplayContext): number {
  return event.sid ?? context.header.ioapic!.sid;
}

/** Index into the interrupt-remapping table of a remappable request (VT-d 5.1.3). */
export function remappingIndex(address: bigint, data: number): number {
  const handle = Number(((address >> 5n) & 0x7fffn) | (((address >> 2n) & 1n) << 15n));
  const subhandleValid = (address & 8n) !== 0n;
  return subhandleValid ? handle + (data & 0xffff) : handle;
}
