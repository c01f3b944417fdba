import { DmaResult } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { Bench, CONTEXT, DEVICE, ROOT, secondStageBench } from "./support/machine.ts";

const READ = 1;
const FAR = 0x4000_0000n; // no memory there
const at = { address: 0x1000n, access: READ };

describe("VT-d 7.1.3, root table: LRT, RTA", () => {
  it("LRT.1: the root entry can't be read", () => {
    const bench = new Bench();
    bench.latch(FAR);
    expect(bench.ask(at)).toEqual({ result: FaultReason.ROOT_ACCESS, suppressed: false });
    expect(bench.faults).toEqual([[FaultReason.ROOT_ACCESS, DEVICE, 0x1000n, false]]);
  });

  it("LRT.1: the root table lies beyond every width", () => {
    const bench = new Bench();
    bench.latch(0xffff_0000_0000_0000n);
    expect(bench.reason(at)).toBe(FaultReason.ROOT_ACCESS);
  });

  it("LRT.2: the root entry is not present, whatever else it holds", () => {
    const bench = new Bench();
    expect(bench.reason(at)).toBe(FaultReason.ROOT_NOT_PRESENT);
    bench.write(ROOT, 0xffff_ffff_ffff_fffen, -1n);
    expect(bench.reason(at)).toBe(FaultReason.ROOT_NOT_PRESENT);
  });

  it.each([
    ["bit 1", 0x3n, 0n],
    ["bit 11", 0x801n, 0n],
    ["a bit at the host address width", (1n << 46n) | 1n, 0n],
    ["bit 63", (1n << 63n) | 1n, 0n],
    ["bit 64", 0x1n, 1n],
    ["bit 127", 0x1n, 1n << 63n],
  ])("LRT.3: reserved %s", (_name, low, high) => {
    const bench = new Bench();
    bench.write(ROOT, CONTEXT | low, high);
    expect(bench.reason(at)).toBe(FaultReason.ROOT_RESERVED);
  });

  it("takes the root entry of the bus and the context entry of the device-function", () => {
    const bench = new Bench();
    const tables = [bench.page(), bench.page()] as const;
    bench.write(ROOT + 16n * 0x7fn, tables[0] | 1n);
    bench.write(ROOT + 16n * 0xffn, tables[1] | 1n);
    bench.write(tables[0] + 16n * 0xffn, 0x9n, 0x103n); // pass-through
    expect(bench.ask({ ...at, sourceId: 0x7fff }).out).toBe(0x1000n);
    expect(bench.reason({ ...at, sourceId: 0xffff })).toBe(FaultReason.CONTEXT_NOT_PRESENT);
    expect(bench.reason({ ...at, sourceId: 0x00ff })).toBe(FaultReason.ROOT_NOT_PRESENT);
  });

  it("RTA.1: modes that are not offered", () => {
    const bench = new Bench();
    for (const ttm of [1, 2, 3]) {
      bench.latch(ROOT, ttm);
      expect(bench.reason(at)).toBe(FaultReason.TTM_INVALID);
      expect(bench.reason({ ...at, pasid: 5 })).toBe(FaultReason.TTM_INVALID);
      expect(bench.reason({ ...at, addressType: 1 })).toBe(FaultReason.TTM_INVALID);
      expect(bench.reason({ ...at, addressType: 2 })).toBe(FaultReason.TTM_INVALID);
    }
  });

  it("RTA.1.4: SSIRWE in legacy mode; a PASID is refused first", () => {
    const bench = new Bench({ ssirwe: true });
    expect(bench.reason(at)).toBe(FaultReason.TTM_INVALID);
    expect(bench.reason({ ...at, pasid: 5 })).toBe(FaultReason.PASID_IN_LEGACY);
  });

  it("RTA.2: a request with PASID in legacy mode", () => {
    const { bench } = secondStageBench();
    for (const addressType of [0, 1, 2]) {
      expect(bench.reason({ ...at, pasid: 0, addressType })).toBe(FaultReason.PASID_IN_LEGACY);
    }
  });

  it("RTA.4: abort-DMA mode blocks and reports everything", () => {
    const bench = new Bench({ capabilities: { ADMS: 1 }, ttm: 3 });
    for (const addressType of [0, 1, 2]) {
      expect(bench.reason({ ...at, addressType })).toBe(FaultReason.ABORT_MODE);
      expect(bench.reason({ ...at, addressType, pasid: 1 })).toBe(FaultReason.ABORT_MODE);
    }
    expect(bench.faults).toHaveLength(6);
  });

  it("root faults are not qualified", () => {
    const bench = new Bench();
    bench.write(ROOT, CONTEXT | 3n); // reserved bit 1, where FPD would be
    expect(bench.ask(at).suppressed).toBe(false);
  });
});

