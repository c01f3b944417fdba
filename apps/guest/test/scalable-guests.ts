import { parseGuest } from "../src/config/load.ts";
import { Guest } from "../src/guest.ts";
import { AcceleratorDriver } from "../src/kernel/accelerator-driver.ts";
import { Accelerator } from "../src/devices/accelerator.ts";
import type { Change } from "./guests.ts";

/** A guest in scalable mode, with an accelerator whose processes have few frames. */
const SCALABLE = `name: small-scalable
vcpus: { count: 4 }
memory: 64M
units:
  - name: dmar0
    base: 0xfed90000
    includeAll: true
    scope: [ioapic0]
    options: { scalableMode: true, deviceTlb: true, pageRequests: true }
ioapics:
  - { name: ioapic0, id: 0, base: 0xfec00000, address: "ff:00.0" }
devices:
  - name: accel0
    kind: accelerator
    address: "00:08.0"
    vectors: 4
    paging: { processes: 3, pages: 128, frames: 96, lifetime: 400, translations: 64 }
  - { name: nic0, kind: nic, address: "00:02.0", vectors: 2, domain: first-stage }
  - { name: disk0, kind: block, address: "00:03.0", vectors: 2, domain: second-stage }
  - { name: disk1, kind: block, address: "00:05.0", vectors: 1, domain: pass-through }
driver: { mode: scalable, pageRequestQueue: 128 }
workload: { interrupts: 400, transfers: 700, affinityChanges: 40, seed: 7 }
`;

/** With a host permission table for the accelerator. */
export const PERMISSIONS: readonly Change[] = [
  ["pageRequests: true }", "pageRequests: true, hostPermissionTables: true }"],
  ["translations: 64", "translations: 64, hostPermissions: true"],
];

/** The text with some parts replaced; each must be there. */
export function scalable(...changes: readonly Change[]): string {
  return changes.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`the guest has no "${from}"`);
    return text.replace(from, to);
  }, SCALABLE);
}

/** The guest with changes, booted; its first device is the accelerator. */
export function bootScalable(...changes: readonly Change[]): {
  guest: Guest;
  device: Accelerator;
  driver: AcceleratorDriver;
} {
  const guest = new Guest(parseGuest("guest.yaml", scalable(...changes)));
  guest.boot();
  return { guest, ...acceleratorOf(guest) };
}

/** The first device of such a guest. */
export function acceleratorOf({ kernel }: Guest): {
  device: Accelerator;
  driver: AcceleratorDriver;
} {
  const { device, driver } = kernel.devices[0]!;
  if (device instanceof Accelerator && driver instanceof AcceleratorDriver) {
    return { device, driver };
  }
  throw new Error(`${device.config.name} is no accelerator`);
}

/** Lets a guest do all of its work, and looks for what is wrong. */
export function finished(guest: Guest): readonly string[] {
  guest.workload.run(Infinity);
  guest.checkTotals();
  return guest.problems.texts;
}
