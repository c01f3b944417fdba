// Remaps interrupts in an emulator that has nothing but its own APIC: `interrupt-remapping` alone.
import { InterruptRemappingEngine } from "@viommu/interrupt-remapping";
import { createMemory } from "@viommu/memory";
import { createHookTable, InterruptRequest, InterruptResult } from "@viommu/plugin";
import type { InterruptSink } from "@viommu/plugin";
import { decodeCapabilities, encode, faultReason, IRTE_REMAPPED } from "@viommu/vtd-spec";

/** What the emulator has already: an APIC for each CPU, and guest memory in an ArrayBuffer. */
class Apic {
  readonly requested: number[] = [];
  readonly id: number;
  constructor(id: number) {
    this.id = id;
  }
}
const apics = new Map([7, 300].map((id) => [id, new Apic(id)]));
const buffer = new ArrayBuffer(2 ** 20);

/** Hands a message in MSI form to the emulator's APICs. Bits 63:40 of the address: id bits 31:8. */
const sink: InterruptSink = {
  deliver(upper, address, data) {
    const id = (upper & ~0xff) | ((address >>> 12) & 0xff);
    apics.get(id)?.requested.push(data & 0xff);
  },
};

const memory = createMemory({ regions: [{ base: 0, size: buffer.byteLength, buffer }] });
const engine = new InterruptRemappingEngine({
  memory,
  capabilities: decodeCapabilities(0n, 0x1an), // queued invalidation, remapping, x2APIC ids
  hostAddressWidth: 39,
  segment: 0,
  unit: "ir",
  hooks: createHookTable(),
  reporter: {
    interruptFault: (reason, request, index) => {
      const name = faultReason(reason)?.name;
      console.log(`blocked: entry ${index} for requester ${request.sourceId}: ${name}`);
    },
  },
  sink,
});

// The guest's table at 8000h, 256 entries. Entry 5: vector 31h for APIC 300, from 00:02.0 only.
const fields = { P: 1, V: 0x31, DST: 300, SID: 0x0010, SVT: 1 };
encode(IRTE_REMAPPED, fields).forEach((word, i) => {
  memory.write32(0x8000 + 5 * 16 + i * 4, word);
});
engine.latchTable(0, 0x8000, 8, true);
engine.setEnabled(true);

/** Where the emulator used to write MSIs into its APICs. */
function msi(sourceId: number, address: number, data: number): void {
  request.sourceId = sourceId;
  request.address = address;
  request.data = data;
  if (engine.remap(request) !== InterruptResult.DELIVER) return;
  sink.deliver(request.messageUpper, request.messageAddress, request.messageData);
}
const request = new InterruptRequest();

msi(0x0010, 0xfee0_00b0, 0); // remappable format, handle 5
msi(0x0018, 0xfee0_00b0, 0); // another device uses that entry
msi(0x0010, 0xfee0_7000, 0x41); // the old format, to APIC 7 directly
for (const apic of apics.values()) console.log(`APIC ${apic.id}:`, apic.requested);

/* prints:
blocked: entry 5 for requester 24: IR_SOURCE_ID
blocked: entry -1 for requester 16: IR_COMPATIBILITY_BLOCKED
APIC 7: []
APIC 300: [ 49 ]
*/
