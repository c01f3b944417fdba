import type { DmaAnswer, IrqAnswer } from "./answers.ts";
import type { DmaEvent, IrqEvent, Message, TraceEvent } from "./format.ts";
import type { ReplayContext } from "./replay-context.ts";

/** The reference's way to answer a request. */
export interface Substitute<A> {
  /** What is compared with the trace. */
  readonly answer: A;
  /** What the unit itself says, as its specification wants it. */
  readonly own: A;
}

/** A byte of a table entry in which the unit and the reference have set different flags. */
interface FlagByte {
  readonly address: bigint;
  /** The byte before the event, after it in the trace, and after it in the unit's memory. */
  readonly before: number;
  readonly expected: number;
  readonly actual: number;
}

/**
 * One named behaviour of the reference that differs from the specification, or is a free choice.
 * A deviation explains as little as it can: bits, one reason for another, or one request; whatever
 * else differs in the same event stays a difference.
 */
export interface Deviation {
  readonly name: string;
  /** What the specification says, with its chapter, and what the reference does. */
  readonly why: string;
  /** Whether the reference's fault reason stands for the unit's reason. */
  readonly reason?: (
    this: void,
    expected: number,
    actual: number,
    context: ReplayContext,
  ) => boolean;
  /** Bits of a fault record (127:0, F included or not) that may differ. */
  readonly recordBits?: (
    this: void,
    expected: bigint,
    actual: bigint,
    context: ReplayContext,
  ) => bigint;
  /** Bits that may differ in the 8 bytes of registers at `offset`. */
  readonly registerBits?: (
    this: void,
    offset: number,
    expected: bigint,
    actual: bigint,
    context: ReplayContext,
  ) => bigint;
  /** Bits of the address of the unit's own message that may differ. */
  readonly messageBits?: (
    this: void,
    expected: Message,
    actual: Message,
    context: ReplayContext,
  ) => bigint;
  /** Whether the reference leaves this byte otherwise than the unit does. */
  readonly flags?: (
    this: void,
    flag: FlagByte,
    event: TraceEvent,
    context: ReplayContext,
  ) => boolean;
  /** Answers a request in the reference's way, leaving the unit as the reference left its own. */
  readonly dma?: (
    this: void,
    event: DmaEvent,
    context: ReplayContext,
  ) => Substitute<DmaAnswer> | undefined;
  /** The same for an interrupt request. */
  readonly irq?: (
    this: void,
    event: IrqEvent,
    context: ReplayContext,
  ) => Substitute<IrqAnswer> | undefined;
}
