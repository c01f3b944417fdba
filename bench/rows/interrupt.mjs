import {
  messageLanes,
  msiList,
  redirectionList,
  redirectionWindow,
} from "../lib/message-lanes.mjs";

/** Interrupt remapping; the entry is read from guest memory and checked for each message. */
export const rows = [
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
