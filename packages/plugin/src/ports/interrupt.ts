/** Results of {@link InterruptRemapper.remap} that are no fault reason. */
export const InterruptResult = {
  /** The message fields hold what has to be delivered. */
  DELIVER: 0,
  /** Taken in full (posted, no notification due): nothing is to be delivered. */
  CONSUMED: -1,
} as const;

/** One interrupt request and its answer; owned and reused by the caller. */
export class InterruptRequest {
  /** Requester: bus (15:8), device (7:3), function (2:0). */
  sourceId = 0;
  /** Bits 31:0 of the address written: FEEx_xxxxh. */
  address = 0;
  /** Bits 63:32 of the address written; no interrupt unless 0. */
  upper = 0;
  /** The dword written. */
  data = 0;
  /**
   * Output: the message to deliver, in the form an MSI has. `messageAddress` 19:12 destination 7:0,
   * 3 redirection hint, 2 logical mode; `messageUpper` 31:8 destination 31:8; `messageData` 7:0
   * vector, 10:8 delivery mode, 14 level, 15 trigger mode.
   */
  messageAddress = 0;
  messageUpper = 0;
  messageData = 0;
  /** Output of a blocked request: true when FPD kept the fault out of the fault log. */
  suppressed = false;
}

/** Remaps interrupt requests of devices and I/O APICs. */
export interface InterruptRemapper {
  readonly segment: number;
  /** Answers one request: {@link InterruptResult}, or the fault reason, which has been reported. */
  remap(request: InterruptRequest): number;
  /** The same answer with no effect: nothing is recorded, posted or counted. */
  probe(request: InterruptRequest): number;
}

/** Where interrupt messages end: the local APICs of a machine, or whatever stands for them. */
export interface InterruptSink {
  /** Delivers a message in the form of {@link InterruptRequest}'s output; it is never remapped again. */
  deliver(upper: number, address: number, data: number): void;
}
