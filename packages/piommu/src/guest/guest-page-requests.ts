import type { AtcEndpoint } from "@viommu/memory";
import { Access } from "@viommu/plugin";
import type { PageRequest, PhysicalIommu } from "@viommu/plugin";
import { ResponseCode } from "@viommu/vtd-spec";
import type { GuestIommuCounters } from "./counters.ts";
import type { PassedDevice } from "./passed-device.ts";

/** `GuestUnit.pageRequest`: its queue is full, or has overflowed before. */
const OVERFLOW = -1;

/** A group that waits for the guest's answer. */
interface Group {
  readonly pasid: number;
}

/**
 * Page requests of a guest's devices: from the physical device into the queue of the guest's unit,
 * which looks at the guest's tables and has the guest's source-id, and the guest's answers back.
 */
export class GuestPageRequests {
  readonly #physical: PhysicalIommu;
  readonly #counters: GuestIommuCounters;
  /** By group index: at most 512 for each device. */
  readonly #waiting = new Map<PassedDevice, Map<number, Group>>();

  constructor(physical: PhysicalIommu, counters: GuestIommuCounters) {
    this.#physical = physical;
    this.#counters = counters;
  }

  /** A device asks for a page; false if it is for the host to answer. */
  take(device: PassedDevice, request: PageRequest): boolean {
    const { unit } = device.state;
    const { access, group, last, pasid } = request;
    if (unit.pageRequest === undefined || !device.bindings.has(pasid)) return false;
    const isOwed = last && (access & Access.ATOMIC) !== 0; // none to a stop marker
    const owed: Group = { pasid };
    if (isOwed) this.#groupsOf(device).set(group, owed);
    this.#counters.pageRequests += 1;
    const result = unit.pageRequest({ ...request, sourceId: device.virtualSourceId });
    if (result === 0 || this.#waiting.get(device)?.get(group) !== owed) return true;
    // nobody has heard the unit's own answer (VT-d 7.4.1, table 31)
    const { INVALID_REQUEST, SUCCESS } = ResponseCode;
    this.#answer(device, group, owed, result === OVERFLOW ? SUCCESS : INVALID_REQUEST);
    return true;
  }

  /** What stands for a device towards the guest's unit. */
  endpoint(device: PassedDevice): AtcEndpoint {
    return {
      // it was forwarded as the unit told of it; what it waits for is in flight in the unit
      invalidate: () => "done",
      respond: (_sourceId, pasid, group, code) => {
        const waiting = this.#waiting.get(device)?.get(group);
        if (waiting?.pasid === pasid) this.#answer(device, group, waiting, meant(code));
      },
    };
  }

  /** Nobody will answer this device any more: its groups end. */
  end(device: PassedDevice): void {
    const groups = this.#waiting.get(device) ?? [];
    this.#waiting.delete(device);
    // a device may ask again when it is answered: that is a new group
    for (const [group, waiting] of groups) {
      this.#answer(device, group, waiting, ResponseCode.INVALID_REQUEST);
    }
  }

  #answer(device: PassedDevice, group: number, { pasid }: Group, code: number): void {
    this.#waiting.get(device)?.delete(group);
    this.#counters.pageResponses += 1;
    this.#physical.pageRequests?.respond(device.sourceId, pasid, group, code);
  }

  #groupsOf(device: PassedDevice): Map<number, Group> {
    let groups = this.#waiting.get(device);
    if (groups === undefined) {
      groups = new Map();
      this.#waiting.set(device, groups);
    }
    return groups;
  }
}

/** Reserved codes mean failure (VT-d 7.6.1, table 32). */
function meant(code: number): number {
  const { INVALID_REQUEST, RESPONSE_FAILURE, SUCCESS } = ResponseCode;
  return code === SUCCESS || code === INVALID_REQUEST ? code : RESPONSE_FAILURE;
}
