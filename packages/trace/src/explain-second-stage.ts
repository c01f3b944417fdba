import { Access } from "@viommu/plugin";
import {
  FaultReason,
  SS_PAGE_1G,
  SS_PAGE_2M,
  SS_PAGE_4K,
  SS_TABLE,
  SS_UPPER,
} from "@viommu/vtd-spec";
import { rightsNeeded } from "./explain-requests.ts";
import type { ExplainedTables } from "./explain-tables.ts";
import { faulted } from "./explanation.ts";
import type { Outcome } from "./explanation.ts";
import { accessName, hex, rightsName } from "./text.ts";

/** Fault reasons of a second-stage walk: those of legacy or of scalable mode (VT-d 7.1.3). */
export interface SecondStageReasons {
  readonly beyondWidth: number;
  readonly topAccess: number;
  readonly entryAccess: number;
  /** No permission at all; undefined where that has no reason of its own. */
  readonly noPermission: number | undefined;
  readonly reserved: number;
  readonly writeDenied: number;
  readonly readDenied: number;
}

/** Legacy mode. */
export const LEGACY_REASONS: SecondStageReasons = {
  beyondWidth: FaultReason.ADDRESS_BEYOND_WIDTH,
  topAccess: FaultReason.CONTEXT_INVALID,
  entryAccess: FaultReason.SS_ENTRY_ACCESS,
  noPermission: undefined,
  reserved: FaultReason.SS_RESERVED,
  writeDenied: FaultReason.WRITE_DENIED,
  readDenied: FaultReason.READ_DENIED,
};

/** Scalable mode. */
export const SCALABLE_REASONS: SecondStageReasons = {
  beyondWidth: FaultReason.SM_SS_WIDTH,
  topAccess: FaultReason.SM_SS_ROOT_ACCESS,
  entryAccess: FaultReason.SM_SS_ENTRY_ACCESS,
  noPermission: FaultReason.SM_SS_NO_PERMISSION,
  reserved: FaultReason.SM_SS_RESERVED,
  writeDenied: FaultReason.SM_WRITE_DENIED,
  readDenied: FaultReason.SM_READ_DENIED,
};

/** A second-stage address space. */
export interface SecondStage {
  readonly root: bigint;
  /** Field AW: 1 is 39 bits, each further one 9 bits more. */
  readonly addressWidth: number;
  /** Permissions are IR and IW (RTADDR.SSIRWE). */
  readonly ioPermissions: boolean;
  /** A and D flags are set (SSADE). */
  readonly setsFlags: boolean;
  /** Walks of this space snoop, so that flags can be set (ECAP.SMPWCS and PWSNP). */
  readonly snoops: boolean;
  readonly reasons: SecondStageReasons;
}

const IW = 1n << 62n;

/** Walks second-stage tables for an address and the rights a request needs (VT-d 3.7). */
export function walkSecondStage(
  tables: ExplainedTables,
  stage: SecondStage,
  address: bigint,
  access: number,
): Outcome {
  const { reasons } = stage;
  const { MGAW } = tables.capabilities;
  const width = Math.min(MGAW + 1, 30 + 9 * stage.addressWidth);
  if (address >> BigInt(width) !== 0n) {
    return faulted(reasons.beyondWidth, `${hex(address)} needs more than ${width} bits`);
  }
  const levels = 2 + stage.addressWidth;
  const [canRead, canWrite]: [bigint, bigint] = stage.ioPermissions ? [61n, 62n] : [0n, 1n];
  const reservedToo = stage.ioPermissions ? 0n : IW;
  const asked = access & Access.ATOMIC;
  const needed = rightsNeeded(tables, access);
  let granted: number = Access.ATOMIC;
  let table = stage.root;
  for (let level = levels; ; level -= 1) {
    const shift = BigInt(3 + 9 * level);
    const at = table + 8n * ((address >> shift) & 511n);
    const name = `second-stage entry, level ${level}`;
    const leaf = level === 1 || (level < 4 && ((tables.word(at) ?? 0n) & 0x80n) !== 0n);
    const entry = tables.read(layoutOf(level, leaf), name, at, { also: reservedToo });
    if (entry === undefined) {
      const reason = level === levels ? reasons.topAccess : reasons.entryAccess;
      return faulted(reason, `the ${name} at ${hex(at)} is in no memory`);
    }
    const raw = tables.word(at)!;
    const bit = (position: bigint): number => Number((raw >> position) & 1n);
    granted &= bit(canRead) | (bit(canWrite) << 1);
    tables.note(`leaves the right to ${rightsName(granted)}`);
    const missing = needed & ~granted;
    if (granted === 0 && reasons.noPermission !== undefined) {
      return faulted(reasons.noPermission, `level ${level} leaves no permission`);
    }
    if (missing !== 0 || granted === 0) {
      const write = (missing & Access.WRITE) !== 0;
      const reason = write ? reasons.writeDenied : reasons.readDenied;
      return faulted(reason, `level ${level} denies a ${accessName(access)}`);
    }
    if (entry.reserved) return faulted(reasons.reserved, `a reserved bit is set at level ${level}`);
    const { A, ADDR: target } = entry.fields;
    const dirty = leaf && (asked & Access.WRITE) !== 0 && entry.fields.D === 0n;
    if (stage.setsFlags && !stage.snoops && (A === 0n || dirty)) {
      return faulted(FaultReason.SM_SS_FLAGS_NOT_SNOOPED, `a flag of the ${name} is to be set`);
    }
    if (!leaf) {
      tables.note(`next table at ${hex(target)}`);
      table = target;
      continue;
    }
    const output = target | (address & ((1n << shift) - 1n));
    tables.note(`maps a page of ${hex(1n << shift)} bytes at ${hex(target)}`);
    return {
      address: output,
      pageShift: Number(shift),
      because: `second-stage tables map ${hex(address)} to ${hex(output)}`,
    };
  }
}

function layoutOf(level: number, leaf: boolean): typeof SS_PAGE_4K {
  const layouts = leaf ? [SS_PAGE_4K, SS_PAGE_2M, SS_PAGE_1G] : [SS_TABLE, SS_TABLE, SS_TABLE];
  return (layouts[level - 1] ?? SS_UPPER) as typeof SS_PAGE_4K;
}
