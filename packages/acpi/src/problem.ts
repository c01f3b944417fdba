/** Something wrong or unusual in a table: where, in which structure, and what. */
export interface Problem {
  /** Bytes from the start of the table; findTables gives addresses in memory. */
  readonly offset: number;
  /** Name of the structure: "DRHD", "IOAPIC" (a device scope), "LOCAL_X2APIC", or of the table. */
  readonly structure: string;
  readonly text: string;
}

/** What a parser made of the bytes: all that could be read, and all that is wrong with it. */
export interface Parsed<T> {
  readonly table: T;
  /** By offset; empty for a table without fault. */
  readonly problems: readonly Problem[];
}

/** Where in a table a described object lies. */
export interface Place {
  readonly offset: number;
  readonly structure: string;
}

/**
 * How rules tell what they found. The parser notes it down, the builder throws.
 * `about` is the object of the description that breaks the rule.
 */
export type Report = (about: object, text: string, remedy: string) => void;
