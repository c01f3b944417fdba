/** Work that a guest started and a bounded access left over (a long invalidation queue). */
export interface PendingWork {
  /** True while something can be done now. */
  readonly pending: boolean;
  /** Does at most `budget` units of work (queue descriptors); returns how many were done. */
  run(budget: number): number;
}

/** A part of a machine with state of its own. */
export interface Snapshottable {
  /** Names the record in a saved machine; unique in the machine. */
  readonly snapshotId: string;
  /** Back to power-on state. */
  reset(): void;
  /** The state as a versioned record; caches are not part of it. */
  save(): Uint8Array;
  /**
   * Throws ERR_VIOMMU_SNAPSHOT where {@link restore} would, and changes nothing: all records of a
   * machine are checked before the first one is taken back.
   */
  check(record: Uint8Array): void;
  /** Takes a record back. Throws ERR_VIOMMU_SNAPSHOT, with state unchanged, when it does not fit. */
  restore(record: Uint8Array): void;
}

/** An ACPI table that a part of the machine contributes (DMAR, MADT). */
export interface AcpiTableSource {
  /** Four characters. */
  readonly signature: string;
  /** The whole table with header and checksum. */
  build(): Uint8Array;
}
