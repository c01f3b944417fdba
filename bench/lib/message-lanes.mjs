import { createGuestMemory, engineOptions, hiOf, loOf } from "./engine.mjs";
import { Guest } from "./guest-tables.mjs";
import { shuffled } from "./stats.mjs";

const SOURCE_ID = 0x0100;
const ENTRIES = 65_536;

/** MSIs in remappable format for `count` entries in random order: handle in the address, subhandle 0. */
export function msiList(count) {
  return messageList(count, (index) => [
    0xfee0_0018 | ((index & 0x7fff) << 5) | ((index >> 15) << 2),
    0,
  ]);
}

/** Redirection entries of an I/O APIC in remappable format. */
export function redirectionList(count) {
  return messageList(count, (index) => [
    0x30 | ((index >> 15) << 11),
    (1 << 16) | ((index & 0x7fff) << 17),
  ]);
}

function messageList(count, words) {
  const pairs = new Int32Array(count * 2);
  shuffled(count, 5).forEach((index, i) => pairs.set(words(index), 2 * i));
  return { pairs, values: new BigUint64Array(pairs.buffer), length: count };
}

/** Both sides of an interrupt row: `viommu` and `ideal`, over one interrupt-remapping table. */
export function messageLanes(kit, { list, window = messageWindow }) {
  const guest = new Guest(16 * 2 ** 20);
  const table = guest.interruptTable(ENTRIES, SOURCE_ID);
  const lane = messageLane(kit, guest, table, list);
  const lanes = { viommu: { run: (start, count) => window(lane, start, count) } };
  if (kit.native === null) return lanes;
  const unit = kit.native.createRemap(guest.buffer, table, ENTRIES);
  const ioApic = window === redirectionWindow ? 1 : 0;
  const run = (start, count) =>
    kit.native.remap(unit, SOURCE_ID, list.values, start, count, ioApic);
  return { ...lanes, ideal: { run } };
}

function messageLane({ packages }, guest, table, list) {
  const { plugin, memory } = packages;
  const { InterruptRemappingEngine, ioApicMessage } = packages["interrupt-remapping"];
  const engine = new InterruptRemappingEngine({
    ...engineOptions(packages, createGuestMemory(memory, guest)),
    reporter: { interruptFault: () => undefined },
    sink: { deliver: () => undefined },
  });
  engine.latchTable(hiOf(table), loOf(table), Math.log2(ENTRIES), false);
  engine.setEnabled(true);
  const request = new plugin.InterruptRequest();
  request.sourceId = SOURCE_ID;
  return { engine, request, ioApicMessage, list };
}

/** Sends the messages of a list of MSIs. */
function messageWindow(lane, start, count) {
  const { engine, request } = lane;
  const { pairs, length } = lane.list;
  let sum = 0;
  for (let i = start; i < start + count; i++) {
    const at = i & (length - 1);
    request.address = pairs[2 * at];
    request.data = pairs[2 * at + 1];
    sum = (sum + delivered(engine, request)) | 0;
  }
  return sum;
}

/** Sends the messages of a list of redirection entries. */
export function redirectionWindow(lane, start, count) {
  const { engine, request, ioApicMessage } = lane;
  const { pairs, length } = lane.list;
  let sum = 0;
  for (let i = start; i < start + count; i++) {
    const at = i & (length - 1);
    ioApicMessage(pairs[2 * at], pairs[2 * at + 1], request);
    sum = (sum + delivered(engine, request)) | 0;
  }
  return sum;
}

function delivered(engine, request) {
  return engine.remap(request) === 0 ? request.messageAddress + request.messageData : 1 << 31;
}
