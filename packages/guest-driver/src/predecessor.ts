import { IRTA, RTADDR } from "@viommu/vtd-spec";
import type { DeviceTable } from "./device-table.ts";
import type { DomainIds } from "./domain-ids.ts";
import type { HostPermissions } from "./host-permissions.ts";
import type { InterruptTable } from "./interrupt-table.ts";
import type { RegisterWindow } from "./register-window.ts";

/*
 * Another driver ran before this one, and its devices may still be running (kexec after a crash): its
 * entries are copied into tables of this driver, so that nothing changes when the unit is pointed at
 * the copies. What the copies lead to, page tables for one, stays in the predecessor's memory.
 */

/** Copies the entries of its devices. False when it used another mode. */
export function adoptDevices(
  registers: RegisterWindow,
  devices: DeviceTable,
  domainIds: DomainIds,
  permissions: HostPermissions,
): boolean {
  const { RTA, TTM } = registers.read(RTADDR);
  if (TTM !== BigInt(devices.mode)) return false;
  const adopted = devices.adopt(Number(RTA));
  for (const id of adopted.domainIds) domainIds.reserve(id);
  for (const id of adopted.hptDomainIds) permissions.reserve(id);
  return true;
}

/** Copies its interrupt entries. False when this driver's table can't hold them as they are. */
export function adoptInterrupts(
  registers: RegisterWindow,
  interrupts: InterruptTable,
  eime: boolean,
): boolean {
  const { IRTA: address, EIME, S } = registers.read(IRTA);
  const entries = 2 ** (Number(S) + 1);
  if (EIME !== (eime ? 1n : 0n) || entries > interrupts.size) return false;
  return interrupts.adopt(Number(address), entries);
}
