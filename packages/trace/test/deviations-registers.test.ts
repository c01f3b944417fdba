import { describe, expect, it } from "vitest";
import { HEADER } from "./lines.ts";
import { lastOf, verdicts } from "./scripted-unit.ts";
import type { ScriptedUnit } from "./scripted-unit.ts";

const EIM = { ...HEADER, unit: { ...HEADER.unit, ecap: "0xf00f5a" } };

const read = (offset: string, size: number, value: string): object => ({
  e: "mmio-read",
  offset,
  size,
  value,
});
const write = (offset: string, size: number, value: string): object => ({
  e: "mmio-write",
  offset,
  size,
  value,
});

const verdict = async (
  events: readonly object[],
  prepare: (unit: ScriptedUnit) => void,
  header: object = EIM,
): Promise<string> => verdicts((await lastOf(events, prepare, header)).comparisons);

const nothing = (): undefined => undefined;

describe("upper-message-address-ignored", () => {
  const name = "upper-message-address-ignored";

  it.each([
    ["FEUADDR", write("0x44", 4, "0x100"), "0x44"],
    ["FEUADDR, with FEADDR", write("0x40", 8, "0x100fee00000"), "0x44"],
    ["IEUADDR", write("0xac", 4, "0x100"), "0xac"],
  ])("accepts the written value of %s against 0", async (_, written, offset) => {
    expect(await verdict([written, read(offset, 4, "0x0")], nothing)).toBe(
      `mmioRead accepted(${name})`,
    );
    expect(await verdict([written, read(offset, 4, "0x100")], nothing)).toBe("mmioRead equal");
  });

  it("accepts no value that was not written, none without EIM, none after a reset", async () => {
    const events = [write("0x44", 4, "0x100"), read("0x44", 4, "0x0")];
    const other = (unit: ScriptedUnit): unknown => unit.words.set(0x44, 0x200);
    expect(await verdict(events, other)).toBe("mmioRead different");
    expect(await verdict(events, nothing, HEADER)).toBe("mmioRead different");
    const reset = [events[0]!, { e: "reset" }, events[1]!];
    const kept = (unit: ScriptedUnit): unknown => unit.words.set(0x44, 0x100);
    expect(await verdict(reset, kept)).toBe("mmioRead different");
  });

  it("accepts no value of the reference but 0, and no other bit of the group", async () => {
    const events = [write("0x44", 4, "0x100"), read("0x44", 4, "0x300")];
    expect(await verdict(events, nothing)).toBe("mmioRead different");
    const group = [write("0x40", 8, "0x100fee00000"), read("0x40", 8, "0xfee01000")];
    expect(await verdict(group, nothing)).toBe("mmioRead different");
  });

  it("accepts the upper half of a message's address, and nothing else of the message", async () => {
    const message = (address: string, data: string): object[] => [
      write("0x44", 4, "0x100"),
      { ...write("0x38", 4, "0x0"), msi: [[address, data]] },
    ];
    const send =
      (upper: number) =>
      (unit: ScriptedUnit): void => {
        unit.effect = () => {
          unit.sink.deliver(upper, 0xfee0_1000 | 0, 0x20);
        };
      };
    expect(await verdict(message("0xfee01000", "0x20"), send(0x100))).toBe(`msi accepted(${name})`);
    expect(await verdict(message("0xfee01000", "0x20"), send(0x200))).toBe("msi different");
    expect(await verdict(message("0xfee02000", "0x20"), send(0x100))).toBe("msi different");
    expect(await verdict(message("0xfee01000", "0x21"), send(0x100))).toBe("msi different");
    expect(await verdict(message("0xfee01000", "0x20"), send(0x100), HEADER)).toBe("msi different");
  });
});

describe("granularity-as-requested", () => {
  const name = "granularity-as-requested";
  const ccmd = (requested: bigint, done: bigint, rest = 5n): bigint =>
    (requested << 61n) | (done << 59n) | rest;
  const iotlb = (requested: bigint, done: bigint): bigint => (requested << 60n) | (done << 57n);
  const compare = (offset: number, expected: bigint, actual: bigint): Promise<string> =>
    verdict([read(`0x${offset.toString(16)}`, 8, `0x${expected.toString(16)}`)], (unit) => {
      unit.set(offset, actual);
    });

  it("accepts any granularity at least as coarse as the requested one", async () => {
    expect(await compare(0x28, ccmd(3n, 3n), ccmd(3n, 1n))).toBe(`mmioRead accepted(${name})`);
    expect(await compare(0x28, ccmd(2n, 1n), ccmd(2n, 2n))).toBe(`mmioRead accepted(${name})`);
    expect(await compare(0xf8, iotlb(3n, 3n), iotlb(3n, 2n))).toBe(`mmioRead accepted(${name})`);
  });

  it("accepts none that is finer than requested, and not that nothing was done", async () => {
    expect(await compare(0x28, ccmd(1n, 1n), ccmd(1n, 3n))).toBe("mmioRead different");
    expect(await compare(0x28, ccmd(3n, 3n), ccmd(3n, 0n))).toBe("mmioRead different");
    expect(await compare(0xf8, iotlb(3n, 0n), iotlb(3n, 1n))).toBe("mmioRead different");
  });

  it("hides no other bit of the register", async () => {
    expect(await compare(0x28, ccmd(3n, 3n), ccmd(3n, 1n, 4n))).toBe("mmioRead different");
    expect(await compare(0x28, ccmd(3n, 3n), ccmd(2n, 2n))).toBe("mmioRead different");
    expect(await compare(0x28, ccmd(3n, 3n), ccmd(3n, 1n) | (1n << 63n))).toBe(
      "mmioRead different",
    );
  });

  it("applies to no other register", async () => {
    expect(await compare(0x20, ccmd(3n, 3n), ccmd(3n, 1n))).toBe("mmioRead different");
  });
});
