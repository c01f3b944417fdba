import { ViommuError } from "@viommu/plugin";
import { createProfile } from "@viommu/vtd";
import type { Profile } from "@viommu/vtd";
import { checkAddressMap, memoryRanges } from "./address-map.ts";
import { checkDomains, checkDriver, pagingOf } from "./driver-rules.ts";
import type { GuestConfig } from "./guest-config.ts";
import { hostOf } from "./host-rules.ts";
import {
  checkNumberOfInterrupts,
  checkPins,
  checkPools,
  checkWorkload,
  interruptOf,
} from "./interrupt-rules.ts";
import { checkMemorySize } from "./memory-rules.ts";
import { checkBusAddresses, checkNames, checkNumbers } from "./name-rules.ts";
import { apicIdsOf, checkReach } from "./processor-rules.ts";
import type { Refuse } from "./rule.ts";
import type { GuestDescription } from "./schema.ts";
import { Scopes } from "./scopes.ts";

/** The guest that a description means. Refuses the first rule that it breaks. */
export function resolveGuest(
  guest: GuestDescription,
  refuse: Refuse,
): Omit<GuestConfig, "notices"> {
  const apicIds = apicIdsOf(guest, refuse);
  checkNames(guest, refuse);
  checkBusAddresses(guest, refuse);
  checkNumbers(guest, refuse);
  const scopes = new Scopes(guest, refuse);
  checkPins(guest, refuse);
  const interrupts = guest.devices.map((device, i) => interruptOf(device, i, refuse));
  checkPools(guest, refuse);
  const profiles = guest.units.map((_, i) => profileOf(guest, i, refuse));
  const paging = guest.devices.map((device, i) => pagingOf(device, i, refuse));
  checkDriver(guest, profiles, refuse);
  checkDomains(
    guest,
    (device) => profiles[guest.units.findIndex(({ name }) => name === scopes.unitOf(device))],
    refuse,
  );
  const host = hostOf(guest, profiles, apicIds.length, (device) => scopes.unitOf(device), refuse);
  checkReach(guest, apicIds, refuse);
  checkNumberOfInterrupts(guest, apicIds.length, refuse);
  const bars = checkAddressMap(guest, profiles, refuse);
  const memory = memoryRanges(guest);
  const parts = guest.devices.map(({ kind, sendPool }, i) => ({
    kind,
    sendPool,
    interrupt: interrupts[i]!,
    paging: paging[i]!,
  }));
  checkMemorySize(memory, guest.units.length, parts, refuse);
  checkWorkload(guest, apicIds.length, refuse);

  const { apicMode, extendedDestinationId } = guest.vcpus;
  return {
    name: guest.name,
    processors: { apicIds, apicMode, extendedDestinationId },
    memory,
    hostAddressWidth: guest.hostAddressWidth,
    units: guest.units.map(({ name, base, segment, includeAll, queueBudget, iotlbSlots }, i) => ({
      ...{ name, base, segment, includeAll, queueBudget, iotlbSlots },
      profile: profiles[i]!,
    })),
    bridges: guest.bridges.map((bridge) => ({ ...bridge, unit: scopes.ownerOf(bridge.name) })),
    ioapics: numberInterrupts(guest).map((ioapic) => ({
      ...ioapic,
      unit: scopes.ownerOf(ioapic.name),
    })),
    devices: guest.devices.map((device, i) => ({
      name: device.name,
      kind: device.kind,
      address: device.address,
      unit: scopes.unitOf(device),
      named: scopes.ownerOf(device.name) !== null,
      bar: bars[i]!,
      interrupt: interrupts[i]!,
      domain: device.domain ?? null,
      paging: paging[i]!,
      sendPool: device.sendPool,
      hostAddress: device.passthrough ?? null,
    })),
    driver: guest.driver,
    host,
    workload: guest.workload,
  };
}

/** Global system interrupts are counted through all pins of all I/O APICs (ACPI 5.2.13). */
function numberInterrupts({ ioapics }: GuestDescription) {
  let interruptBase = 0;
  return ioapics.map((ioapic) => {
    const numbered = { ...ioapic, interruptBase };
    interruptBase += ioapic.pins;
    return numbered;
  });
}

/** What the unit can do; a combination that VT-d excludes is refused in the words of the unit. */
function profileOf(guest: GuestDescription, index: number, refuse: Refuse): Profile {
  const { options } = guest.units[index]!;
  try {
    return createProfile({ ...options, hostAddressWidth: guest.hostAddressWidth });
  } catch (error) {
    if (!(error instanceof ViommuError)) throw error;
    const [text = "", remedy = ""] = error.message.split(/; (?=[^;]*$)/);
    return refuse(["units", index, "options"], `make no unit: ${text}`, remedy);
  }
}
