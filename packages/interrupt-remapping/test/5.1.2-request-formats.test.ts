import { describe, expect, it } from "vitest";
import { InterruptRequest } from "@viommu/plugin";
import { FaultReason } from "@viommu/vtd-spec";
import {
  INDEX_RESERVED,
  interruptIndex,
  isInterruptAddress,
  isRemappable,
} from "@viommu/interrupt-remapping";
import { createHarness, remappable, TABLE, X2APIC_ENTRY } from "./harness.ts";

/** Compatibility format: APIC id 7, vector 41h. */
const COMPATIBLE = [0xfee07000, 0x4041] as const;
const PASSED = "00000000 fee07000 00004041";

describe("VT-d 5.1.2.2: the index of a request in remappable format", () => {
  it.each([
    ["0xfee00258, 0: Linux, index 12h, SHV 1", 0xfee00258, 0, 0x12],
    ["0xfee0003c, 0: handle 15 is address bit 2", 0xfee0003c, 0, 0x8001],
    ["0xfee000b0: index 5, SHV 0", 0xfee000b0, 0, 5],
    ["0xfee00258, 3: multiple message MSI", 0xfee00258, 3, 0x15],
    ["data is ignored while SHV is 0", 0xfee000b0, 0xffff_ffff, 5],
    ["handle and subhandle do not wrap at 16 bits", 0xfeeffffc, 0xffff, 0x1fffe],
    ["data 31:16 are reserved while SHV is 1", 0xfee00258, 0x10000, INDEX_RESERVED],
    ["data bit 31 is reserved while SHV is 1", 0xfee00258, 0x8000_0000, INDEX_RESERVED],
    ["address 1:0 are ignored", 0xfee0025b, 0, 0x12],
  ])("%s", (_, address, data, index) => {
    expect(interruptIndex(address, data)).toBe(index);
    expect(interruptIndex(address | 0, data | 0)).toBe(index);
    expect(isRemappable(address)).toBe(true);
  });

  it("is there for FEEx_xxxxh only", () => {
    expect(isInterruptAddress(0, 0xfee00000)).toBe(true);
    expect(isInterruptAddress(0, 0xfeefffff | 0)).toBe(true);
    expect(isInterruptAddress(0, 0xfedffffc)).toBe(false);
    expect(isInterruptAddress(0, 0xfef00000)).toBe(false);
    expect(isInterruptAddress(1, 0xfee00000)).toBe(false);
    expect(isRemappable(0xfee07000)).toBe(false);
  });
});

describe("VT-d 5.1.4: while remapping is off", () => {
  it("a request passes unchanged, in whatever format", () => {
    const { engine, send } = createHarness();
    engine.setEnabled(false);
    expect(send(...COMPATIBLE)).toBe(PASSED);
    expect(send(0xfee00258, 0x12345)).toBe("00000000 fee00258 00012345");
  });

  it("a request is blocked (2Bh) where remapping is required", () => {
    const { engine, send, blocked } = createHarness({ capabilities: { IRREQ: 1 } });
    engine.setEnabled(false);
    expect(send(...COMPATIBLE)).toBe(FaultReason.IR_REQUIRED);
    expect(send(0xfee00258)).toBe(0x2b);
    expect(blocked[0]).toEqual({ reason: 0x2b, index: -1, suppressed: false });
    engine.setEnabled(true);
    expect(send(...COMPATIBLE)).toBe(FaultReason.IR_COMPATIBILITY_BLOCKED);
  });
});

describe("VT-d 5.1.4: extended interrupt mode", () => {
  it("where it is required and off blocks every request (2Ah)", () => {
    const { engine, entry, latch, send, blocked } = createHarness({ capabilities: { EIMER: 1 } });
    entry(0x12, X2APIC_ENTRY);
    latch(false);
    engine.setCompatibility(true);
    expect(send(0xfee00258)).toBe(FaultReason.EIM_REQUIRED);
    expect(send(...COMPATIBLE)).toBe(0x2a);
    expect(blocked[0]).toEqual({ reason: 0x2a, index: -1, suppressed: false });
    latch(true);
    expect(send(0xfee00258)).toBe("00000000 fee05008 00004031");
    engine.setEnabled(false);
    latch(false);
    expect(send(...COMPATIBLE)).toBe(PASSED);
  });
});

