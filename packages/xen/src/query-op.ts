import { ALL_CAPABILITIES } from "./capability-profile.ts";
import type { XenDomain } from "./domain.ts";
import { Errno } from "./errno.ts";
import type { OpCall } from "./op-call.ts";
import { OpField, ViommuType } from "./op-layout.ts";

const { QUERY } = OpField;

/** `viommu_op` query_capabilities: what `create` takes, and the limits of the domain. */
export function query(call: OpCall, domain: XenDomain): number {
  const { view } = call;
  const known = view.getUint8(QUERY.TYPE) === ViommuType.INTEL_VTD;
  if (!known || !call.isClear(QUERY.TYPE + 1)) return -Errno.EINVAL;
  view.setUint32(QUERY.CAPABILITIES, ALL_CAPABILITIES, true);
  view.setUint32(QUERY.VIOMMUS, domain.limits.viommus, true);
  view.setUint32(QUERY.PER_CALL, domain.limits.translationsPerCall, true);
  return 0;
}
