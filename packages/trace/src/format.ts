/*
 * viommu-trace, version 1: a recorded run of a guest on a unit. The members have the names of the
 * file format; hexadecimal strings have become numbers, 64-bit values bigints.
 */

/** Guest memory that the reference read or wrote; `bytes` is null when that access failed. */
export interface MemoryBytes {
  readonly address: bigint;
  readonly bytes: Uint8Array | null;
}

/** A message interrupt that the unit itself sent. */
export interface Message {
  readonly address: bigint;
  readonly data: number;
}

/** A fault record as a guest reads it: bits 127:64 (with F) and 63:0 (VT-d 11.4.7.6). */
export interface RecordedFault {
  readonly index: number;
  readonly high: bigint;
  readonly low: bigint;
}

/** What every event may carry beside its own members. Lists are empty where the file has none. */
export interface EventBase {
  /** Line in the file; the header is line 1. */
  readonly line: number;
  readonly reads: readonly MemoryBytes[];
  readonly writes: readonly MemoryBytes[];
  readonly frcd: readonly RecordedFault[];
  readonly msi: readonly Message[];
}

/** The unit was reset. */
export interface ResetEvent extends EventBase {
  readonly kind: "reset";
}

/** A guest access to the register page. */
export interface MmioEvent extends EventBase {
  readonly kind: "mmio-read" | "mmio-write";
  readonly offset: number;
  readonly size: 4 | 8;
  readonly value: bigint;
}

/** A denied request. */
export interface DeniedResult {
  readonly ok: false;
  /** Fault reason; undefined where the reference gave none. */
  readonly fault: number | undefined;
  /** FPD kept the fault out of the log. */
  readonly disabled: boolean;
  /** Denied by a cached translation, without a report. */
  readonly cached: boolean;
}

/** An allowed DMA request. */
export interface DmaAllowed {
  readonly ok: true;
  /** Guest-physical address of exactly the `iova` of the request. */
  readonly gpa: bigint;
  /** Size minus 1 of the naturally aligned range for which the answer holds. */
  readonly mask: bigint;
  /** Bits of `Access`. */
  readonly perm: number;
}

/** A request of a device. */
export interface DmaEvent extends EventBase {
  readonly kind: "dma";
  readonly sid: number;
  /** 20 bits, or NO_PASID. */
  readonly pasid: number;
  readonly iova: bigint;
  /** Bits of `Access`. */
  readonly access: number;
  /** 1: the device presented a translated address. */
  readonly index: 0 | 1;
  readonly result: DmaAllowed | DeniedResult;
}

/** A delivered interrupt; `message` is null where nothing was left to deliver (posted). */
export interface IrqDelivered {
  readonly ok: true;
  readonly message: Message | null;
}

/** An interrupt request of a device or an I/O APIC. */
export interface IrqEvent extends EventBase {
  readonly kind: "irq";
  /** Null: the reference had none, which means an I/O APIC. */
  readonly sid: number | null;
  readonly addr: bigint;
  readonly data: number;
  readonly result: IrqDelivered | DeniedResult;
}

/** The whole register block, read by the recorder; groups of 8 bytes that are 0 are left out. */
export interface RegistersEvent extends EventBase {
  readonly kind: "registers";
  readonly values: ReadonlyMap<number, bigint>;
}

/** Guest memory made known outside any other event. */
export interface OtherEvent extends EventBase {
  readonly kind: "other";
}

/** One line after the header. */
export type TraceEvent = ResetEvent | MmioEvent | DmaEvent | IrqEvent | RegistersEvent | OtherEvent;

/** Line 1 of a trace. */
export interface TraceHeader {
  readonly name: string;
  /** Which guest ran; empty strings where the trace does not say. */
  readonly guest: {
    readonly os: string;
    readonly version: string;
    readonly vcpus: number;
    readonly cmdline: string;
  };
  readonly reference: { readonly name: string; readonly version: string };
  readonly unit: {
    readonly base: bigint;
    readonly cap: bigint;
    readonly ecap: bigint;
    readonly ver: number;
    /** Host address width in bits (option `aw-bits`), where given. */
    readonly addressWidth: number | undefined;
  };
  readonly devices: readonly { readonly sid: number; readonly name: string }[];
  /** Source-id of the I/O APIC in the DMAR table, where given. */
  readonly ioapic: { readonly id: number; readonly sid: number } | undefined;
  readonly workload: string;
}

/** A whole trace. */
export interface Trace {
  readonly header: TraceHeader;
  readonly events: readonly TraceEvent[];
}
