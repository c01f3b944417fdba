import { accessMask, MOVABLE_REGISTERS, Offset, REGISTERS, reservedMask } from "@viommu/vtd-spec";
import type { RegisterLayout } from "@viommu/vtd-spec";
import { decodeMtrrCap } from "./mtrr-capability.ts";
import type { Profile } from "./profile.ts";

/** What software may do with each word of the register block; all arrays are indexed by word. */
export interface RegisterMap {
  /** Bytes, a multiple of 4 KiB. */
  readonly size: number;
  /** Bits that a read shows. */
  readonly readable: Int32Array;
  /** Bits that a write stores. */
  readonly writable: Int32Array;
  /** Bits that writing 1 clears. */
  readonly clearable: Int32Array;
  /** Values after reset. */
  readonly reset: Int32Array;
}

/** Byte offset of IVA; IOTLB is 8 after it (VT-d 11.4.3, IRO). */
export function ivaOffset(profile: Profile): number {
  return profile.capabilities.IRO * 16;
}

/** Byte offset of the first fault recording register (VT-d 11.4.2, FRO). */
export function faultRecordOffset(profile: Profile): number {
  return profile.capabilities.FRO * 16;
}

/** Number of fault recording registers, 1 to 256 (VT-d 11.4.2, NFR). */
export function faultRecordCount(profile: Profile): number {
  return profile.capabilities.NFR + 1;
}

/** Bytes of the register block: one page, or more where IRO or FRO lie beyond the first. */
function registerBlockSize(profile: Profile): number {
  const end = Math.max(
    ivaOffset(profile) + 16,
    faultRecordOffset(profile) + 16 * faultRecordCount(profile),
  );
  return Math.max(1, Math.ceil(end / 4096)) * 4096;
}

/** A register of this unit, at its place. */
export interface PlacedRegister {
  readonly register: RegisterLayout;
  /** Byte offset from the register base. */
  readonly offset: number;
}

/** All registers that a unit with these capabilities has, arrays element by element. */
export function placedRegisters(profile: Profile): PlacedRegister[] {
  const bases: Partial<Record<string, number>> = {
    IRO: ivaOffset(profile),
    FRO: faultRecordOffset(profile),
  };
  return [...REGISTERS, ...MOVABLE_REGISTERS].flatMap((register) => {
    const base = register.base === undefined ? 0 : bases[register.base];
    if (base === undefined || !isPresent(register, profile)) return [];
    return elementsOf(register, base, countOf(register, profile));
  });
}

/** A register and the others of its array. */
export function elementsOf(
  register: RegisterLayout,
  base: number,
  count: number,
): PlacedRegister[] {
  return Array.from({ length: count }, (_, i) => ({
    register,
    offset: base + register.offset + i * (register.stride ?? 0),
  }));
}

/** How many registers of an array a unit has. */
function countOf(register: RegisterLayout, profile: Profile): number {
  const most = register.count ?? 1;
  switch (register.name) {
    case "MTRR_FIX":
      return decodeMtrrCap(profile.mtrrCap).FIX === 0 ? 0 : most;
    case "MTRR_PHYSBASE":
    case "MTRR_PHYSMASK":
      return decodeMtrrCap(profile.mtrrCap).VCNT;
    default:
      return register.base === "FRO" ? faultRecordCount(profile) : most;
  }
}

function isPresent(register: RegisterLayout, profile: Profile): boolean {
  return register.requires === undefined || profile.capabilities[register.requires] !== 0;
}

/** The one place that decides the access to every register (VT-d 11.3, 11.4). */
export function createRegisterMap(profile: Profile): RegisterMap {
  const size = registerBlockSize(profile);
  const words = size / 4;
  const map: RegisterMap = {
    size,
    readable: new Int32Array(words),
    writable: new Int32Array(words),
    clearable: new Int32Array(words),
    reset: new Int32Array(words),
  };
  for (const { register, offset } of placedRegisters(profile)) {
    const first = offset / 4;
    const reserved = reservedMask(register, profile.capabilities, profile.hostAddressWidth);
    const isReadOnly = isReadOnlyHere(register, profile);
    for (const access of ["ro", "rw", "start", "rw1c", "wo", "one-shot"] as const) {
      accessMask(register, access).forEach((mask, i) => {
        const bits = mask & ~reserved[i]!;
        if (access !== "wo" && access !== "one-shot") map.readable[first + i]! |= bits;
        if (access === "rw1c") map.clearable[first + i]! |= bits;
        else if (access !== "ro" && !isReadOnly) map.writable[first + i]! |= bits;
      });
    }
    if (typeof register.reset === "number") map.reset[first] = register.reset;
  }
  map.reset[Offset.VER / 4] = profile.version;
  setQword(map.reset, Offset.CAP, profile.cap);
  setQword(map.reset, Offset.ECAP, profile.ecap);
  // without MTS other registers may lie there
  if (profile.capabilities.MTS !== 0) setQword(map.reset, Offset.MTRRCAP, profile.mtrrCap);
  return map;
}

/**
 * Two cases that the specification leaves to the implementation or states outside the tables: the
 * upper message addresses are implemented with EIM only, and PMEN needs one of two capabilities.
 */
function isReadOnlyHere(register: RegisterLayout, profile: Profile): boolean {
  const { EIM, PLMR, PHMR } = profile.capabilities;
  switch (register.name) {
    case "FEUADDR":
    case "IEUADDR":
    case "PEUADDR":
      return EIM === 0;
    case "PMEN":
      return PLMR === 0 && PHMR === 0;
    default:
      return false;
  }
}

function setQword(words: Int32Array, offset: number, value: bigint): void {
  words[offset / 4] = Number(value & 0xffff_ffffn);
  words[offset / 4 + 1] = Number(value >> 32n);
}
