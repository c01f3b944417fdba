import { createGuestMemory, engineOptions, hiOf, loOf } from "./engine.mjs";
import { Guest } from "./guest-tables.mjs";
import { msiList } from "./message-lanes.mjs";

const SOURCE_ID = 0x0100;
const ENTRIES = 65_536;
const LIST = msiList(512);
const SVR = 0x80f;
const APIC_ENABLED = 0x1ff;

/**
 * The whole way of an MSI: remapped, delivered, its bit in the IRR of the target. The 512 entries of
 * the list point to vCPUs all over the machine.
 */
export function deliveryLanes({ packages }, vcpus) {
  const { plugin, memory } = packages;
  const { ApicMode, LapicBus, LapicRegisters } = packages["irq-hooks"];
  const { InterruptRemappingEngine } = packages["interrupt-remapping"];
  const guest = new Guest(16 * 2 ** 20);
  const table = guest.interruptTable(ENTRIES, SOURCE_ID);
  for (let i = 0; i < 512; i++) guest.words[(table >> 2) + 4 * i + 1] = (i * 509) % vcpus;
  const bus = new LapicBus({ vcpus, initialMode: ApicMode.X2APIC });
  const registers = new LapicRegisters(bus);
  for (let vcpu = 0; vcpu < vcpus; vcpu++) registers.writeMsr(vcpu, SVR, APIC_ENABLED, 0);
  const engine = new InterruptRemappingEngine({
    ...engineOptions(packages, createGuestMemory(memory, guest)),
    reporter: { interruptFault: () => undefined },
    sink: bus,
  });
  engine.latchTable(hiOf(table), loOf(table), Math.log2(ENTRIES), true);
  engine.setEnabled(true);
  const request = new plugin.InterruptRequest();
  request.sourceId = SOURCE_ID;
  const lane = { engine, bus, request };
  deliver(lane, 0, LIST.length);
  if (bus.pending(0) < 0) throw new Error("no interrupt has reached vCPU 0");
  return { viommu: { run: (start, count) => deliver(lane, start, count) } };
}

function deliver({ engine, bus, request }, start, count) {
  const { pairs, length } = LIST;
  let blocked = 0;
  for (let i = start; i < start + count; i++) {
    const at = i & (length - 1);
    request.address = pairs[2 * at];
    request.data = pairs[2 * at + 1];
    if (engine.remap(request) === 0) {
      bus.deliver(request.messageUpper, request.messageAddress, request.messageData);
    } else {
      blocked++;
    }
  }
  return blocked;
}
