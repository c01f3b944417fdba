import { describe, expect, it } from "vitest";
import { createMmioBus } from "../src/index.ts";
import { thrown } from "./support/code.ts";
import { BUFFERS, Machine, UNIT_BASE } from "./support/machine.ts";

const NIC = { sourceId: 0x0010 };
const NO_QUEUE = { queuedInvalidation: false } as const;
const CCMD = 0x28;
const IVA = 0xf0;
const IOTLB = 0xf8;

describe("a unit without a queue (VT-d 6.5.1)", () => {
  it("is driven by registers: no queue, no interrupt remapping", () => {
    const machine = new Machine({
      units: [{ profile: { ...NO_QUEUE, enhancedSetRootPointer: false } }],
    });
    const driver = machine.start();
    expect(driver.interruptObstacle).toBe("dmar0 has no ECAP.IR");
    expect(driver.units[0]!.queue).toBe(null);
    expect(machine.writes.map(([offset]) => offset)).toEqual([0x20, 0x18, CCMD, IOTLB, 0x18]);
    expect(machine.written(CCMD)).toEqual([0xa000_0000_0000_0000n]); // ICC, global
    expect(machine.written(IOTLB)).toEqual([0x9003_0000_0000_0000n]); // IVT, global, DR, DW
  });

  it("maps and unmaps: page by page, a domain, a device", () => {
    const machine = new Machine({ units: [{ profile: NO_QUEUE }] });
    const driver = machine.start();
    const domain = driver.attach(NIC);
    const iova = domain.map(BUFFERS, 0x4000);
    expect(machine.dma(NIC.sourceId, iova)).toBe(BUFFERS);
    domain.unmap(iova);
    expect(machine.dma(NIC.sourceId, iova)).toBeLessThan(0);
    expect(machine.written(IVA)).toEqual([BigInt(iova) | 0x42n]); // IH, four pages
    expect(machine.written(IOTLB)).toEqual([0xb003_0002_0000_0000n]); // page, domain 2
    driver.detach(NIC);
    expect(machine.written(CCMD)).toEqual([0xe000_0000_0010_0002n]); // device
    expect(machine.written(IOTLB).at(-1)).toBe(0xa003_0002_0000_0000n); // domain
    expect(driver.counters).toMatchObject({ descriptors: 0, waits: 0 });
  });

  it.each([
    ["CCMD.ICC = 0", CCMD],
    ["IOTLB.IVT = 0", IOTLB],
  ])("is given up when a busy bit stays set: %s", (register, offset) => {
    const machine = new Machine({ units: [{ profile: NO_QUEUE }] });
    const bus = createMmioBus([machine.unit]);
    const driver = machine.start({
      bus: {
        read: (address, size, out) => {
          bus.read(address, size, out);
          if (address === UNIT_BASE + offset) out[1] = out[1]! | (1 << 31);
        },
        write: bus.write.bind(bus),
      },
      pollLimit: 10,
    });
    driver.attach(NIC);
    expect(
      thrown(() => {
        driver.detach(NIC);
      }),
    ).toMatchObject({
      code: "ERR_VIOMMU_DRIVER_TIMEOUT",
      message: expect.stringContaining(register) as string,
    });
  });

  it("reports a request that the unit did not carry out (CAIG, IAIG = 0)", () => {
    const machine = new Machine({ units: [{ profile: NO_QUEUE }] });
    const bus = createMmioBus([machine.unit]);
    const driver = machine.start({
      bus: {
        read: bus.read.bind(bus),
        write: (address, size, low, high) => {
          // granularity 0 is reserved
          const spoilt = address === UNIT_BASE + CCMD ? high & ~(3 << 29) : high;
          bus.write(address, size, low, spoilt);
        },
      },
    });
    driver.attach(NIC);
    expect(
      thrown(() => {
        driver.detach(NIC);
      }),
    ).toMatchObject({
      code: "ERR_VIOMMU_DRIVER_REFUSED",
      message: expect.stringContaining("CCMD.CAIG is 0") as string,
    });
  });
});
