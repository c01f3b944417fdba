import type { VtdUnit } from "@viommu/vtd";
import type { XenDomain } from "./domain.ts";
import { Errno } from "./errno.ts";
import type { OpCall } from "./op-call.ts";
import { OpField } from "./op-layout.ts";

/** GSTS and its bits TES, QIES and IRES (VT-d 11.4.4). */
const GSTS = 0x1c;
const SWITCHED_ON = (1 << 31) | (1 << 26) | (1 << 25);

/**
 * `viommu_op` destroy. A unit that the guest has switched on, or with an access under way, stays:
 * taking it away would break the guest. It goes with its domain.
 */
export function destroy(call: OpCall, domain: XenDomain): number {
  const id = call.view.getUint32(OpField.VIOMMU_ID, true);
  if (!call.isClear(OpField.BODY)) return -Errno.EINVAL;
  const hosted = domain.units.find((unit) => unit.id === id);
  if (hosted === undefined) return -Errno.ENOENT;
  if (isSwitchedOn(hosted.unit)) return -Errno.EBUSY;
  // device models say now what they have in flight
  domain.forget(hosted);
  const { inFlight } = hosted.unit.dma;
  if (!inFlight.drained(inFlight.mark())) return -Errno.EBUSY;
  domain.remove(hosted);
  return 0;
}

function isSwitchedOn(unit: VtdUnit): boolean {
  const status = new Int32Array(2);
  unit.read(GSTS, 4, status);
  return (status[0]! & SWITCHED_ON) !== 0;
}
