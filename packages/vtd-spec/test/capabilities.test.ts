import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  CAPABILITY_RULES,
  decodeCapabilities,
  domainIdWidth,
  encodeCapabilities,
  maxGuestAddressWidth,
  type Capabilities,
} from "../src/index.ts";
import { offering, PROPERTY } from "./layouts.ts";

const nonZero = (capabilities: Capabilities): Partial<Capabilities> =>
  Object.fromEntries(Object.entries(capabilities).filter(([, value]) => value !== 0));

/** Texts of the rules that don't hold. */
function broken(capabilities: Capabilities): string[] {
  return CAPABILITY_RULES.filter(({ capability, needs = [], excludes = [], values }) => {
    const value = capabilities[capability];
    if (values !== undefined && !values.includes(value)) return true;
    if (value === 0) return false;
    return (
      needs.some((name) => capabilities[name] === 0) ||
      excludes.some((name) => capabilities[name] !== 0)
    );
  }).map((rule) => rule.text);
}

const REPORTED: readonly [string, bigint, bigint][] = [
  ["QEMU, legacy, 48 bits", 0x80d2008c222f0606n, 0xf00f4an],
  ["QEMU, legacy, 39 bits", 0x80d2008c22260206n, 0xf00f4an],
  ["QEMU, second stage", 0x80d2008c222f0606n, 0x480080f00f4an],
  ["QEMU, first stage", 0x80d2008c222f0606n, 0x880000f00f4an],
];

describe("VT-d 11.4.2-11.4.3 capabilities", () => {
  it("decode as numbers, those not reported as 0", () => {
    expect(nonZero(decodeCapabilities(0x80d2008c222f0606n, 0x480080f00f4an))).toEqual({
      ESRTPS: 1,
      DRD: 1,
      DWD: 1,
      MAMV: 18,
      PSI: 1,
      SSLPS: 3,
      FRO: 0x22,
      MGAW: 47,
      SAGAW: 6,
      ND: 6,
      SSTS: 1,
      SMTS: 1,
      SRS: 1,
      MHMV: 15,
      IRO: 15,
      PT: 1,
      IR: 1,
      QI: 1,
    });
    expect(Object.keys(decodeCapabilities(0n, 0n))).toHaveLength(21 + 38);
  });

  it("encode what they decode, but for reserved bits", () => {
    const qword = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
    // Bits 58:57, 38, 23, 15:13, 3 and 63, 54, 32, 30, 28, 27, 24, 19:18, 5.
    const capReserved = 0x0600_0040_0080_e008n;
    const ecapReserved = 0x8040_0001_590c_0020n;
    fc.assert(
      fc.property(qword, qword, (cap, ecap) => {
        expect(encodeCapabilities(decodeCapabilities(cap, ecap))).toEqual({
          cap: cap & ~capReserved,
          ecap: ecap & ~ecapReserved,
        });
      }),
      PROPERTY,
    );
  });

  it("encode absent ones as 0, and refuse what doesn't fit", () => {
    expect(encodeCapabilities({ ND: 6, QI: 1 })).toEqual({ cap: 6n, ecap: 2n });
    expect(() => encodeCapabilities({ ND: 8 })).toThrow("CAP.ND can't hold 8");
  });

  it("give widths in bits", () => {
    expect([0, 2, 6].map((ND) => domainIdWidth(offering({ ND })))).toEqual([4, 8, 16]);
    expect(maxGuestAddressWidth(offering({ MGAW: 47 }))).toBe(48);
  });
});

describe("VT-d 11.4.2-11.4.3 rules between capabilities", () => {
  it.each(REPORTED)("hold for %s", (_, cap, ecap) => {
    expect(broken(decodeCapabilities(cap, ecap))).toEqual([]);
  });

  it("say in words what is wrong", () => {
    expect(broken(offering({ SMTS: 1 }))).toEqual(["SMTS must be 0 unless QI is set"]);
    expect(broken(offering({ PRS: 1, QI: 1, DT: 1 }))).toEqual([
      "PRS must be 0 unless DT and SMTS are set",
    ]);
    expect(broken(offering({ RWBF: 1, QI: 1, SMTS: 1 }))).toEqual(["RWBF must be 0 if SMTS is 1"]);
    expect(broken(offering({ SSLPS: 2 }))).toHaveLength(1);
    expect(broken(offering({ SAGAW: 1 }))).toHaveLength(1);
    expect(broken(offering({ ND: 7 }))).toHaveLength(1);
  });

  it("have no circles: a capability never needs itself", () => {
    const needs = new Map(CAPABILITY_RULES.map((rule) => [rule.capability, rule.needs ?? []]));
    const reaches = (from: keyof Capabilities, to: keyof Capabilities): boolean =>
      (needs.get(from) ?? []).some((name) => name === to || reaches(name, to));
    for (const capability of needs.keys()) expect(reaches(capability, capability)).toBe(false);
  });
});
