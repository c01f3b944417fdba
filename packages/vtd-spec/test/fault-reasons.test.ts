import { describe, expect, it } from "vitest";
import { FAULT_REASONS, FaultReason, faultReason, isQualified } from "../src/index.ts";

const codes = (qualified: boolean): string[] =>
  FAULT_REASONS.filter((reason) => reason.qualified === qualified).map(({ code }) =>
    code.toString(16),
  );

describe("fault reasons", () => {
  it("are unique in code, name and label, and in the order of codes", () => {
    const all = FAULT_REASONS.map((reason) => reason.code);
    expect(all).toEqual([...new Set(all)].sort((a, b) => a - b));
    expect(new Set(FAULT_REASONS.map((reason) => reason.name)).size).toBe(all.length);
    expect(new Set(FAULT_REASONS.map((reason) => reason.label)).size).toBe(all.length);
    expect(all).toEqual(Object.values(FaultReason));
  });

  it("VT-d 7.1.3: every code of table 30, with its label", () => {
    const labels = FAULT_REASONS.filter((reason) => reason.group === "dma")
      .map(({ code, label }) => `${code.toString(16).padStart(2, "0")} ${label}`)
      .join(", ");
    expect(labels).toBe(
      "01 LRT.2, 02 LCT.2, 03 LCT.4, 04 LGN.1, 05 LGN.2, 06 LGN.3, 07 LSS.1, 08 LRT.1, " +
        "09 LCT.1, 0a LRT.3, 0b LCT.3, 0c LSS.2, 0d LCT.5, 0e LGN.4, " +
        "30 RTA.1, 31 RTA.2, 32 RTA.3, 33 RTA.4, 34 RTA.5, 38 SRT.1, 39 SRT.2, 3a SRT.3, " +
        "40 SCT.1, 41 SCT.2, 42 SCT.3, 43 SCT.4, 44 SCT.5, 45 SCT.6, 46 SCT.7, 47 SCT.8, " +
        "48 SCT.9, 49 SCT.10, 50 SPD.1, 51 SPD.2, 52 SPD.3, 58 SPT.1, 59 SPT.2, 5a SPT.3, " +
        "5b SPT.4, 5c SPT.5, 5d SPT.6, 60 SPT.9, 70 SFS.1, 71 SFS.2, 72 SFS.3, 73 SFS.4, " +
        "74 SFS.5, 75 SFS.6, 76 SFS.7, 77 SFS.8, 78 SSS.1, 79 SSS.2, 7a SSS.3, 7b SSS.4, " +
        "7c SSS.5, 7d SSS.6, 80 SGN.1, 81 SGN.2, 83 SGN.4, 84 SGN.5, 85 SGN.6, 86 SGN.7, " +
        "87 SGN.8, 89 SGN.10, 90 SFS.9, 91 SFS.10, " +
        "a0 HPT.1, a1 HPT.2, a2 HPT.3, a3 HPT.4, a4 HPT.5, a5 HPT.6",
    );
  });

  it("VT-d 5.1.4.1: interrupt requests have 20h to 2Bh", () => {
    const interrupts = FAULT_REASONS.filter((reason) => reason.group === "interrupt");
    expect(interrupts.map((reason) => reason.code)).toEqual(
      Array.from({ length: 12 }, (_, i) => 0x20 + i),
    );
    for (const { code, label, chapter } of interrupts) {
      expect(label.toLowerCase()).toBe(`${code.toString(16)}h`);
      expect(chapter).toBe("5.1.4.1");
    }
  });

  it("VT-d 7.2: only these are recorded whatever FPD says", () => {
    expect(codes(false).join(" ")).toBe(
      "1 8 9 a 20 21 23 25 29 2a 2b 30 31 32 33 34 38 39 3a 40 50 58",
    );
    expect(codes(true)).toHaveLength(FAULT_REASONS.length - 22);
  });

  it("all have words", () => {
    for (const reason of FAULT_REASONS) expect(reason.text.length).toBeGreaterThan(15);
  });

  it("are found by code", () => {
    expect(faultReason(0x71)).toMatchObject({ name: "FS_NOT_PRESENT", chapter: "7.1.3" });
    expect(isQualified(FaultReason.FS_NOT_PRESENT)).toBe(true);
    expect(isQualified(FaultReason.ROOT_NOT_PRESENT)).toBe(false);
    for (const unknown of [0, 0x0f, 0x82, 0x88, 0xff, -1]) {
      expect(faultReason(unknown)).toBeUndefined();
      expect(isQualified(unknown)).toBe(false);
    }
  });
});
