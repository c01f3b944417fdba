import { Access, hiFromNumber, loFromNumber } from "@viommu/plugin";
import type { DmaRequest, GuestMemory, PhysicalMapping } from "@viommu/plugin";
import { bits, FaultReason, FS_PAGE_2M } from "@viommu/vtd-spec";
import type { NestedTables } from "./nested-space.ts";

const FS_WRITE = 1 << bits(FS_PAGE_2M, "RW").shift;
const FS_PAGE_SIZE = 1 << bits(FS_PAGE_2M, "PS").shift;

/** Reasons that only the first stage, or the guest's way of asking for it, can have. */
const OF_FIRST_STAGE: ReadonlySet<number> = new Set<number>([
  FaultReason.FS_ENTRY_ACCESS,
  FaultReason.FS_NOT_PRESENT,
  FaultReason.FS_RESERVED,
  FaultReason.FS_ROOT_ACCESS,
  FaultReason.FS_ADDRESS_BEYOND_SS_WIDTH,
  FaultReason.FS_ROOT_SS_DENIED,
  FaultReason.FS_ENTRY_SS_DENIED,
  FaultReason.FS_FLAGS_SS_DENIED,
  FaultReason.FS_NOT_CANONICAL,
  FaultReason.FS_USER_DENIED,
  FaultReason.FS_FLAGS_NOT_SNOOPED,
  FaultReason.FS_FLAGS_UPDATE,
  FaultReason.PASID_ENTRY_SUPERVISOR_BLOCKED,
]);

/** Whether a reason names the first stage (VT-d 7.1.3, SFS.*, SGN.1, SGN.2, SPT.6). */
export function isOfFirstStage(reason: number): boolean {
  return OF_FIRST_STAGE.has(reason);
}

/**
 * Whether the guest's first stage denies a write. The reason for it, SGN.6, is that of both stages;
 * hardware does not tell which one it was, so the driver looks at the tables itself, at most one
 * entry for each level.
 */
export function isWriteDeniedByFirstStage(
  { parent, stage }: NestedTables,
  request: DmaRequest,
  memory: GuestMemory,
): boolean {
  const isSupervisor = (request.access & Access.PRIVILEGED) !== 0;
  if (isSupervisor && !stage.writeProtect) return false;
  const place: PhysicalMapping = { mfn: 0, order: 0, flags: 0 };
  const words = new Int32Array(2);
  let table = stage.rootFrame;
  for (let level: number = stage.levels; level > 0; level -= 1) {
    if (!parent.lookup(table, place)) return false;
    const address = place.mfn * 4096 + indexIn(request, level) * 8;
    if (!memory.readWords(hiFromNumber(address), loFromNumber(address), 2, words)) return false;
    const low = words[0]!;
    if ((low & FS_WRITE) === 0) return true;
    if ((low & FS_PAGE_SIZE) !== 0) return false;
    table = (words[1]! & 0xf_ffff) * 2 ** 20 + (low >>> 12);
  }
  return false;
}

function indexIn({ hi, lo }: DmaRequest, level: number): number {
  const bits = level > 2 ? hi >> (9 * (level - 3)) : lo >>> (9 * level + 3);
  return bits & 0x1ff;
}
