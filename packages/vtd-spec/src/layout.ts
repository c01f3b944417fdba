import type { CAP, ECAP } from "./registers-capability.ts";

/** Fields with a meaning, i.e. neither reserved nor ignored. */
type MeaningfulField<F> = F extends { readonly kind: string }
  ? never
  : F extends { readonly name: infer N }
    ? N
    : never;

/** Name of a capability: a field of CAP or ECAP. */
export type CapabilityName = MeaningfulField<
  (typeof CAP)["fields"][number] | (typeof ECAP)["fields"][number]
>;

/** Raw values of all capability fields, as the registers hold them (MGAW is the width minus 1). */
export type Capabilities = Readonly<Record<CapabilityName, number>>;

/** A run of bits in a structure. */
export interface Field {
  /** The specification's name; `RSVD_<high>_<low>` and `IGN_<high>_<low>` where it has none. */
  readonly name: string;
  /** Highest bit, inclusive, counted through the whole structure. */
  readonly high: number;
  /** Lowest bit, inclusive. */
  readonly low: number;
  /** "reserved": must be 0. "ignored": hardware does not look at it. Absent: it has a meaning. */
  readonly kind?: "reserved" | "ignored";
  /** The field is reserved (RsvdZ) unless all these capabilities are non-zero. */
  readonly requires?: CapabilityName | readonly CapabilityName[];
  /** With `requires`: the bit of the capability's value that counts, where it has several. */
  readonly requiresBit?: number;
  /**
   * The field holds address bits from this bit up; its value in the codec is a byte address.
   * Bits at and above the host address width are reserved.
   */
  readonly address?: number;
  /** The field holds a domain-id; bits at and above the domain-id width are reserved. */
  readonly domainId?: true;
  /** What it means; always there for a field with a meaning. */
  readonly doc?: string;
}

/** One structure in memory, or one register. `fields` cover every bit exactly once. */
export interface Layout {
  readonly name: string;
  /** Chapter of VT-d 5.10. */
  readonly chapter: string;
  /** Size in bits, a multiple of 32. */
  readonly bits: number;
  /** From the highest bit down. */
  readonly fields: readonly Field[];
}

/** Names of the fields of a layout. */
export type FieldName<L extends Layout> = L["fields"][number]["name"];
