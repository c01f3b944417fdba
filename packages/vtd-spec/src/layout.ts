import type { CAP, ECAP } from "./registers-capability.ts";

/** Names of the fields which are neither reserved nor ignored. */
type NameWithMeaning<F> = F extends { readonly kind: string }
  ? never
  : F extends { readonly name: infer Name }
    ? Name
    : never;

/** Name of a capability: a field of CAP or ECAP. */
export type CapabilityName = NameWithMeaning<
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
  /** The field is reserved unless all these capabilities are non-zero. */
  readonly requires?: CapabilityName | readonly CapabilityName[];
  /** With `requires`: the bit of the capability's value that counts, where it has several. */
  readonly requiresBit?: number;
  /**
   * The field holds address bits; its value in the codec is a byte address. "host": bits at and
   * above the host address width (HAW) are reserved. "input": any bit may be set.
   */
  readonly address?: "host" | "input";
  /** With `address`: the address bit in the field's lowest bit; absent: `low` modulo 64. */
  readonly addressLow?: number;
  /** The field holds a domain-id; bits at and above the domain-id width are reserved. */
  readonly domainId?: true;
  /** What it means; always there for a field with a meaning. */
  readonly doc?: string;
}

/** One structure in memory, or one register. */
export interface Layout {
  readonly name: string;
  /** Chapter of VT-d 5.10. */
  readonly chapter: string;
  /** Size in bits, a multiple of 32. */
  readonly bits: number;
  /** From the highest bit down, without gaps. */
  readonly fields: readonly Field[];
}

/** Names of the fields of a layout. */
export type FieldName<L extends Layout> = L["fields"][number]["name"];
