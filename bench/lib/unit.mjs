import { createGuestMemory } from "./engine.mjs";
import { GCMD, IQA, IQT, QIE, RTADDR, SRTP, TE } from "./registers.mjs";

/** Bytes of a descriptor and of the queue (IQA.QS = 0). */
const DESCRIPTOR = 16;
const QUEUE_BYTES = 4096;

/** A unit over the tables of `guestWithDevices`, set up by its registers as a driver does. */
export function createUnit({ packages }, { guest, devices, rootTable }, queue) {
  const { plugin, memory, vtd } = packages;
  const unit = vtd.createUnit({
    name: "bench",
    base: 0xfed9_0000,
    profile: vtd.createProfile({ hostAddressWidth: 46, addressWidths: [39, 48, 57] }),
    memory: createGuestMemory(memory, guest),
    sink: { deliver: () => undefined },
  });
  unit.write(RTADDR, 8, rootTable, 0);
  unit.write(GCMD, 4, SRTP, 0);
  unit.write(IQA, 8, queue, 0);
  unit.write(IQT, 8, 0, 0);
  unit.write(GCMD, 4, QIE, 0);
  unit.write(GCMD, 4, QIE | TE, 0);
  const request = new plugin.DmaRequest();
  request.sourceId = devices[0].sourceId;
  request.access = plugin.Access.READ;
  return { unit, engine: unit.dma, request };
}

/** A driver's end of the invalidation queue. */
export class QueueDriver {
  #tail = 0;

  constructor(unit, guest, queue, status) {
    this.unit = unit;
    this.words = guest.words;
    this.queue = queue;
    this.status = status;
  }

  /**
   * A page-selective IOTLB invalidation and a wait with status write (VT-d 6.5.2); true when the
   * unit has stored `value` by the time the tail is written.
   */
  invalidatePage(domainId, hi, lo, value) {
    const { words } = this;
    const at = (this.queue + this.#tail) >> 2;
    words[at] = 0x32 | (domainId << 16);
    words[at + 1] = 0;
    words[at + 2] = (lo & 0x3fff_f000) | (hi << 30);
    words[at + 3] = hi >> 2;
    words[at + 4] = 0x25;
    words[at + 5] = value;
    words[at + 6] = this.status;
    words[at + 7] = 0;
    this.#tail = (this.#tail + 2 * DESCRIPTOR) & (QUEUE_BYTES - 1);
    this.unit.write(IQT, 8, this.#tail, 0);
    return words[this.status >> 2] === value;
  }
}
