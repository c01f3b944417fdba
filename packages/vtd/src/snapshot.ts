import { decodeRecord, encodeRecord, ViommuError } from "@viommu/plugin";
import type { SnapshotHeader } from "@viommu/plugin";
import type { Profile } from "./profile.ts";
import { shapeDifferences, shapeOf } from "./unit-shape.ts";

/** Version of the record; a change of the layout below makes a new one. */
const VERSION = 1;

/**
 * The state of a unit. Caches are not part of it, nor are accesses in flight: what waits for them
 * waits for those of the machine that it is restored into.
 */
export interface UnitState {
  /** All words of the register block. */
  readonly registers: Int32Array;
  /** GSTS as it will be when everything in flight has drained. */
  readonly status: number;
  /** The record that the next fault goes to. */
  readonly faultIndex: number;
  /** RTADDR and IRTA as latched, four words. */
  readonly pointers: Int32Array;
  /** Whether a wait descriptor is waiting, and its four words. */
  readonly wait: Int32Array;
  /** Pairs of source-id and number of device-TLB invalidations without a completion. */
  readonly deviceTlb: Int32Array;
}

const POINTERS = 2;
const WAIT = POINTERS + 4;
const FIXED = WAIT + 5;

function header(id: string, profile: Profile): SnapshotHeader {
  return {
    id,
    version: VERSION,
    shape: shapeOf(profile),
    differences: (saved) => shapeDifferences(saved, profile),
  };
}

/** The record of a unit with this id and profile. */
export function encodeState(id: string, profile: Profile, state: UnitState): Uint8Array {
  const payload = Int32Array.of(
    state.status,
    state.faultIndex,
    ...state.pointers,
    ...state.wait,
    ...state.registers,
    ...state.deviceTlb,
  );
  return encodeRecord(header(id, profile), payload);
}

/** Throws ERR_VIOMMU_SNAPSHOT on a record that does not fit. `words` is the size of the registers. */
export function decodeState(
  id: string,
  profile: Profile,
  words: number,
  record: Uint8Array,
): UnitState {
  const payload = decodeRecord(header(id, profile), record);
  const rest = payload.length - FIXED - words;
  if (rest < 0 || rest % 2 !== 0) {
    throw new ViommuError(
      "ERR_VIOMMU_SNAPSHOT",
      `cannot restore "${id}": ${payload.length} words are no state of this unit`,
    );
  }
  return {
    status: payload[0]!,
    faultIndex: payload[1]!,
    pointers: payload.slice(POINTERS, WAIT),
    wait: payload.slice(WAIT, FIXED),
    registers: payload.slice(FIXED, FIXED + words),
    deviceTlb: payload.slice(FIXED + words),
  };
}
