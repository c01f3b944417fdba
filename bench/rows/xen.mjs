import { randomPages } from "../lib/addresses.mjs";
import { createGuestMemory } from "../lib/engine.mjs";
import { guestWithDevices, IOVA } from "../lib/kit.mjs";
import { GCMD, RTADDR, SRTP, TE } from "../lib/registers.mjs";

const PAGES = 512;
const BASE = 0xfed9_0000;
const GUEST = 1;

/**
 * One DMA of an emulated device whose unit is behind the viommu hypercall: with the device model's
 * cache (viommu), with a hypercall for each (hypercall), by batches of 64 (batch), and without any
 * hypercall (unit).
 */
export const rows = [
  {
    id: "xen-dma",
    title: "DMA by viommu hypercall, 512 pages, cached by the device model",
    packages: ["plugin", "memory", "vtd", "xen"],
    goals: [
      { against: "hypercall", atMost: 0.2 },
      { against: "batch", atMost: 0.2 },
      { against: "unit", atMost: 4 },
    ],
    lanes: (kit) => {
      const list = randomPages(IOVA, PAGES);
      const { client, unit, plugin, xen } = hostedUnit(kit);
      const cached = new xen.DummyViommu({ client, domid: GUEST, cachedPages: 2 * PAGES });
      const uncached = new xen.DummyViommu({ client, domid: GUEST, cachedPages: 0 });
      const request = new plugin.DmaRequest();
      request.access = plugin.Access.READ;
      const requests = Array.from({ length: 64 }, () =>
        Object.assign(new plugin.DmaRequest(), { access: plugin.Access.READ }),
      );
      const statuses = new Int32Array(64);
      return {
        viommu: { run: (start, count) => window(cached, request, list, start, count) },
        hypercall: { run: (start, count) => window(uncached, request, list, start, count) },
        batch: {
          run: (start, count) => batchWindow(client, requests, statuses, list, start, count),
        },
        unit: { run: (start, count) => window(unit.dma, request, list, start, count) },
      };
    },
  },
];

/** A unit that a toolstack has created by hypercall, over the tables of one device. */
function hostedUnit({ packages }) {
  const { memory, plugin, xen } = packages;
  const { guest, rootTable } = guestWithDevices({ pages: PAGES });
  const registry = new xen.ViommuRegistry();
  const own = memory.createMemory({ regions: [{ base: 0, size: 65536 }] });
  const machine = { sink: { deliver: () => undefined }, attach() {}, detach() {} };
  registry.addDomain({ ...machine, domid: 0, control: true, memory: own });
  const domain = registry.addDomain({
    ...machine,
    domid: GUEST,
    deviceModel: 0,
    memory: createGuestMemory(memory, guest),
  });
  const client = new xen.ViommuClient({
    invoke: (hi, lo) => registry.viommuOp(0, hi, lo),
    memory: own,
    buffer: { hi: 0, lo: 0, bytes: 65536 },
  });
  client.create(GUEST, { base: BASE, capabilities: xen.ViommuCapability.L2_TRANSLATION });
  const [{ unit }] = domain.units;
  unit.write(RTADDR, 8, rootTable, 0);
  unit.write(GCMD, 4, SRTP, 0);
  unit.write(GCMD, 4, TE, 0);
  return { client, unit, plugin, xen };
}

/** The sum of the addresses' low parts; all sides must have the same. */
function window(remapper, request, { pairs, length }, start, count) {
  let sum = 0;
  for (let i = start; i < start + count; i++) {
    const at = (i & (length - 1)) << 1;
    request.hi = pairs[at];
    request.lo = pairs[at | 1];
    if (remapper.translate(request) !== 0) return -1;
    sum = (sum + request.outLo) | 0;
  }
  return sum;
}

function batchWindow(client, requests, statuses, { pairs, length }, start, count) {
  let sum = 0;
  for (let i = start; i < start + count; i += requests.length) {
    const part = requests.slice(0, Math.min(requests.length, start + count - i));
    part.forEach((request, j) => {
      const at = ((i + j) & (length - 1)) << 1;
      request.hi = pairs[at];
      request.lo = pairs[at | 1];
    });
    if (client.translateBatch(GUEST, 0, part, statuses) !== 0) return -1;
    for (const { outLo } of part) sum = (sum + outLo) | 0;
  }
  return sum;
}
