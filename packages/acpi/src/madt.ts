import type { Unknown } from "./records.ts";
import type { TableHeader } from "./table.ts";

/** A MADT: processors, I/O APICs and how interrupts are wired (ACPI 5.2.12). */
export interface Madt {
  /** Built with a header of viommu's own when absent. */
  readonly header?: TableHeader;
  /** Where each processor sees its local APIC: a 32-bit address. */
  readonly localApicAddress: number;
  /** PCAT_COMPAT: a pair of 8259s is there too. */
  readonly flags: readonly "PCAT_COMPAT"[];
  readonly entries: readonly MadtEntry[];
}

/** One interrupt controller structure. */
export type MadtEntry =
  | LocalApic
  | IoApic
  | InterruptSourceOverride
  | NmiSource
  | LocalApicNmi
  | LocalApicAddressOverride
  | LocalX2Apic
  | LocalX2ApicNmi
  | Unknown;

/**
 * State of a processor: ENABLED now, or ONLINE_CAPABLE later (since revision 5). With neither, it
 * can't be used.
 */
export type ProcessorFlag = "ENABLED" | "ONLINE_CAPABLE";

/** A processor with an 8-bit APIC id (ACPI 5.2.12.2). */
export interface LocalApic {
  readonly type: "LOCAL_APIC";
  /** The `_UID` of the processor's device. */
  readonly uid: number;
  /** 0–254; 255 means all. */
  readonly apicId: number;
  readonly flags: readonly ProcessorFlag[];
}

/** An I/O APIC (ACPI 5.2.12.3). */
export interface IoApic {
  readonly type: "IO_APIC";
  readonly ioApicId: number;
  /** Where its register window is: a 32-bit address. */
  readonly address: number;
  /** The global system interrupt of its pin 0. */
  readonly interruptBase: number;
}

/** Electrical form of an interrupt input; CONFORMS: as its bus has it (ACPI 5.2.12.5). */
export interface Signal {
  readonly polarity: "CONFORMS" | "ACTIVE_HIGH" | "ACTIVE_LOW";
  readonly trigger: "CONFORMS" | "EDGE" | "LEVEL";
}

/** An ISA interrupt that is not wired one to one (ACPI 5.2.12.5). */
export interface InterruptSourceOverride {
  readonly type: "INTERRUPT_SOURCE_OVERRIDE";
  /** 0: ISA. */
  readonly bus: number;
  /** The ISA interrupt. */
  readonly source: number;
  /** The global system interrupt it arrives at. */
  readonly interrupt: number;
  readonly signal: Signal;
}

/** An I/O APIC input that should be an NMI (ACPI 5.2.12.6). */
export interface NmiSource {
  readonly type: "NMI_SOURCE";
  readonly signal: Signal;
  readonly interrupt: number;
}

/** A local APIC input that NMI is wired to (ACPI 5.2.12.7). */
export interface LocalApicNmi {
  readonly type: "LOCAL_APIC_NMI";
  /** Of the processor; 255: all. */
  readonly uid: number;
  readonly signal: Signal;
  /** LINT0 or LINT1. */
  readonly lint: number;
}

/** The 64-bit address of the local APICs (ACPI 5.2.12.8). */
export interface LocalApicAddressOverride {
  readonly type: "LOCAL_APIC_ADDRESS_OVERRIDE";
  readonly address: number;
}

/** A processor with a 32-bit APIC id (ACPI 5.2.12.12). */
export interface LocalX2Apic {
  readonly type: "LOCAL_X2APIC";
  readonly apicId: number;
  readonly flags: readonly ProcessorFlag[];
  readonly uid: number;
}

/** A local APIC input that NMI is wired to, in x2APIC mode (ACPI 5.2.12.13). */
export interface LocalX2ApicNmi {
  readonly type: "LOCAL_X2APIC_NMI";
  readonly signal: Signal;
  /** Of the processor; FFFF_FFFFh: all. */
  readonly uid: number;
  readonly lint: number;
}

/**
 * The entry for a processor: LOCAL_APIC as long as its numbers fit (what every guest understands),
 * LOCAL_X2APIC from 255 up.
 */
export function processorEntry(
  uid: number,
  apicId: number,
  flags: readonly ProcessorFlag[] = ["ENABLED"],
): LocalApic | LocalX2Apic {
  const type = uid < 255 && apicId < 255 ? "LOCAL_APIC" : "LOCAL_X2APIC";
  return { type, uid, apicId, flags };
}
