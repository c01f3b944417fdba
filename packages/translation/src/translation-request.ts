import { FaultReason } from "@viommu/vtd-spec";

/**
 * Conditions that a translation request survives: its completion has status Success, with no rights
 * or only those that are granted, and nothing is recorded (VT-d 7.1.2; columns "Translation" of the
 * table in 7.1.3).
 */
const RECOVERABLE: ReadonlySet<number> = new Set<number>([
  FaultReason.ADDRESS_BEYOND_WIDTH,
  FaultReason.WRITE_DENIED,
  FaultReason.READ_DENIED,
  FaultReason.PASID_DIR_NOT_PRESENT,
  FaultReason.PASID_ENTRY_NOT_PRESENT,
  FaultReason.PASID_ENTRY_EXECUTE_BLOCKED,
  FaultReason.PASID_ENTRY_SUPERVISOR_BLOCKED,
  FaultReason.FS_ENTRY_ACCESS,
  FaultReason.FS_NOT_PRESENT,
  FaultReason.FS_RESERVED,
  FaultReason.FS_ROOT_ACCESS,
  FaultReason.FS_ADDRESS_BEYOND_SS_WIDTH,
  FaultReason.FS_ROOT_SS_DENIED,
  FaultReason.FS_ENTRY_SS_DENIED,
  FaultReason.FS_FLAGS_SS_DENIED,
  FaultReason.SM_SS_NO_PERMISSION,
  FaultReason.FS_NOT_CANONICAL,
  FaultReason.FS_USER_DENIED,
  FaultReason.SM_HOST_WIDTH,
  FaultReason.SM_SS_WIDTH,
  FaultReason.SM_WRITE_DENIED,
  FaultReason.SM_READ_DENIED,
  FaultReason.FS_FLAGS_NOT_SNOOPED,
  FaultReason.FS_FLAGS_UPDATE,
]);

/** Whether a translation request that met this condition completes with reduced rights. */
export function isRecoverable(reason: number): boolean {
  return RECOVERABLE.has(reason);
}
