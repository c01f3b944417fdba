import { Access } from "@viommu/plugin";

/** How the entries of a stage are made of an address and flags. Flags are the low word. */
export interface PagingEntries {
  /** An entry is present when it has one of these. */
  readonly present: number;
  /** Flags of an entry that leads to a table. */
  readonly table: number;
  /** Flags of an entry that maps a page, with these bits of `Access`. */
  leaf(access: number): number;
  /** The other way round: what an entry that maps a page permits. */
  access(flags: number): number;
}

// Second stage (VT-d 9.8)
const SS_READ = 1 << 0;
const SS_WRITE = 1 << 1;

// First stage (VT-d 9.7)
const P = 1 << 0;
const RW = 1 << 1;
const US = 1 << 2;
const A = 1 << 5;
const D = 1 << 6;

/** Read and write are permissions of their own. */
const SECOND_STAGE: PagingEntries = {
  present: SS_READ | SS_WRITE,
  table: SS_READ | SS_WRITE,
  leaf: (access) =>
    ((access & Access.READ) !== 0 ? SS_READ : 0) | ((access & Access.WRITE) !== 0 ? SS_WRITE : 0),
  access: (flags) =>
    ((flags & SS_READ) !== 0 ? Access.READ : 0) | ((flags & SS_WRITE) !== 0 ? Access.WRITE : 0),
};

/**
 * What is present can be read. Accessed and dirty are set from the start, as Linux does it: a unit
 * never has to write them, and needs no walks that snoop.
 */
const FIRST_STAGE: PagingEntries = {
  present: P,
  table: P | RW | US | A,
  leaf: (access) => P | US | A | ((access & Access.WRITE) !== 0 ? RW | D : 0),
  access: (flags) => Access.READ | ((flags & RW) !== 0 ? Access.WRITE : 0),
};

/** The entries of each stage. */
export const PAGING_ENTRIES = { first: FIRST_STAGE, second: SECOND_STAGE } as const;
