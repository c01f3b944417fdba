import { decodeRecord, ViommuError } from "@viommu/plugin";
import type { SnapshotHeader, SnapshotUpgrades } from "@viommu/plugin";

/** The payload of a record that has to hold `words` words; ERR_VIOMMU_SNAPSHOT when it does not. */
export function payloadOf(
  header: SnapshotHeader,
  record: Uint8Array,
  words: number,
  upgrades?: SnapshotUpgrades,
): Int32Array {
  const payload = decodeRecord(header, record, upgrades);
  if (payload.length === words) return payload;
  throw new ViommuError(
    "ERR_VIOMMU_SNAPSHOT",
    `cannot restore "${header.id}": the record holds ${payload.length} words instead of ${words}`,
  );
}
