import { fieldMask } from "./codec.ts";
import type { CapabilityName, Field, Layout } from "./layout.ts";

/**
 * How software may access a field (VT-d 11.3). Reserved and ignored fields read as 0.
 * - "ro": writes do nothing
 * - "rw"
 * - "wo": what a read returns is undefined
 * - "rw1c": writing 1 clears, writing 0 does nothing
 * - "one-shot": as "wo"; writing 1 starts, writing 0 does nothing
 * - "start": as "rw"; writing 1 starts, hardware clears it when done
 * - "rwl": as "rw", but "ro" while the performance counter it belongs to is enabled
 */
export type Access = "ro" | "rw" | "wo" | "rw1c" | "one-shot" | "start" | "rwl";

/** A field of a register. */
export interface RegisterField extends Field {
  /** Absent: as the register's `access`. */
  readonly access?: Access;
}

/** What the offset of a movable register counts from; see `RegisterLayout.base`. */
export type RegisterBase =
  "IRO" | "FRO" | "PERFCFGOFF" | "PERFFRZOFF" | "PERFOVFOFF" | "PERFCNTROFF";

/** A register, or an array of registers of the same layout. */
export interface RegisterLayout extends Layout {
  /** Byte offset from `base`. */
  readonly offset: number;
  /**
   * Absent: the unit's register base. "IRO" is ECAP.IRO * 16, "FRO" is CAP.FRO * 16 from there,
   * the others are what the register of that name says.
   */
  readonly base?: RegisterBase;
  /** Largest number of registers in an array; absent: one, or up to the unit if it has a base. */
  readonly count?: number;
  /** Distance in bytes between the registers of an array. */
  readonly stride?: number;
  /** Access of the fields that don't say otherwise. */
  readonly access: Access;
  /** Value after reset; absent: 0. */
  readonly reset?: number | "implementation";
  /** Only a power-good reset sets it to its reset value. */
  readonly sticky?: true;
  /** The whole register is reserved (RsvdZ) unless this capability is non-zero. */
  readonly requires?: CapabilityName;
  readonly fields: readonly RegisterField[];
}

/** The bits of a register with this access, as words; reserved and ignored fields have none. */
export function accessMask(register: RegisterLayout, access: Access): Int32Array {
  return fieldMask(register, (field: RegisterField) =>
    field.kind === undefined && (field.access ?? register.access) === access ? 0 : Infinity,
  );
}
