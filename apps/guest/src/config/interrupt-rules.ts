import type { InterruptConfig } from "./guest-config.ts";
import type { Refuse, Rule } from "./rule.ts";
import type { GuestDescription } from "./schema.ts";
import { USABLE_VECTORS } from "./vectors.ts";

/** Entries of an interrupt remapping table (VT-d 11.4.29: IRTA.S). */
const TABLE_ENTRIES = 65_536;

type Device = GuestDescription["devices"][number];

/** How a device interrupts; refuses both ways at once, and none. */
export function interruptOf(device: Device, index: number, refuse: Refuse): InterruptConfig {
  const { vectors, pin } = device;
  if (vectors !== undefined && pin === undefined) return { kind: "msi-x", vectors };
  if (pin !== undefined && vectors === undefined) {
    return { kind: "pin", ioapic: pin.ioapic, pin: pin.number, trigger: pin.trigger };
  }
  const problem = pin === undefined ? "has no way to interrupt" : "interrupts in two ways";
  return refuse(["devices", index], problem, "give either vectors (MSI-X) or pin");
}

/** A pin exists, and one device drives it. */
export const checkPins: Rule = (guest, refuse: Refuse) => {
  const drivers = new Map<string, string>();
  guest.devices.forEach(({ name, pin }, i) => {
    if (pin === undefined) return;
    const chip = guest.ioapics.find((ioapic) => ioapic.name === pin.ioapic);
    if (chip === undefined) {
      refuse(["devices", i, "pin", "ioapic"], "is no I/O APIC", "give the name of one");
    }
    if (pin.number >= chip.pins) {
      refuse(
        ["devices", i, "pin", "number"],
        `is no pin of "${chip.name}"`,
        `give 0 to ${chip.pins - 1}`,
      );
    }
    const key = `${chip.name}/${pin.number}`;
    const other = drivers.get(key);
    if (other !== undefined) {
      refuse(
        ["devices", i, "pin", "number"],
        `is driven by "${other}"`,
        "give each device its own",
      );
    }
    drivers.set(key, name);
  });
};

/** Only network cards have packets to send. */
export const checkPools: Rule = ({ devices }, refuse: Refuse) => {
  devices.forEach(({ kind, sendPool }, i) => {
    if (!sendPool || kind === "nic") return;
    refuse(["devices", i, "sendPool"], `is of no use to a ${kind}`, "leave it out");
  });
};

/** Vectors of processors and entries of remapping tables are enough for all interrupts. */
export function checkNumberOfInterrupts(
  guest: GuestDescription,
  vcpus: number,
  refuse: Refuse,
): void {
  const total = guest.devices.reduce((sum, { vectors = 1 }) => sum + vectors, 0);
  if (total > vcpus * USABLE_VECTORS) {
    refuse(
      ["devices"],
      `have ${total} interrupts, and ${vcpus} vCPUs have ${vcpus * USABLE_VECTORS} vectors for them`,
      "give devices fewer vectors, or the guest more vCPUs",
    );
  }
  if (total > TABLE_ENTRIES) {
    refuse(
      ["devices"],
      `have ${total} interrupts, and a remapping table has ${TABLE_ENTRIES} entries`,
      "give devices fewer vectors",
    );
  }
}

/** The workload can be done by these devices and vCPUs. */
export function checkWorkload(
  { devices, workload }: GuestDescription,
  vcpus: number,
  refuse: Refuse,
): void {
  if (workload.interrupts > 0 && devices.length === 0) {
    refuse(["workload", "interrupts"], "cannot come without a device", "add one, or give 0");
  }
  if (workload.transfers > 0 && devices.every(({ kind }) => kind === "timer")) {
    refuse(
      ["workload", "transfers"],
      "cannot be done without a nic or block device",
      "add one, or give 0",
    );
  }
  const { affinityChanges, interrupts } = workload;
  if (affinityChanges > interrupts) {
    const path = ["workload", "affinityChanges"];
    refuse(path, `are more than the ${interrupts} interrupts`, "give at most as many");
  }
  if (affinityChanges > 0 && vcpus === 1) {
    refuse(["workload", "affinityChanges"], "need a second vCPU", "add one, or give 0");
  }
}
