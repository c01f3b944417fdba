// Walks the DMA tables in a memory dump of a Linux guest, with `translation` alone.
// A dump in the LiME format: ranges of memory, each behind a header of 32 bytes. Here it is what is
// left of a Linux 6.12 with a virtio disk at 00:03.0; yours comes from LiME, or QEMU's dump commands.
import { readFileSync } from "node:fs";
import { createMemory } from "@viommu/memory";
import type { MemoryRegion } from "@viommu/memory";
import { Access, createHookTable, DmaRequest } from "@viommu/plugin";
import { hiFromNumber, loFromNumber, toNumber } from "@viommu/plugin";
import { TranslationEngine } from "@viommu/translation";
import { decodeCapabilities, faultReason } from "@viommu/vtd-spec";

const dump = readFileSync(new URL("data/linux-6.12.lime", import.meta.url));
const buffer = new Uint8Array(dump).buffer;

const regions: MemoryRegion[] = [];
for (let at = 0; at < dump.length; at += 32 + regions.at(-1)!.size) {
  if (dump.readUInt32LE(at) !== 0x4c69_4d45) throw new Error(`no LiME header at byte ${at}`);
  const base = Number(dump.readBigUInt64LE(at + 8));
  const last = Number(dump.readBigUInt64LE(at + 16));
  regions.push({ base, size: last + 1 - base, buffer, bufferOffset: at + 32 });
}

// Three numbers of the machine that was dumped: CAP, ECAP, and the root table (RTADDR).
const engine = new TranslationEngine({
  memory: createMemory({ regions }),
  capabilities: decodeCapabilities(0x80d2_008c_222f_0606n, 0xf0_0f4an),
  hostAddressWidth: 48,
  segment: 0,
  unit: "dump",
  hooks: createHookTable(),
  reporter: { dmaFault: () => undefined },
});
engine.latchRoot(hiFromNumber(0x127a_4000), loFromNumber(0x127a_4000), 0, false);
engine.setEnabled(true);

const request = new DmaRequest();
const hex = (value: number): string => value.toString(16);

/** Asks without changing anything: `probe` sets no flags and reports no fault. */
function explain(sourceId: number, address: number, access: number): string {
  request.sourceId = sourceId;
  request.access = access;
  request.hi = hiFromNumber(address);
  request.lo = loFromNumber(address);
  const result = engine.probe(request);
  if (result !== 0) return `${hex(address)}: ${faultReason(result)?.name}`;
  const rights = (request.granted & Access.WRITE) === 0 ? "read only" : "read, write";
  return `${hex(address)} -> ${hex(toNumber(request.outHi, request.outLo))} (${rights})`;
}

const disk = 0x0018; // bus 0, device 3, function 0
console.log(explain(disk, 0xffff_d242, Access.WRITE));
console.log(explain(disk, 0xfff5_ce00, Access.READ));
console.log(explain(disk, 0xfff5_ce00, Access.WRITE));
console.log(explain(disk, 0x1000, Access.READ));
console.log(explain(0x0700, 0x1000, Access.READ));

/* prints:
ffffd242 -> 115ca242 (read, write)
fff5ce00 -> 278fe00 (read only)
fff5ce00: WRITE_DENIED
1000: READ_DENIED
1000: ROOT_NOT_PRESENT
*/
