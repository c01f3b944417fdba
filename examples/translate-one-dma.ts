// A unit, one mapped page, one DMA: what the README says, and no more.
import { createDmaPort, createMemory } from "@viommu/memory";
import { createProfile, createUnit } from "@viommu/vtd";

const memory = createMemory({ regions: [{ base: 0, size: 2 ** 20 }] });
const unit = createUnit({
  name: "dmar0",
  base: 0xfed9_0000,
  profile: createProfile({ addressWidths: [48] }),
  memory,
  sink: { deliver: () => undefined },
});

memory.write64(0x1000, 0x2001n); // root entry of bus 0
memory.write64(0x2080, 0x3001n); // context entry of 00:01.0 (devfn 8): tables at 3000h,
memory.write64(0x2088, 0x202n); // four levels, domain 2
memory.write64(0x3000, 0x4003n);
memory.write64(0x4000, 0x5003n);
memory.write64(0x5000, 0x6003n);
memory.write64(0x6028, 0x8003n); // page 5 is page 8

unit.write(0x20, 8, 0x1000, 0); // RTADDR
unit.write(0x18, 4, 1 << 30, 0); // GCMD.SRTP
unit.write(0x18, 4, 1 << 31, 0); // GCMD.TE

const port = createDmaPort({ memory, remapper: unit.dma, sourceId: 0x0008 });
console.log("result", port.write(0x5040, Uint8Array.of(1, 2, 3, 4)));
console.log("at 8040h:", memory.read32(0x8040).toString(16));

/* prints:
result 0
at 8040h: 4030201
*/
