import { describe, expect, it } from "vitest";
import { readTrace } from "../src/reader.ts";
import { profileOf } from "../src/replay-unit.ts";
import { isClean, replayTrace } from "../src/report.ts";
import { HEADER, plain, text } from "./lines.ts";

const CAP = 0x80d2_008c_222f_0606n;
const ECAP = 0xf0_0f4an;

/** A trace of a unit with these members: a guest reads CAP and ECAP. */
async function replay(unit: object): Promise<boolean> {
  const header = { ...HEADER, unit: { ...HEADER.unit, ...unit } };
  const { cap, ecap } = header.unit;
  const read = (offset: string, value: string): object => ({
    e: "mmio-read",
    offset,
    size: 8,
    value,
  });
  const events = [{ e: "reset" }, read("0x8", cap), read("0x10", ecap)];
  return isClean(replayTrace(await readTrace(plain(text(events, header)))));
}

async function widthOf(unit: object): Promise<number> {
  const header = { ...HEADER, unit: { ...HEADER.unit, ...unit } };
  return profileOf((await readTrace(plain(text([], header)))).header).hostAddressWidth;
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;

describe("unit of a replay", () => {
  it.each(["0x0", "0xfffffffffffff000", "0xfed90800", "0x3fffffe00000"])(
    "has whatever base the guest saw: %s",
    async (base) => {
      expect(await replay({ base })).toBe(true);
    },
  );

  it("takes the host address width from aw-bits, as far as MGAW and table entries reach", async () => {
    const wide = hex((CAP & ~(0x3fn << 16n)) | (0x38n << 16n) | 0x800n); // 57 bits, five levels
    expect(await widthOf({ options: { "aw-bits": 39 } })).toBe(39);
    expect(await widthOf({ options: {} })).toBe(48);
    expect(await widthOf({})).toBe(48);
    expect(await widthOf({ options: { "aw-bits": 57 } })).toBe(48);
    expect(await widthOf({ cap: wide, options: { "aw-bits": 57 } })).toBe(52);
    expect(await replay({ cap: wide, options: { "aw-bits": 57 } })).toBe(true);
  });

  const SMTS = 1n << 43n;
  const SSTS = 1n << 46n;
  const FSTS = 1n << 47n;
  const SRS = 1n << 31n;
  const PASID = 1n << 40n;
  const DT = 1n << 2n;
  it.each<[string, bigint, bigint]>([
    ["39 bits", 0xd2_008c_2226_0206n, ECAP],
    ["caching mode, no draining", (CAP | (1n << 7n)) & ~(3n << 54n), ECAP],
    ["without DMA translation", CAP & ~(0x1fn << 8n), ECAP],
    ["without interrupt remapping", CAP, 0xf42n],
    ["without pass-through, with snoop control", CAP, (ECAP & ~0x40n) | 0x80n],
    ["scalable mode, second stage", CAP, ECAP | SMTS | SRS | SSTS],
    ["PASIDs of one bit", CAP, ECAP | SMTS | SRS | SSTS | PASID],
    ["first stage without 1 GiB pages, PASIDs", CAP, ECAP | SMTS | FSTS | PASID | (7n << 35n)],
    [
      "page requests",
      CAP | (1n << 56n),
      ECAP | SMTS | FSTS | PASID | DT | (19n << 35n) | (1n << 29n) | (1n << 42n) | (1n << 33n),
    ],
  ])("exists for CAP and ECAP of other configurations: %s", async (_, cap, ecap) => {
    expect(await replay({ cap: hex(cap), ecap: hex(ecap) })).toBe(true);
  });
});