describe("VT-d 7.1.3, context table: LCT", () => {
  it("LCT.1: the context entry can't be read; not qualified", () => {
    const bench = new Bench();
    bench.write(ROOT, FAR | 1n);
    expect(bench.ask(at)).toEqual({ result: FaultReason.CONTEXT_ACCESS, suppressed: false });
  });

  it("LCT.2: the context entry is not present", () => {
    const bench = new Bench();
    bench.context(0xffff_ffff_ffff_fffcn, -1n);
    expect(bench.ask(at)).toEqual({ result: FaultReason.CONTEXT_NOT_PRESENT, suppressed: false });
  });

  it("LCT.2: FPD counts although P is 0", () => {
    const bench = new Bench();
    bench.context(2n, 0n);
    expect(bench.ask(at)).toEqual({ result: FaultReason.CONTEXT_NOT_PRESENT, suppressed: true });
    expect(bench.faults).toEqual([[FaultReason.CONTEXT_NOT_PRESENT, DEVICE, 0x1000n, true]]);
  });

  it.each([
    ["bit 4", 0x11n, 0x502n],
    ["bit 11", 0x801n, 0x502n],
    ["a bit at the host address width", (1n << 46n) | 1n, 0x502n],
    ["bit 71", 1n, 0x582n],
    ["bit 88", 1n, 0x100_0502n],
    ["bit 127", 1n, (1n << 63n) | 0x502n],
  ])("LCT.3: reserved %s", (_name, low, high) => {
    const bench = new Bench();
    bench.context(low, high);
    expect(bench.ask(at)).toEqual({ result: FaultReason.CONTEXT_RESERVED, suppressed: false });
    bench.context(low | 2n, high);
    expect(bench.ask(at)).toEqual({ result: FaultReason.CONTEXT_RESERVED, suppressed: true });
  });

  it("LCT.3: a domain-id wider than CAP.ND allows", () => {
    const bench = new Bench({ capabilities: { ND: 2 } }); // 8 bits
    bench.context(0x9n, 0xff03n);
    expect(bench.reason(at)).toBe(0);
    bench.engine.invalidateAll();
    bench.context(0x9n, 0x1_0003n);
    expect(bench.reason(at)).toBe(FaultReason.CONTEXT_RESERVED);
  });

  it("bits 70:67 are ignored", () => {
    const bench = new Bench();
    bench.context(0x9n, 0x57bn);
    expect(bench.reason(at)).toBe(0);
  });

  it.each([
    [0n, 0b1110],
    [1n, 0b1100],
    [2n, 0b1010],
    [3n, 0b0110],
    [4n, 0b1110],
    [7n, 0b1110],
  ])("LCT.4.1: AW %s with SAGAW %s, also for pass-through", (aw, SAGAW) => {
    const bench = new Bench({ capabilities: { SAGAW } });
    for (const tt of [0n, 1n, 2n]) {
      bench.context((tt << 2n) | 1n, 0x500n | aw);
      expect(bench.reason(at)).toBe(FaultReason.CONTEXT_INVALID);
    }
  });

  it.each([
    ["01b without DT", 1n, { DT: 0 }],
    ["10b without PT", 2n, { PT: 0 }],
    ["11b", 3n, {}],
  ])("LCT.4.2: TT %s", (_name, tt, capabilities) => {
    const bench = new Bench({ capabilities });
    bench.context((tt << 2n) | 1n, 0x502n);
    expect(bench.reason(at)).toBe(FaultReason.CONTEXT_INVALID);
  });

  it("LCT.4.3: the top second-stage entry can't be read", () => {
    const bench = new Bench();
    bench.context(FAR | 1n, 0x502n);
    expect(bench.reason(at)).toBe(FaultReason.CONTEXT_INVALID);
  });

  it.each([
    ["00b", 0n],
    ["10b", 2n],
  ])("LCT.5: TT %s blocks translation requests and translated requests", (_name, tt) => {
    const bench = new Bench();
    bench.context((tt << 2n) | 3n, 0x502n);
    for (const addressType of [1, 2]) {
      expect(bench.ask({ ...at, addressType })).toEqual({
        result: FaultReason.REQUEST_BLOCKED,
        suppressed: true,
      });
    }
    bench.reason(at); // the entry is cached now
    expect(bench.reason({ ...at, addressType: 2 })).toBe(FaultReason.REQUEST_BLOCKED);
  });

  it("a present entry that leads to a fault is not cached", () => {
    const bench = new Bench();
    bench.context(0xdn, 0x502n);
    expect(bench.reason(at)).toBe(FaultReason.CONTEXT_INVALID);
    bench.context(0x9n, 0x502n);
    expect(bench.reason(at)).toBe(0);
  });
});

describe("VT-d 4.2.1, errors of the ATS protocol", () => {
  it("the reserved address type is refused without a fault", () => {
    const { bench } = secondStageBench();
    expect(bench.reason({ ...at, addressType: 3 })).toBe(DmaResult.ABORTED);
    expect(bench.faults).toEqual([]);
  });
});
