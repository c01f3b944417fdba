// A custom stack: two units with different profiles in two PCI segments, and one driver for both.
import { buildDmar } from "@viommu/acpi";
import { createMmioBus, probe } from "@viommu/guest-driver";
import { lapicBus } from "@viommu/irq-hooks";
import { createDmaPort, createMemory } from "@viommu/memory";
import { assemble, DmaRequest, guestMemory, hiFromNumber, loFromNumber } from "@viommu/plugin";
import type { Plugin } from "@viommu/plugin";
import { createProfile, vtd, vtdUnits } from "@viommu/vtd";

const memory = createMemory({ regions: [{ base: 0, size: 0x800_0000 }] });
const ram: Plugin = {
  name: "ram",
  provides: [guestMemory],
  setup: (host) => {
    host.provide(guestMemory, memory);
  },
};

// An old unit with small pages, and a new one: scalable mode, huge pages, device-TLBs.
const old = createProfile({ addressWidths: [39], pageSizes: ["4K"], faultRecords: 1, eim: false });
const modern = createProfile({ addressWidths: [48, 57], scalableMode: true, deviceTlb: true });

const machine = assemble([
  vtd({ name: "dmar0", base: 0xfed9_0000, profile: old }),
  vtd({ name: "dmar1", base: 0xfed9_1000, segment: 1, profile: modern }),
  lapicBus({ vcpus: 4 }),
  ram,
]);
console.log("assembled:", machine.order.join(", "));
const units = machine.use(vtdUnits);

// Firmware tells the guest about them; the guest's driver starts both and maps a page for each.
const all = { type: "DRHD", flags: ["INCLUDE_PCI_ALL"], size: 0, scopes: [] } as const;
const dmar = buildDmar({
  hostAddressWidth: 48,
  flags: [],
  structures: units.map(({ base }, segment) => ({ ...all, segment, registerBase: base })),
});
const driver = probe({
  bus: createMmioBus(units),
  memory,
  pages: { base: 0x100_0000, size: 0x100_0000 },
  acpi: { dmar },
});
driver.start();

for (const [segment, unit] of units.entries()) {
  const nic = { segment, sourceId: 0x0010 };
  const iova = driver.attach(nic).map(0x400_0000, 0x20_0000);
  const port = createDmaPort({ memory, remapper: unit.dma, sourceId: nic.sourceId });
  const mapped = port.write(iova, Uint8Array.of(segment + 1));
  const unmapped = port.write(0x1000, Uint8Array.of(0));

  const request = new DmaRequest();
  Object.assign(request, {
    sourceId: nic.sourceId,
    hi: hiFromNumber(iova),
    lo: loFromNumber(iova),
    access: 1,
  });
  unit.dma.probe(request);
  console.log(`${unit.name}: write ${mapped}, elsewhere ${unmapped}, page 2^${request.pageShift}`);
}

/* prints:
assembled: ram, lapic-bus, dmar0, dmar1
dmar0: write 0, elsewhere 5, page 2^12
dmar1: write 0, elsewhere 5, page 2^21
*/
