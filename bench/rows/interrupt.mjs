import { deliveryLanes } from "../lib/delivery-lanes.mjs";
import {
  messageLanes,
  msiList,
  redirectionList,
  redirectionWindow,
} from "../lib/message-lanes.mjs";

/** Interrupt remapping; the entry is read from guest memory and checked for each message. */
const remapping = [
  {
    id: "msi-1",
    title: "MSI, 1 entry",
    peer: "48.6 ns",
    lanes: (kit) => messageLanes(kit, { list: msiList(1) }),
  },
  {
    id: "msi-512",
    title: "MSI, 512 entries",
    peer: "49.3 ns",
    lanes: (kit) => messageLanes(kit, { list: msiList(512) }),
  },
  {
    id: "msi-65536",
    title: "MSI, 65536 entries",
    lanes: (kit) => messageLanes(kit, { list: msiList(65_536) }),
  },
  {
    id: "ioapic-512",
    title: "I/O APIC, 512 entries",
    peer: "49.8 ns",
    lanes: (kit) => messageLanes(kit, { list: redirectionList(512), window: redirectionWindow }),
  },
].map((row) => ({
  ...row,
  packages: ["interrupt-remapping"],
  goals: [{ against: "ideal", atMost: 2 }],
}));

/** From the MSI to the IRR of its target; the machine may be as large as it likes. */
const delivery = [8, 288, 4096].map((vcpus) => ({
  id: `delivery-${vcpus}`,
  title: `MSI to IRR, ${vcpus} vCPUs`,
  packages: ["interrupt-remapping", "irq-hooks"],
  goals: vcpus === 8 ? [] : [{ row: "delivery-8", atMost: 1.5 }],
  lanes: (kit) => deliveryLanes(kit, vcpus),
}));

export const rows = [...remapping, ...delivery];
