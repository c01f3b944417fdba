import type { DmaRequest, InterruptRequest } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { DMA, IRQ } from "./lines.ts";
import { lastOf, verdicts } from "./scripted-unit.ts";
import type { ScriptedUnit } from "./scripted-unit.ts";

const answerDma =
  (changes: Partial<DmaRequest> = {}) =>
  (unit: ScriptedUnit): void => {
    unit.onDma = (request) => {
      Object.assign(request, { outLo: 0x2000, granted: 1, pageShift: 12, ...changes });
      return 0;
    };
  };

const answerIrq =
  (changes: Partial<InterruptRequest> = {}) =>
  (unit: ScriptedUnit): void => {
    unit.onIrq = (request) => {
      Object.assign(request, {
        messageAddress: 0xfee0_1000 | 0,
        messageUpper: 0,
        messageData: 0x4021,
        ...changes,
      });
      return 0;
    };
  };

const verdict = async (event: object, prepare: (unit: ScriptedUnit) => void): Promise<string> =>
  verdicts((await lastOf([{ e: "reset" }, event], prepare)).comparisons);

describe("comparison of DMA requests", () => {
  it.each<[string, Partial<DmaRequest>, string]>([
    ["the same answer", {}, "equal"],
    ["further rights", { granted: 3 }, "equal"],
    ["another address", { outLo: 0x2008 }, "different"],
    ["an address above 1 GiB", { outHi: 1 }, "different"],
    ["a missing right", { granted: 2 }, "different"],
    ["a larger range", { pageShift: 21 }, "different"],
    ["no range at all (pass-through)", { pageShift: 30, granted: 33 }, "equal"],
  ])("%s", async (_, changes, wanted) => {
    expect(await verdict(DMA, answerDma(changes))).toBe(`dma ${wanted}`);
  });

  it("a smaller range is equal", async () => {
    const event = { ...DMA, result: { ...DMA.result, mask: "0x1fffff" } };
    expect(await verdict(event, answerDma())).toBe("dma equal");
  });

  it.each<[string, object, number, string]>([
    ["the same reason", { ok: false, fault: "0x05" }, 5, "equal"],
    ["another reason", { ok: false, fault: "0x05" }, 6, "different"],
    ["a scalable-mode reason in legacy mode", { ok: false, fault: "0x05" }, 0x85, "different"],
    ["denied, no reason given", { ok: false }, 5, "equal"],
    ["aborted without a report", { ok: false }, -1, "equal"],
    ["aborted, where a reason is wanted", { ok: false, fault: "0x05" }, -1, "different"],
    ["allowed", { ok: false, fault: "0x05" }, 0, "different"],
    ["denied, where it was allowed", DMA.result, 5, "different"],
  ])("%s", async (_, result, code, wanted) => {
    const prepare = (unit: ScriptedUnit): void => {
      unit.onDma = () => code;
    };
    expect(await verdict({ ...DMA, result }, prepare)).toBe(`dma ${wanted}`);
  });

  it("hands the whole request to the unit", async () => {
    let seen: Partial<DmaRequest> = {};
    const event = { ...DMA, iova: "0x7fff40001008", pasid: "0x21", access: "rw", index: 1 };
    await verdict(event, (unit) => {
      unit.onDma = (request) => {
        seen = Object.assign({}, request);
        return 5;
      };
    });
    expect(seen).toMatchObject({
      sourceId: 0x10,
      pasid: 0x21,
      access: 3,
      addressType: 2,
      hi: 0x1_fffd,
      lo: 0x1008,
    });
  });
});

describe("comparison of interrupt requests", () => {
  it.each<[string, Partial<InterruptRequest>, string]>([
    ["the same message", {}, "equal"],
    ["another destination", { messageAddress: 0xfee0_2000 | 0 }, "different"],
    ["another upper destination", { messageUpper: 0x100 }, "different"],
    ["another vector", { messageData: 0x4022 }, "different"],
  ])("%s", async (_, changes, wanted) => {
    expect(await verdict(IRQ, answerIrq(changes))).toBe(`irq ${wanted}`);
  });

  it("a posted interrupt leaves no message", async () => {
    const posted = (unit: ScriptedUnit): void => {
      unit.onIrq = () => -1;
    };
    expect(await verdict({ ...IRQ, result: { ok: true } }, posted)).toBe("irq equal");
    expect(await verdict(IRQ, posted)).toBe("irq different");
  });

  it("without a requester it comes from the I/O APIC of the header", async () => {
    let requester = 0;
    await verdict({ ...IRQ, sid: null }, (unit) => {
      unit.onIrq = (request) => {
        requester = request.sourceId;
        return 0x22;
      };
    });
    expect(requester).toBe(0xff00);
  });
});

