import type { InterruptRequest } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { DMA, IRQ } from "./lines.ts";
import { lastOf, verdicts } from "./scripted-unit.ts";
import type { ScriptedUnit } from "./scripted-unit.ts";

describe("cached-denial-unreported", () => {
  const event = { ...DMA, access: "w", result: { ok: false, cached: true } };

  it("accepts a denial that our unit would report, and leaves no record", async () => {
    const { comparisons, unit } = await lastOf([event], (unit) => {
      unit.onDma = () => 5;
    });
    expect(verdicts(comparisons)).toBe("dma accepted(cached-denial-unreported)");
    expect(unit.calls).toEqual(["probe"]);
  });

  it("does not accept that our unit allows the request", async () => {
    const { comparisons } = await lastOf([event], (unit) => {
      unit.onDma = () => 0;
    });
    expect(verdicts(comparisons)).toBe("dma different");
  });

  it("applies to no other denial", async () => {
    const { comparisons, unit } = await lastOf(
      [{ ...event, result: { ok: false, fault: "0x05" } }],
      (unit) => {
        unit.onDma = () => 5;
      },
    );
    expect(verdicts(comparisons)).toBe("dma equal");
    expect(unit.calls).toEqual(["translate"]);
  });
});

const IRES = 1 << 25;

describe("compat-format-passed", () => {
  const event = {
    ...IRQ,
    addr: "0xfee01000",
    data: "0x41",
    result: { ok: true, addr: "0xfee01000", data: "0x41" },
  };
  const answer =
    (code: number, status = IRES) =>
    (unit: ScriptedUnit): void => {
      unit.words.set(0x1c, status);
      unit.onIrq = (request) => {
        request.messageAddress = request.address;
        request.messageData = request.data;
        return code;
      };
    };

  it("accepts that our unit blocks the message, and leaves no record", async () => {
    const { comparisons, unit } = await lastOf([event], answer(0x25));
    expect(verdicts(comparisons)).toBe("irq accepted(compat-format-passed)");
    expect(unit.calls).not.toContain("remap");
  });

  it("a unit that passes it is equal", async () => {
    const { comparisons, unit } = await lastOf([event], answer(0));
    expect(verdicts(comparisons)).toBe("irq equal");
    expect(unit.calls).toContain("remap");
  });

  it.each<[string, object, (unit: ScriptedUnit) => void]>([
    ["another reason", event, answer(0x26)],
    ["a changed message", { ...event, result: { ...event.result, data: "0x42" } }, answer(0x25)],
    ["remapping off", event, answer(0x25, 0)],
    ["the remappable format", { ...event, addr: "0xfee01010" }, answer(0x25)],
    [
      "a denial with another reason",
      { ...event, result: { ok: false, fault: "0x26" } },
      answer(0x25),
    ],
  ])("does not accept %s", async (_, tampered, prepare) => {
    const { comparisons } = await lastOf([tampered], prepare);
    expect(verdicts(comparisons)).toBe("irq different");
  });
});

describe("ioapic-requester-unchecked", () => {
  /** An entry for requester 00:02.0 (SVT = 1), read by the event at index 0. */
  const entry = (validation: string): object => ({
    e: "other",
    reads: [["0x5000", `0d00210000010000${validation}0000000000`]],
  });
  const table = { e: "mmio-write", offset: "0xb8", size: 8, value: "0x500f" };
  const event = { ...IRQ, sid: null, addr: "0xfee00010" };

  /** Refuses every requester but one. */
  const onlyFrom =
    (requester: number, change: Partial<InterruptRequest> = {}) =>
    (unit: ScriptedUnit): void => {
      unit.onIrq = (request) => {
        if (request.sourceId !== requester) return 0x26;
        request.messageAddress = 0xfee0_1000 | 0;
        request.messageData = 0x4021;
        Object.assign(request, change);
        return 0;
      };
    };

  it("repeats a refused request with a requester that the entry accepts", async () => {
    const { comparisons, unit } = await lastOf([table, entry("100004"), event], onlyFrom(0x10));
    expect(verdicts(comparisons)).toBe("irq accepted(ioapic-requester-unchecked)");
    expect(unit.calls.at(-1)).toBe("remap");
  });

  it("takes the first bus of a bus range", async () => {
    const { comparisons } = await lastOf([table, entry("120308"), event], onlyFrom(0x0300));
    expect(verdicts(comparisons)).toBe("irq accepted(ioapic-requester-unchecked)");
  });

  it("finds the entry through handle and subhandle", async () => {
    const far = { e: "other", reads: [["0x5230", "0d002100000100001000040000000000"]] };
    const request = { ...event, addr: "0xfee00418", data: "0x3" };
    const { comparisons } = await lastOf([table, far, request], onlyFrom(0x10));
    expect(verdicts(comparisons)).toBe("irq accepted(ioapic-requester-unchecked)");
  });

  it("is not needed where the I/O APIC is accepted", async () => {
    const { comparisons } = await lastOf([table, entry("00ff04"), event], onlyFrom(0xff00));
    expect(verdicts(comparisons)).toBe("irq equal");
  });

  it("hides no other difference", async () => {
    const wrong = onlyFrom(0x10, { messageData: 0x4022 });
    const { comparisons } = await lastOf([table, entry("100004"), event], wrong);
    expect(verdicts(comparisons)).toBe("irq different");
  });

  it.each<[string, object]>([
    ["a request with a requester", { ...event, sid: "0xff00" }],
    [
      "a request that the reference refused as well",
      { ...event, result: { ok: false, fault: "0x22" } },
    ],
  ])("does not accept %s", async (_, tampered) => {
    const { comparisons } = await lastOf([table, entry("100004"), tampered], onlyFrom(0x10));
    expect(verdicts(comparisons)).toBe("irq different");
  });

  it("a reference that refuses the requester itself is equal", async () => {
    const refused = { ...event, result: { ok: false, fault: "0x26" } };
    const { comparisons } = await lastOf([table, entry("100004"), refused], onlyFrom(0x10));
    expect(verdicts(comparisons)).toBe("irq equal");
  });

  it("does not accept a refusal that no requester could avoid", async () => {
    const { comparisons } = await lastOf([table, entry("10000c"), event], onlyFrom(0x10));
    expect(verdicts(comparisons)).toBe("irq different");
  });
});
