import type { Refuse } from "./rule.ts";
import type { GuestDescription } from "./schema.ts";

const MOST_VCPUS = 65_536;
/** FFh is a broadcast (SDM vol. 3, 11.6.2). */
const LAST_8_BIT_ID = 254;
const LAST_15_BIT_ID = 0x7fff;

/** The APIC id of each vCPU. */
export function apicIdsOf({ vcpus }: GuestDescription, refuse: Refuse): number[] {
  const { count, apicIds: ranges } = vcpus;
  if (ranges === undefined) {
    const vcpuCount = count ?? refuse(["vcpus", "count"], "is missing", "give 1 to 65536");
    return Array.from({ length: vcpuCount }, (_, vcpu) => vcpu);
  }
  const total = ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0);
  if (total < 1 || total > MOST_VCPUS) {
    refuse(["vcpus", "apicIds"], `has ${total} ids`, `give 1 to ${MOST_VCPUS}`);
  }
  if (count !== undefined && count !== total) {
    refuse(["vcpus", "count"], `is not the ${total} of vcpus.apicIds`, "leave out one of them");
  }
  const ids = new Set<number>();
  ranges.forEach(({ first, last }, i) => {
    for (let id = first; id <= last; id += 1) {
      if (ids.has(id)) {
        refuse(["vcpus", "apicIds", i], `has APIC id ${id} again`, "give each vCPU its own");
      }
      ids.add(id);
    }
  });
  return [...ids];
}

/**
 * An interrupt message has 8 bits for the APIC id, 15 with extended destination ids, and 32 where a
 * unit remaps it with EIM. Refuses vCPUs that no device could interrupt.
 */
export function checkReach(
  guest: GuestDescription,
  apicIds: readonly number[],
  refuse: Refuse,
): void {
  const largest = apicIds.reduce((most, id) => Math.max(most, id), 0);
  if (largest <= LAST_8_BIT_ID) return;
  const { vcpus, units } = guest;
  const path = ["vcpus", vcpus.apicIds === undefined ? "count" : "apicIds"];
  const needs = `needs APIC id ${largest}`;
  if (vcpus.apicMode === "xapic") {
    refuse(
      path,
      `${needs}, and xAPIC ids end at ${LAST_8_BIT_ID}`,
      'set vcpus.apicMode to "x2apic"',
    );
  }
  if (units.length === 0 && vcpus.extendedDestinationId) {
    if (largest <= LAST_15_BIT_ID) return;
    refuse(
      path,
      `${needs}, and extended destination ids end at ${LAST_15_BIT_ID}`,
      "add units with interrupt remapping and EIM",
    );
  }
  if (units.length === 0) {
    refuse(
      path,
      `${needs}, and without remapping a message reaches APIC ids up to ${LAST_8_BIT_ID}: 255 vCPUs are the limit`,
      "add a unit with EIM, or set vcpus.extendedDestinationId",
    );
  }
  checkExtendedInterruptMode(guest, needs, refuse);
}

/** Interrupts are remapped by all units or by none, so one without EIM is enough to end at 254. */
function checkExtendedInterruptMode(
  { units }: GuestDescription,
  needs: string,
  refuse: Refuse,
): void {
  units.forEach(({ name, options }, i) => {
    const remaps = options.interruptRemapping ?? options.queuedInvalidation ?? true;
    if (remaps && (options.eim ?? true)) return;
    const key = remaps ? "eim" : "interruptRemapping";
    refuse(
      ["units", i, "options", key],
      `keeps interrupts of "${name}" at APIC ids up to ${LAST_8_BIT_ID}, and the guest ${needs}`,
      `set ${key} to true, or have at most 255 vCPUs`,
    );
  });
}
