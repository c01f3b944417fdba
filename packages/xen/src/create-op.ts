import { toNumber } from "@viommu/plugin";
import { createUnit } from "@viommu/vtd";
import { copyFromCaller } from "./caller-memory.ts";
import { ALL_CAPABILITIES, profileOf } from "./capability-profile.ts";
import type { XenDomain } from "./domain.ts";
import { Errno } from "./errno.ts";
import { FaultEventGate } from "./fault-events.ts";
import type { HostedUnit } from "./hosted-unit.ts";
import type { OpCall } from "./op-call.ts";
import { ALL_DEVICES, OpField, ViommuType } from "./op-layout.ts";
import { hiAt, loAt } from "./translation-record.ts";

const { CREATE } = OpField;
const PAGE = 4096;
/** Devices that one vIOMMU can list. */
const MOST_DEVICES = 256;
/** Where messages to local APICs go: no registers can lie there. */
const INTERRUPT_RANGE = { first: 0xfee0_0000, end: 0xfef0_0000 };
const IOTLB_SLOTS = 8192;
/** Host memory of a unit in frames: 16 bytes for each slot of the IOTLB, and as much for the rest. */
const UNIT_FRAMES = (2 * IOTLB_SLOTS * 16) / PAGE;

/** `viommu_op` create: 0 and the id in the structure, or an error with nothing changed. */
export function create(call: OpCall, domain: XenDomain): number {
  const { view } = call;
  const capabilities = view.getUint32(CREATE.CAPABILITIES, true);
  if (
    !call.isClear(CREATE.DEVICES + 8) ||
    view.getUint8(CREATE.TYPE) !== ViommuType.INTEL_VTD ||
    view.getUint8(CREATE.FLAGS) > ALL_DEVICES ||
    view.getUint32(CREATE.CAPABILITIES + 4, true) !== 0 ||
    (capabilities & ~ALL_CAPABILITIES) !== 0
  ) {
    return -Errno.EINVAL;
  }
  const profile = profileOf(capabilities, domain.addressWidth);
  if (profile === null) return -Errno.EINVAL;
  if (domain.units.length >= domain.limits.viommus) return -Errno.E2BIG;

  const segment = view.getUint16(CREATE.SEGMENT, true);
  const devices = readDevices(call);
  if (typeof devices === "number") return devices;
  const base = toNumber(hiAt(view, CREATE.BASE), loAt(view, CREATE.BASE));
  const refusal = checkPlace(domain, base) || checkScope(domain, segment, devices);
  if (refusal !== 0) return refusal;
  if (!domain.frames.take(UNIT_FRAMES)) return -Errno.ENOMEM;

  const id = freeId(domain);
  const gate = new FaultEventGate(domain.machine.sink, domain.faultEvents);
  const unit = createUnit({
    name: `dom${domain.domid}-viommu${id}`,
    base,
    segment,
    profile,
    memory: domain.machine.memory,
    sink: gate,
    hooks: domain.hooks,
    queueBudget: domain.limits.descriptorsPerExit,
    iotlbSlots: IOTLB_SLOTS,
  });
  gate.unit = unit;
  domain.add({ id, unit, devices, gate, frames: UNIT_FRAMES });
  view.setUint32(OpField.VIOMMU_ID, id, true);
  return 0;
}

/** The scope: null for all devices of the segment, or a negative error. */
function readDevices({ view, caller }: OpCall): Set<number> | null | number {
  const count = view.getUint32(CREATE.DEVICE_COUNT, true);
  if (view.getUint8(CREATE.FLAGS) === ALL_DEVICES) return count === 0 ? null : -Errno.EINVAL;
  if (count === 0) return -Errno.EINVAL;
  if (count > MOST_DEVICES) return -Errno.E2BIG;
  const list = new Uint8Array(count * 2);
  const hi = hiAt(view, CREATE.DEVICES);
  const lo = loAt(view, CREATE.DEVICES);
  if (!copyFromCaller(caller.machine.memory, hi, lo, list)) return -Errno.EFAULT;
  const devices = new Set<number>();
  for (let at = 0; at < list.length; at += 2) devices.add(list[at]! | (list[at + 1]! << 8));
  return devices.size === count ? devices : -Errno.EINVAL;
}

/** A page of its own, inside the guest's addresses, where no memory is. */
function checkPlace(domain: XenDomain, base: number): number {
  const { first, end } = INTERRUPT_RANGE;
  if (base % PAGE !== 0 || base + PAGE > 2 ** domain.addressWidth) return -Errno.EINVAL;
  if (base >= first && base < end) return -Errno.EINVAL;
  const probe = new Uint8Array(1);
  if (domain.machine.memory.readBytes(Math.floor(base / 2 ** 30), base % 2 ** 30, probe)) {
    return -Errno.EINVAL;
  }
  const taken = domain.units.some(
    ({ unit }) => base < unit.base + unit.size && unit.base < base + PAGE,
  );
  return taken ? -Errno.EBUSY : 0;
}

/** No device under two units. */
function checkScope(domain: XenDomain, segment: number, devices: Set<number> | null): number {
  const isTaken = (other: HostedUnit): boolean => {
    if (other.unit.segment !== segment) return false;
    if (devices === null || other.devices === null) return devices === other.devices;
    return [...devices].some((sourceId) => other.devices!.has(sourceId));
  };
  return domain.units.some(isTaken) ? -Errno.EBUSY : 0;
}

function freeId(domain: XenDomain): number {
  let id = 0;
  while (domain.units.some((hosted) => hosted.id === id)) id += 1;
  return id;
}
