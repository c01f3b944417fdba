import { Access } from "@viommu/plugin";
import {
  FaultReason,
  FS_PAGE_1G,
  FS_PAGE_2M,
  FS_PAGE_4K,
  FS_TABLE,
  FS_UPPER,
} from "@viommu/vtd-spec";
import type { ExplainedTables } from "./explain-tables.ts";
import { faulted } from "./explanation.ts";
import type { Outcome } from "./explanation.ts";
import { hex } from "./text.ts";

/** A first-stage address space. */
export interface FirstStage {
  readonly root: bigint;
  readonly levels: number;
  /** The request asks for, and may have, supervisor privilege. */
  readonly supervisor: boolean;
  /** Supervisor writes respect R/W. */
  readonly writeProtect: boolean;
  /** Walks of this space snoop, so that flags can be set (ECAP.SMPWCS and PWSNP). */
  readonly snoops: boolean;
  /** Nested: finds the host address of a table entry; absent where tables hold host addresses. */
  readonly resolve?: (this: void, address: bigint, top: boolean) => Outcome;
}

/** Walks first-stage tables for an address and the rights a request needs (VT-d 3.6). */
export function walkFirstStage(
  tables: ExplainedTables,
  stage: FirstStage,
  address: bigint,
  access: number,
): Outcome {
  const width = BigInt(12 + 9 * stage.levels);
  const upper = address >> (width - 1n);
  if (upper !== 0n && upper !== (1n << (65n - width)) - 1n) {
    return faulted(
      FaultReason.FS_NOT_CANONICAL,
      `${hex(address)} is not canonical (${width} bits)`,
    );
  }
  const write = (access & Access.WRITE) !== 0;
  let table = stage.root;
  for (let level = stage.levels; ; level -= 1) {
    const top = level === stage.levels;
    const shift = BigInt(3 + 9 * level);
    const place = table + 8n * ((address >> shift) & 511n);
    const resolved = stage.resolve?.(place, top);
    if (resolved?.fault !== undefined) return resolved;
    const at = resolved?.address ?? place;
    const name = `first-stage entry, level ${level}`;
    const leaf = level === 1 || (level < 4 && ((tables.word(at) ?? 0n) & 0x80n) !== 0n);
    const entry = tables.read(layoutOf(level, leaf), name, at);
    if (entry === undefined) {
      const reason = top ? FaultReason.FS_ROOT_ACCESS : FaultReason.FS_ENTRY_ACCESS;
      return faulted(reason, `the ${name} at ${hex(at)} is in no memory`);
    }
    const { P, RW, US, A, ADDR } = entry.fields;
    if (P === 0n) return faulted(FaultReason.FS_NOT_PRESENT, `the ${name} is not present`);
    if (entry.reserved) {
      return faulted(FaultReason.FS_RESERVED, `a reserved bit is set in the ${name}`);
    }
    if (US === 0n && !stage.supervisor) {
      return faulted(FaultReason.FS_USER_DENIED, `the ${name} is for supervisor requests`);
    }
    if (write && RW === 0n && (!stage.supervisor || stage.writeProtect)) {
      return faulted(FaultReason.SM_WRITE_DENIED, `the ${name} denies writes`);
    }
    const dirty = leaf && write && "D" in entry.fields && entry.fields.D === 0n;
    if ((A === 0n || dirty) && !stage.snoops) {
      return faulted(FaultReason.FS_FLAGS_NOT_SNOOPED, `a flag of the ${name} is to be set`);
    }
    if (!leaf) {
      tables.note(`next table at ${hex(ADDR)}`);
      table = ADDR;
      continue;
    }
    const output = ADDR | (address & ((1n << shift) - 1n));
    tables.note(`maps a page of ${hex(1n << shift)} bytes at ${hex(ADDR)}`);
    return {
      address: output,
      pageShift: Number(shift),
      because: `first-stage tables map ${hex(address)} to ${hex(output)}`,
    };
  }
}

function layoutOf(level: number, leaf: boolean): typeof FS_PAGE_4K {
  const layouts = leaf ? [FS_PAGE_4K, FS_PAGE_2M, FS_PAGE_1G] : [FS_TABLE, FS_TABLE, FS_TABLE];
  return (layouts[level - 1] ?? FS_UPPER) as typeof FS_PAGE_4K;
}
