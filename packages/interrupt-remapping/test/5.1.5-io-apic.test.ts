import { describe, expect, it } from "vitest";
import { InterruptRequest } from "@viommu/plugin";
import { interruptIndex, ioApicMessage, isRemappable } from "@viommu/interrupt-remapping";

function message(rte: bigint): { address: number; data: number; upper: number } {
  const request = new InterruptRequest();
  request.upper = 7;
  ioApicMessage(Number(rte & 0xffff_ffffn), Number(rte >> 32n), request);
  return { address: request.address >>> 0, data: request.data >>> 0, upper: request.upper };
}

describe("VT-d 5.1.5.1: an RTE in remappable format", () => {
  it.each([
    ["index 12h, edge, vector 30h", 0x0025000000000030n, 0xfee00250, 0x4030, 0x12],
    ["index 3, level, masked, vector = pin 9", 0x000700000001a009n, 0xfee00070, 0xc009, 3],
    ["index 8001h", 0x0003000000000830n, 0xfee00034, 0x4030, 0x8001],
    ["index ffffh", 0xffff000000000800n, 0xfeeffff4, 0x4000, 0xffff],
  ])("%s", (_, rte, address, data, index) => {
    expect(message(rte)).toEqual({ address, data, upper: 0 });
    expect(isRemappable(address)).toBe(true);
    expect(interruptIndex(address, data)).toBe(index);
  });

  it("never sets SHV", () => {
    expect(message(0x0025000000000130n).address).toBe(0xfee00250);
  });
});

describe("an RTE in compatibility format", () => {
  it.each([
    ["physical, fixed, edge", 0x0500000000000041n, 0xfee05000, 0x4041],
    ["logical, level", 0xff0000000000a841n, 0xfeeff004, 0xc041],
    ["lowest priority sets the redirection hint", 0xff00000000000941n, 0xfeeff00c, 0x4141],
    ["NMI", 0x0100000000000400n, 0xfee01000, 0x4400],
    ["ExtINT", 0x0000000000000700n, 0xfee00000, 0x4700],
    ["status, remote IRR, polarity and mask are not sent", 0x0000000000017030n, 0xfee00000, 0x4030],
    ["extended destination id", 0x01fe000000000030n, 0xfee01fe0, 0x4030],
  ])("%s", (_, rte, address, data) => {
    expect(message(rte)).toEqual({ address, data, upper: 0 });
    expect(isRemappable(address)).toBe(false);
  });
});
