import { randomPages } from "../lib/addresses.mjs";
import { guestWithDevices, IOVA } from "../lib/kit.mjs";
import { eachBaseline, translateWindow } from "../lib/translation-lanes.mjs";
import { createUnit, QueueDriver } from "../lib/unit.mjs";

const DOMAIN_ID = 1;

/**
 * One page through the invalidation queue of a whole unit: the driver stores a page-selective and a
 * wait descriptor, writes the tail register, and reads the status word. In C only the queue and
 * the IOTLB exist: no register file, no drain, no observers.
 */
export const rows = [
  queueRow("queue-empty", "page by queue and wait, no entries", { peer: "194 ns", limit: 195 }),
  queueRow("queue-512", "page by queue and wait, 512 entries", {
    peer: "2615 ns",
    limit: 2600,
    live: true,
  }),
];

function queueRow(id, title, { peer, limit, live = false }) {
  return {
    id,
    title,
    peer,
    packages: ["vtd"],
    goals: live ? [{ atMost: limit }, { against: "glib", atMost: 0.5 }] : [{ atMost: limit }],
    lanes: (kit) => {
      const list = randomPages(IOVA, 512);
      const setup = guestWithDevices({ pages: 512 });
      const { guest } = setup;
      const queue = guest.allocate();
      const status = guest.allocate();
      const side = createUnit(kit, setup, queue);
      const driver = new QueueDriver(side.unit, guest, queue, status);
      const filled = { ...side, list };
      return {
        viommu: {
          ...(live && { ops: 256, prepare: () => translateWindow(filled, 0, list.length) }),
          run: (start, count) => queueWindow(driver, list, start, count),
        },
        ...eachBaseline(kit, setup, {}, (iotlb, name) => {
          kit.native.attachQueue(iotlb, guest.buffer, queue, 4096);
          const fill = () => kit.native.translate(iotlb, 0, list.values, 0, list.length, 0);
          return {
            ...(live && { ops: name === "glib" ? 32 : 256, prepare: fill }),
            run: (start, count) =>
              kit.native.queuePages(iotlb, 0, list.values, start, count, status),
          };
        }),
      };
    },
  };
}

function queueWindow(driver, { pairs, length }, start, count) {
  let failures = 0;
  for (let i = start; i < start + count; i++) {
    const at = (i & (length - 1)) << 1;
    if (!driver.invalidatePage(DOMAIN_ID, pairs[at], pairs[at | 1], i)) failures += 1;
  }
  return failures;
}
