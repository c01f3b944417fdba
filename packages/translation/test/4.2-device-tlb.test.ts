import { Access, AddressType } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { secondStageBench } from "./support/machine.ts";

const { READ, WRITE, ATOMIC, BYPASS } = Access;
const translation = AddressType.TRANSLATION_REQUEST;
const translated = AddressType.TRANSLATED;
const NO_RIGHTS = { result: 0, out: 0n, pageShift: 12, granted: 0 };

function atsBench(capabilities = {}): ReturnType<typeof secondStageBench> {
  return secondStageBench({ capabilities }, { tt: 1n });
}

describe("VT-d 4.2.3, translation requests in legacy mode", () => {
  it.each([
    [3n, READ | WRITE],
    [1n, READ],
    [2n, WRITE],
  ])("R/W = %s: the rights that are there", (rights, granted) => {
    const { bench, root, levels } = atsBench();
    bench.map(root, levels, 0x5000n, 0x9000n | rights);
    const ask = { address: 0x5678n, addressType: translation, access: ATOMIC };
    expect(bench.ask(ask)).toEqual({ result: 0, out: 0x9678n, pageShift: 12, granted });
  });

  it("no rights: success without rights, nothing recorded (LGN.2, LGN.3)", () => {
    const { bench, root, levels } = atsBench();
    bench.map(root, levels, 0x5000n, 0x9000n);
    expect(bench.ask({ address: 0x5000n, addressType: translation })).toEqual(NO_RIGHTS);
    expect(bench.ask({ address: 0x7_0000_0000n, addressType: translation })).toEqual(NO_RIGHTS);
    expect(bench.faults).toEqual([]);
  });

  it("LGN.1.1: beyond the width: success without rights, nothing recorded", () => {
    const { bench } = atsBench();
    expect(bench.ask({ address: 1n << 48n, addressType: translation })).toEqual(NO_RIGHTS);
    expect(bench.faults).toEqual([]);
  });

  it("errors of the tables are faults", () => {
    const { bench, root, levels } = atsBench();
    bench.map(root, levels, 0x5000n, (1n << 51n) | 3n);
    bench.map(root, levels, 1n << 39n, 0x4000_0003n, 3);
    const ask = { addressType: translation };
    expect(bench.reason({ ...ask, address: 0x5000n })).toBe(FaultReason.SS_RESERVED);
    expect(bench.reason({ ...ask, address: 1n << 39n })).toBe(FaultReason.SS_ENTRY_ACCESS);
  });

  it("NW takes write permission away where NWFS is offered", () => {
    for (const [NWFS, granted] of [
      [0, READ | WRITE],
      [1, READ],
    ]) {
      const { bench, root, levels } = atsBench({ NWFS });
      bench.map(root, levels, 0x5000n, 0x9003n);
      const ask = { address: 0x5000n, addressType: translation };
      expect(bench.ask({ ...ask, access: READ }).granted).toBe(granted);
      expect(bench.ask({ ...ask, access: ATOMIC }).granted).toBe(READ | WRITE);
      // the page itself is cached with all its rights
      expect(bench.reason({ address: 0x5000n, access: WRITE })).toBe(0);
    }
  });

  it("tells the rights of the tables, not those of the IOTLB", () => {
    const { bench, root, levels } = atsBench();
    const slot = bench.map(root, levels, 0x5000n, 0x9001n);
    bench.reason({ address: 0x5000n });
    bench.write(slot, 0x9003n);
    expect(bench.ask({ address: 0x5000n, addressType: translation }).granted).toBe(READ | WRITE);
  });

  it("S.1, S.2: an address in FEEx_xxxxh may only be written, untranslated", () => {
    const { bench } = atsBench({ NWFS: 1 });
    const ask = { address: 0xfee0_0000n, addressType: translation };
    expect(bench.ask({ ...ask, access: ATOMIC }).granted).toBe(WRITE | BYPASS);
    expect(bench.ask({ ...ask, access: READ })).toEqual(NO_RIGHTS);
    expect(bench.faults).toEqual([]);
  });
});

describe("VT-d 4.2.5, translated requests in legacy mode", () => {
  it("bypass translation, whatever they ask for", () => {
    const { bench } = atsBench();
    for (const access of [0, READ, WRITE, ATOMIC]) {
      for (let round = 0; round < 2; round += 1) {
        expect(bench.ask({ address: 0x1_2345n, addressType: translated, access })).toEqual({
          result: 0,
          out: 0x1_2345n,
          pageShift: 30,
          granted: READ | WRITE | BYPASS,
        });
      }
    }
  });

  it("LGN.1.2: beyond the host address width", () => {
    const { bench } = atsBench();
    expect(bench.reason({ address: 1n << 46n, addressType: translated })).toBe(
      FaultReason.ADDRESS_BEYOND_WIDTH,
    );
    expect(bench.reason({ address: (1n << 46n) - 1n, addressType: translated })).toBe(0);
  });

  it("LGN.4: into FEEx_xxxxh", () => {
    const { bench } = atsBench();
    expect(bench.reason({ address: 0xfee1_0000n, addressType: translated })).toBe(
      FaultReason.OUTPUT_IN_INTERRUPT_RANGE,
    );
  });

  it("what is cached for them does not answer untranslated requests", () => {
    const { bench, root, levels } = atsBench();
    bench.map(root, levels, 0x5000n, 0x9003n);
    bench.ask({ address: 0x5000n, addressType: translated });
    expect(bench.ask({ address: 0x5000n }).out).toBe(0x9000n);
    expect(bench.ask({ address: 0x5000n, addressType: translated }).out).toBe(0x5000n);
  });
});
