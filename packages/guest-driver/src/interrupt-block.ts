import {
  DeliveryMode,
  encode,
  IOAPIC_RTE_REMAPPABLE,
  IRTE_REMAPPED,
  IRTE_REMAPPED_XAPIC,
  REMAPPABLE_REQUEST_SHV,
  SourceValidation,
} from "@viommu/vtd-spec";
import { badInterrupt, badState } from "./errors.ts";
import { powerOfTwoFrom } from "./free-ranges.ts";
import { destinationOf } from "./interrupt-destination.ts";
import type { ApicAddressing, InterruptTarget } from "./interrupt-destination.ts";
import type { InterruptTable } from "./interrupt-table.ts";
import type { UnitDriver } from "./unit-driver.ts";
import { WordEncoder } from "./word-encoder.ts";

/** Who may use the entries: the requester that the unit verifies (VT-d 5.1.3). */
export interface InterruptSource {
  readonly sourceId: number;
  /** SQ: 0 all bits of the source-id count, 3 all but the function number. */
  readonly qualifier: 0 | 3;
}

/** A message that a device writes: `data` to `address`. */
export interface MsiMessage {
  readonly address: number;
  readonly data: number;
}

/** How a pin of an I/O APIC is wired and programmed. */
export interface PinSettings {
  readonly trigger: "edge" | "level";
  readonly polarity: "high" | "low";
  readonly masked: boolean;
}

/** A redirection table entry of an I/O APIC, as its two registers hold it. */
export interface RedirectionEntry {
  readonly low: number;
  readonly high: number;
}

const ENTRY = new WordEncoder(IRTE_REMAPPED);
const ENTRY_XAPIC = new WordEncoder(IRTE_REMAPPED_XAPIC);

/** FEEh: address bits 31:20 of every interrupt request. */
const FEE = 0xfee;

/** Entries of the remapping table, for the interrupts of one device or of one I/O APIC pin. */
export class InterruptBlock {
  /** Index of the first entry. */
  readonly index: number;
  readonly count: number;
  readonly #unit: UnitDriver;
  readonly #table: InterruptTable;
  readonly #source: InterruptSource;
  readonly #addressing: ApicAddressing;
  #released = false;

  /** Called by the driver. */
  constructor(
    unit: UnitDriver,
    table: InterruptTable,
    source: InterruptSource,
    count: number,
    addressing: ApicAddressing,
  ) {
    const mask = Math.log2(powerOfTwoFrom(count));
    if (!Number.isInteger(count) || count < 1 || mask > unit.capabilities.MHMV) {
      throw badInterrupt(
        `${unit.name} cannot invalidate ${count} interrupt entries at once (ECAP.MHMV)`,
        `ask for 1 to ${2 ** unit.capabilities.MHMV}`,
      );
    }
    this.#unit = unit;
    this.#table = table;
    this.#source = source;
    this.#addressing = addressing;
    this.count = count;
    this.index = table.allocate(count);
  }

  /**
   * Sends an interrupt of the block to an APIC: the first time, and whenever its affinity changes. On
   * return the unit uses the new entry.
   */
  route(interrupt: number, target: InterruptTarget): void {
    this.#check(interrupt);
    const { apicMode } = this.#addressing;
    const format = apicMode === "x2apic" ? ENTRY : ENTRY_XAPIC;
    const entry = format.encode({
      P: 1,
      ...destinationOf(this.#addressing, target),
      // the trigger mode stays edge, for level interrupts too: the EOI goes to the I/O APIC directly
      TM: 0,
      RH: 1,
      DLM: target.deliveryMode ?? DeliveryMode.FIXED,
      V: target.vector,
      SVT: SourceValidation.SOURCE_ID,
      SQ: this.#source.qualifier,
      SID: this.#source.sourceId,
    });
    this.#table.write(this.index + interrupt, entry);
    this.#invalidate(this.index + interrupt, 0);
  }

  /** What the device writes for an interrupt of the block (VT-d 5.1.2.2): handle and subhandle. */
  message(interrupt = 0): MsiMessage {
    this.#check(interrupt);
    const [address, data] = encode(REMAPPABLE_REQUEST_SHV, {
      FEE,
      IF: 1,
      SHV: 1,
      HANDLE: this.index & 0x7fff,
      HANDLE_15: this.index >> 15,
      SUBHANDLE: interrupt,
    });
    return { address: address! >>> 0, data: data! };
  }

  /**
   * What the I/O APIC needs to have for a pin (VT-d 5.1.5.1). The vector of the entry is the pin
   * number, as Linux has it: the one that is delivered comes from the remapping table.
   */
  redirectionEntry(pin: number, settings: PinSettings): RedirectionEntry {
    this.#check(0);
    const [low, high] = encode(IOAPIC_RTE_REMAPPABLE, {
      INDEX: this.index & 0x7fff,
      INDEX_15: this.index >> 15,
      IF: 1,
      MASK: settings.masked ? 1 : 0,
      TM: settings.trigger === "level" ? 1 : 0,
      POLARITY: settings.polarity === "low" ? 1 : 0,
      V: pin,
    });
    return { low: low! >>> 0, high: high! >>> 0 };
  }

  /** Gives the entries back: the unit blocks what still comes for them. */
  release(): void {
    this.#check(0);
    for (let i = 0; i < this.count; i += 1) this.#table.clear(this.index + i);
    this.#invalidate(this.index, Math.log2(powerOfTwoFrom(this.count)));
    this.#table.release(this.index, this.count);
    this.#released = true;
  }

  #invalidate(index: number, order: number): void {
    this.#unit.invalidate([{ cache: "interrupt-entry", granularity: "index", index, order }]);
  }

  #check(interrupt: number): void {
    if (this.#released) throw badState("these interrupts were released", "ask for new ones");
    if (!Number.isInteger(interrupt) || interrupt < 0 || interrupt >= this.count) {
      throw badInterrupt(
        `interrupt ${interrupt} is not one of this block`,
        `give 0 to ${this.count - 1}`,
      );
    }
  }
}