describe("VT-d 5.1.4: a request in compatibility format while remapping is on", () => {
  it("is blocked (25h) unless CFIS is 1 and EIME is 0", () => {
    const { engine, latch, send, blocked } = createHarness();
    expect(send(...COMPATIBLE)).toBe(FaultReason.IR_COMPATIBILITY_BLOCKED);
    engine.setCompatibility(true);
    expect(send(...COMPATIBLE)).toBe(0x25);
    latch(false);
    expect(send(...COMPATIBLE)).toBe(PASSED);
    engine.setCompatibility(false);
    expect(send(...COMPATIBLE)).toBe(0x25);
    expect(blocked).toEqual(Array(3).fill({ reason: 0x25, index: -1, suppressed: false }));
  });
});

describe("VT-d 5.1.3: a request in remappable format", () => {
  it("with reserved data bits is blocked (20h)", () => {
    const { send, blocked } = createHarness();
    expect(send(0xfee00258, 0x10000)).toBe(FaultReason.IR_REQUEST_RESERVED);
    expect(blocked).toEqual([{ reason: 0x20, index: -1, suppressed: false }]);
  });

  it("with reserved data bits is blocked, also where handle plus signed data is a valid index", () => {
    const { send } = createHarness();
    expect(send(0xfee00258, 0xffff_ffff | 0)).toBe(FaultReason.IR_REQUEST_RESERVED);
    expect(send(0xfee00258, 0xffff_fff0 | 0)).toBe(FaultReason.IR_REQUEST_RESERVED);
  });

  it("with an index at or above the size of the table is blocked (21h)", () => {
    const { entry, latch, send, blocked } = createHarness();
    for (const index of [2, 3]) entry(index, X2APIC_ENTRY);
    latch(true, TABLE, 1);
    expect(send(remappable(2))).toBe(FaultReason.IR_INDEX_BEYOND_TABLE);
    latch(true, TABLE, 2);
    expect(send(remappable(3))).toBe("00000000 fee05008 00004031");
    expect(send(remappable(4))).toBe(0x21);
    expect(blocked.map(({ index }) => index)).toEqual([2, 4]);
  });

  it("does not come out at the other end when handle and subhandle exceed 16 bits", () => {
    const { entry, latch, send, blocked } = createHarness();
    entry(0, X2APIC_ENTRY);
    entry(0xffff, X2APIC_ENTRY);
    latch(true, TABLE, 16);
    expect(send(0xfeeffffc, 0)).toBe("00000000 fee05008 00004031");
    expect(send(0xfeeffffc, 1)).toBe(0x21);
    expect(blocked).toEqual([{ reason: 0x21, index: 0x10000, suppressed: false }]);
  });

  it("is malformed (29h) when it is not written to FEEx_xxxxh", () => {
    const { engine, request, send, blocked } = createHarness();
    expect(send(0xfed00258)).toBe(FaultReason.IR_MALFORMED);
    Object.assign(request, { address: 0xfee00258, upper: 1 });
    expect(engine.remap(request)).toBe(0x29);
    engine.setEnabled(false);
    expect(engine.remap(request)).toBe(0x29);
    expect(blocked).toEqual(Array(3).fill({ reason: 0x29, index: -1, suppressed: false }));
  });
});

describe("power-on state", () => {
  it("passes everything, and comes back by reset", () => {
    const { engine, send } = createHarness();
    engine.setCompatibility(true);
    engine.reset();
    expect(send(...COMPATIBLE)).toBe(PASSED);
    engine.setEnabled(true);
    expect(send(...COMPATIBLE)).toBe(0x25);
    expect(send(remappable(2))).toBe(0x21);
    expect(engine.probe(new InterruptRequest())).toBe(0x29);
  });
});