describe("comparison of what an event leaves behind", () => {
  const WAIT = { e: "mmio-write", offset: "0x88", size: 4, value: "0x20" };

  const store =
    (...writes: [number, number][]) =>
    (unit: ScriptedUnit): void => {
      unit.effect = () => {
        for (const [lo, value] of writes) unit.memory.writeWord(0, lo, value);
      };
    };

  it.each<[string, object, [number, number][], string]>([
    ["nothing on either side", WAIT, [], ""],
    ["a status word", { ...WAIT, writes: [["0x1000", "02000000"]] }, [[0x1000, 2]], "equal"],
    ["another word", { ...WAIT, writes: [["0x1000", "02000000"]] }, [[0x1000, 3]], "different"],
    ["another address", { ...WAIT, writes: [["0x1000", "02000000"]] }, [[0x1004, 2]], "different"],
    ["a missing word", { ...WAIT, writes: [["0x1000", "02000000"]] }, [], "different"],
    ["a word too many", WAIT, [[0x1000, 2]], "different"],
    [
      "words in another order",
      {
        ...WAIT,
        writes: [
          ["0x1000", "02000000"],
          ["0x2000", "02000000"],
        ],
      },
      [
        [0x2000, 2],
        [0x1000, 2],
      ],
      "different",
    ],
    [
      "a word written in two pieces",
      { ...WAIT, writes: [["0x1000", "0200000003000000"]] },
      [
        [0x1000, 2],
        [0x1004, 3],
      ],
      "equal",
    ],
  ])("%s", async (_, event, writes, wanted) => {
    expect(await verdict(event, store(...writes))).toBe(wanted && `memWrite ${wanted}`);
  });

  it("flags in table entries may be written in pieces and in any order", async () => {
    const event = {
      ...DMA,
      reads: [
        ["0x3000", "0110000000000000"],
        ["0x4000", "0120000000000000"],
      ],
      writes: [
        ["0x3000", "2110000000000000"],
        ["0x4000", "6120000000000000"],
      ],
    };
    const both =
      (word: number) =>
      (unit: ScriptedUnit): void => {
        store([0x4000, word], [0x3000, 0x1021])(unit);
        answerDma()(unit);
      };
    expect(await verdict(event, both(0x2061))).toBe("dma equal, memWrite equal");
    expect(await verdict(event, both(0x2021))).toBe("dma equal, memWrite different");
  });

  it("messages of the unit agree in number, order and content", async () => {
    const event = { ...WAIT, msi: [["0xfee00000", "0x20"]] };
    const send =
      (...data: number[]) =>
      (unit: ScriptedUnit): void => {
        unit.effect = () => {
          for (const word of data) unit.sink.deliver(0, 0xfee0_0000 | 0, word);
        };
      };
    expect(await verdict(event, send(0x20))).toBe("msi equal");
    expect(await verdict(event, send(0x21))).toBe("msi different");
    expect(await verdict(event, send(0x20, 0x20))).toBe("msi different");
    expect(await verdict(event, send())).toBe("msi different");
    expect(await verdict(WAIT, send(0x20))).toBe("msi different");
  });

  it("fault records agree bit by bit, F included", async () => {
    const denied = { ...DMA, result: { ok: false, fault: "0x06" } };
    const event = { ...denied, frcd: [[0, "0xc000000600000010", "0x1000"]] };
    const fault =
      (high: bigint, low: bigint) =>
      (unit: ScriptedUnit): void => {
        unit.onDma = () => 6;
        unit.effect = () => {
          unit.record(high, low);
        };
      };
    const high = 0xc000_0006_0000_0010n;
    expect(await verdict(event, fault(high, 0x1000n))).toBe("dma equal, frcd equal");
    expect(await verdict(event, fault(high, 0x2000n))).toBe("dma equal, frcd different");
    for (let bit = 0n; bit < 63n; bit += 1n) {
      const changed = fault(high ^ (1n << bit), 0x1000n);
      expect(await verdict(event, changed), `bit ${64n + bit}`).toBe("dma equal, frcd different");
    }
    expect(await verdict(denied, fault(high, 0x1000n))).toBe("dma equal, frcd different");
    expect(await verdict(event, (unit) => (unit.onDma = () => 6))).toBe(
      "dma equal, frcd different",
    );
  });

  it("the unit becomes idle before its state is compared", async () => {
    const event = { ...WAIT, writes: [["0x1000", "02000000"]] };
    const later = (unit: ScriptedUnit): void => {
      unit.effect = () => {
        unit.pending = true;
        unit.effect = () => unit.memory.writeWord(0, 0x1000, 2);
      };
    };
    expect(await verdict(event, later)).toBe("memWrite equal");
  });
});

describe("comparison of registers", () => {
  const read = (value: string, size = 4): object => ({
    e: "mmio-read",
    offset: "0x1c",
    size,
    value,
  });

  it("every bit counts", async () => {
    const set = (unit: ScriptedUnit): unknown => unit.words.set(0x1c, 5);
    expect(await verdict(read("0x5"), set)).toBe("mmioRead equal");
    expect(await verdict(read("0x7"), set)).toBe("mmioRead different");
  });

  it("the register block counts as a whole, groups left out as zero", async () => {
    const event = { e: "registers", values: { "0x18": "0x500000000", "0x228": "0x10" } };
    const set = (unit: ScriptedUnit): void => {
      unit.words.set(0x1c, 5);
      unit.words.set(0x228, 0x10);
    };
    expect(await verdict(event, set)).toBe("registers equal");
    const other = (unit: ScriptedUnit): void => {
      set(unit);
      unit.words.set(0x60, 1);
    };
    expect(await verdict(event, other)).toBe("registers different");
    const { comparisons } = await lastOf([event], other);
    expect(comparisons[0]).toMatchObject({ expected: "0x60: 0x0", actual: "0x60: 0x1" });
  });
});
