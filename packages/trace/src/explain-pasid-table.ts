import { FaultReason, PASID_DIR_ENTRY, PASID_ENTRY, PasidTranslationType } from "@viommu/vtd-spec";
import type { ExplainedTables, ReadEntry } from "./explain-tables.ts";
import { faulted } from "./explanation.ts";
import type { Outcome } from "./explanation.ts";
import { hex } from "./text.ts";

/**
 * AW. VT-d 9.6 reserves it without second stage (SSTS = 0), but guests set it there for first-stage
 * tables as well, and work on every unit known.
 */
const ADDRESS_WIDTH = 7n << 2n;

/** Types without second stage, for which AW is not looked at. */
const WITHOUT_SECOND_STAGE: readonly number[] = [
  PasidTranslationType.FIRST_STAGE,
  PasidTranslationType.PASS_THROUGH,
];

/**
 * The PASID table entry by way of its directory entry, present and without reserved bits, or how the
 * walk ends before it (VT-d 3.4.3).
 */
export function readPasidEntry(
  tables: ExplainedTables,
  directory: bigint,
  pasid: number,
): ReadEntry<typeof PASID_ENTRY> | Outcome {
  tables.note(`PASID directory at ${hex(directory)}; PASID ${hex(pasid)}`);
  const dirAt = directory + 8n * BigInt(pasid >> 6);
  const dir = tables.read(PASID_DIR_ENTRY, `PASID directory entry ${pasid >> 6}`, dirAt);
  if (dir === undefined) {
    return faulted(FaultReason.PASID_DIR_ACCESS, "the PASID directory entry can't be read");
  }
  if (dir.fields.P === 0n) {
    return faulted(FaultReason.PASID_DIR_NOT_PRESENT, "the PASID directory entry is not present");
  }
  if (dir.reserved) {
    return faulted(FaultReason.PASID_DIR_RESERVED, "a reserved bit is set in the directory entry");
  }
  tables.note(`PASID table at ${hex(dir.fields.SMPTBLPTR)}`);
  const at = dir.fields.SMPTBLPTR + 64n * BigInt(pasid & 63);
  const type = Number(((tables.word(at) ?? 0n) >> 6n) & 7n);
  const except = WITHOUT_SECOND_STAGE.includes(type) ? ADDRESS_WIDTH : 0n;
  const entry = tables.read(PASID_ENTRY, `PASID table entry ${hex(pasid)}`, at, { except });
  if (entry === undefined) {
    return faulted(FaultReason.PASID_ENTRY_ACCESS, "the PASID table entry can't be read");
  }
  if (entry.fields.P === 0n) {
    return faulted(FaultReason.PASID_ENTRY_NOT_PRESENT, "the PASID table entry is not present");
  }
  if (entry.reserved) {
    return faulted(FaultReason.PASID_ENTRY_RESERVED, "a reserved bit is set in the PASID entry");
  }
  return entry;
}
