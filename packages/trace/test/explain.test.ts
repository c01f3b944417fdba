import { encode, HPT_INV_DSC, IOTLB_INV_DSC } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { explainEvent } from "../src/explain.ts";
import { readTrace } from "../src/reader.ts";
import { bytesText, hex } from "../src/text.ts";
import { fixture } from "./fixture.ts";
import { CAP, ECAP } from "./host-permissions.ts";
import { DMA, HEADER, IRQ, plain, text } from "./lines.ts";

const explained = async (number: number): Promise<ReturnType<typeof explainEvent>> =>
  explainEvent(await fixture("linux612-legacy-strict"), number);

const handMade = async (
  events: readonly object[],
  unit: object = HEADER.unit,
): Promise<ReturnType<typeof explainEvent>> =>
  explainEvent(await readTrace(plain(text(events, { ...HEADER, unit }))), events.length);

describe("explanation of DMA requests", () => {
  it("of a denied one: each entry with address, words and fields, the reason with its chapter", async () => {
    const explanation = await explained(5002);
    expect(explanation).toMatchObject({
      trace: "linux612-legacy-strict",
      event: 5002,
      line: 5003,
      kind: "dma",
      request: "read by 00:04.0 at 0x100000 (untranslated, no PASID)",
      fault: {
        code: "0x06",
        name: "READ_DENIED",
        chapter: "7.1.3",
        text: "a read or atomic without read permission",
      },
      unit: "fault 06h (a read or atomic without read permission)",
      agrees: true,
    });
    expect(explanation.steps.map(({ name }) => name)).toEqual([
      "GSTS",
      "RTADDR",
      "root entry of bus 0x00",
      "context entry of 00:04.0",
      "second-stage entry, level 4",
    ]);
    expect(explanation.steps[3]).toEqual({
      name: "context entry of 00:04.0",
      chapter: "9.3",
      address: "0x127ab200",
      words: ["0x0000000002476001", "0x0000000000000602"],
      fields: expect.arrayContaining([
        { name: "DID", value: "0x6", doc: expect.stringContaining("domain-id") as string },
        { name: "AW", value: "0x2", doc: "address width, bits 48" },
        { name: "TT", value: "0x0", doc: "untranslated" },
      ]) as unknown,
      note: "second-stage tables at 0x2476000",
    });
    expect(explanation.comparisons.map((entry) => [entry.class, entry.verdict])).toEqual([
      ["dma", "equal"],
      ["frcd", "accepted"],
      ["msi", "equal"],
    ]);
  });

  it("while translation is off", async () => {
    const result = { ok: true, gpa: "0x1000", mask: "0xfff", perm: "r" };
    expect(await handMade([{ ...DMA, result }])).toMatchObject({
      verdict: "0x1000: translation is off",
      agrees: true,
    });
  });

  it("with bytes that the trace does not tell", async () => {
    const on = [
      { e: "mmio-write", offset: "0x20", size: 8, value: "0x1000" },
      { e: "mmio-write", offset: "0x18", size: 4, value: "0x40000000" },
      { e: "mmio-write", offset: "0x18", size: 4, value: "0xc0000000" },
    ];
    const { steps, fault, agrees } = await handMade([...on, DMA]);
    expect(steps.at(-1)).toMatchObject({ address: "0x1000", note: "not in the trace, taken as 0" });
    expect(fault).toMatchObject({ code: "0x01" });
    expect(agrees).toBe(true);
  });

  it("with memory that is not there", async () => {
    const on = [
      { e: "mmio-write", offset: "0x20", size: 8, value: "0x1000" },
      { e: "mmio-write", offset: "0x18", size: 4, value: "0x40000000" },
      { e: "mmio-write", offset: "0x18", size: 4, value: "0xc0000000" },
    ];
    const { steps, fault } = await handMade([...on, { ...DMA, reads: [["0x1000", null]] }]);
    expect(steps.at(-1)).toMatchObject({ words: [], note: "can't be read: no memory" });
    expect(fault).toMatchObject({ code: "0x08", name: "ROOT_ACCESS" });
  });

  it("to FEEx_xxxxh, which are no interrupts (VT-d 3.15)", async () => {
    const on = (table: string): object[] => [
      { e: "mmio-write", offset: "0x20", size: 8, value: table },
      { e: "mmio-write", offset: "0x18", size: 4, value: "0x40000000" },
      { e: "mmio-write", offset: "0x18", size: 4, value: "0xc0000000" },
    ];
    const legacy = on("0x1000");
    const request = { ...DMA, iova: "0xfee01000" };
    expect(await handMade([...legacy, request])).toMatchObject({
      fault: { code: "0x29" },
      agrees: true,
    });
    expect(await handMade([...legacy, { ...request, access: "none" }])).toMatchObject({
      verdict: "0xfee01000: a zero-length read of FEEx_xxxxh completes",
      agrees: true,
    });
    // a translated one goes through the tables as all others do
    expect(await handMade([...legacy, { ...request, index: 1 }])).toMatchObject({
      fault: { code: "0x01" },
      agrees: true,
    });
  });
});

describe("explanation of interrupt requests", () => {
  it("shows the entry and the message", async () => {
    const { steps, verdict, agrees } = await explained(6800);
    expect(steps.map(({ name }) => name)).toEqual([
      "GSTS",
      "IRTA",
      "request of 0xff00: address, data",
      "interrupt-remapping entry 0x3",
    ]);
    expect(steps[3]!.fields).toContainEqual({ name: "V", value: "0x22", doc: "vector" });
    expect(verdict).toBe("0xfee00008 <- 0x4022: vector 0x22 for APIC id 0x0");
    expect(agrees).toBe(true);
  });

  /** Remapping on, with a table of two entries at 2000h. */
  const on = [
    { e: "mmio-write", offset: "0xb8", size: 8, value: "0x2000" },
    { e: "mmio-write", offset: "0x18", size: 4, value: "0x1000000" },
    { e: "mmio-write", offset: "0x18", size: 4, value: "0x2000000" },
  ];
  const entry = (words: string): object => ({ reads: [["0x2000", words]] });

  it.each<[string, object, string]>([
    ["an index beyond the table", { addr: "0xfee00050" }, "0x21"],
    ["data that counts as subhandle", { addr: "0xfee00018", data: "0x10000" }, "0x20"],
    ["the compatibility format", { addr: "0xfee00000" }, "0x25"],
    ["an absent entry", entry("00000000000000000000000000000000"), "0x22"],
    ["no memory", { reads: [["0x2000", null]] }, "0x23"],
    ["a reserved bit", entry("01000001000000000000000000000000"), "0x24"],
    ["another requester", entry("01002100000000001800040000000000"), "0x26"],
    ["another bus", entry("01002100000000000302080000000000"), "0x26"],
  ])("names why it is blocked: %s", async (_, change, code) => {
    const explanation = await handMade([...on, { ...IRQ, addr: "0xfee00010", ...change }]);
    expect(explanation.fault?.code).toBe(code);
    expect(explanation.agrees).toBe(true);
  });
});

describe("explanation of register accesses", () => {
  it("shows the descriptors that a write of the tail hands over", async () => {
    const { steps, verdict } = await explained(18);
    expect(steps.map(({ name }) => name)).toEqual([
      "IQT",
      "iec_inv_dsc at queue offset 0x0",
      "inv_wait_dsc at queue offset 0x10",
    ]);
    expect(steps[2]!.fields).toContainEqual({
      name: "SDATA",
      value: "0x2",
      doc: "status data",
    });
    expect(verdict).toBe("2 descriptors are to be performed");
  });

  it("says what stopped the queue", async () => {
    const events = [
      { e: "mmio-write", offset: "0x90", size: 8, value: "0x1000" },
      { e: "mmio-write", offset: "0x18", size: 4, value: "0x4000000" },
      {
        e: "mmio-write",
        offset: "0x88",
        size: 4,
        value: "0x10",
        reads: [["0x1000", "0f000000000000000000000000000000"]],
      },
    ];
    const { steps, verdict } = await handMade(events);
    expect(steps.at(-1)).toMatchObject({
      name: "descriptor at queue offset 0x0",
      note: "type 0xf is not defined",
    });
    expect(verdict).toContain("IQEI = 3 (INVALID_TYPE)");
  });

  const WITH_HPT = { ...HEADER.unit, cap: hex(CAP), ecap: hex(ECAP) };

  /** Hands over one 256-bit descriptor, in scalable mode; without `wide` in a queue of 128-bit ones. */
  const descriptor = async (
    words: Int32Array,
    unit: object = WITH_HPT,
    wide = true,
  ): Promise<{ name: string; note: string; fields: unknown; verdict: string }> => {
    const padded = new Int32Array(8);
    padded.set(words);
    const events = [
      { e: "mmio-write", offset: "0x20", size: 8, value: "0x5400" },
      { e: "mmio-write", offset: "0x18", size: 4, value: "0x40000000" },
      { e: "mmio-write", offset: "0x90", size: 8, value: wide ? "0x1800" : "0x1000" },
      { e: "mmio-write", offset: "0x18", size: 4, value: "0x4000000" },
      {
        e: "mmio-write",
        offset: "0x88",
        size: 4,
        value: wide ? "0x20" : "0x10",
        reads: [["0x1000", bytesText(new Uint8Array(padded.buffer))]],
      },
    ];
    const { steps, verdict } = await handMade(events, unit);
    const { name, note, fields } = steps.at(-1)!;
    return { name, note, fields, verdict };
  };
  const permissions = (values: object): Int32Array => encode(HPT_INV_DSC, { TYPE: 0xa, ...values });

  it("says what an HPT cache invalidate descriptor drops (VT-d 6.5.2.7)", async () => {
    const pages = { G: 3, HPTDID: 9, ADDR: 0x12_3456_7000, AM: 9, IH: 1 };
    const shown = await descriptor(permissions(pages));
    expect(shown).toMatchObject({
      name: "hpt_inv_dsc at queue offset 0x0",
      note: "host permissions of domain 0x9, levels 2 and 1: 0x200000 bytes at 0x1234400000",
      verdict: "1 descriptors are to be performed",
    });
    expect(shown.fields).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ name: "ADDR", value: "0x1234567000" }),
        expect.objectContaining({ name: "IH", value: "0x1" }),
        expect.objectContaining({ name: "AM", value: "0x9" }),
        expect.objectContaining({ name: "HPTDID", value: "0x9" }),
        expect.objectContaining({ name: "G", value: "0x3" }),
      ]),
    );
    const note = async (values: object): Promise<string> =>
      (await descriptor(permissions(values))).note;
    expect(await note({ ...pages, IH: 0, AM: 63 })).toContain("level 1: 0x80");
    expect(await note({ ...pages, G: 2, IH: 2 })).toBe(
      "host permissions of domain 0x9, levels 3 to 1",
    );
    expect(await note({ G: 2, IH: 3 })).toBe("host permissions of domain 0x0, all levels");
    expect(await note({ G: 1 })).toBe("all host permissions, all levels");
  });

  it("says why a descriptor is invalid (VT-d 11.4.9.9)", async () => {
    const global = permissions({ G: 1 });
    expect(await descriptor(permissions({ G: 0 }))).toMatchObject({
      note: "granularity 0 is reserved",
      verdict: expect.stringContaining("the queue has stopped") as string,
    });
    expect(await descriptor(permissions({ G: 1, RSVD_8_6: 1 }))).toMatchObject({
      note: "a reserved bit is set",
      verdict: expect.stringContaining("the queue has stopped") as string,
    });
    expect(await descriptor(global, WITH_HPT, false)).toMatchObject({
      note: "256 bits, in a queue of 128-bit descriptors",
      verdict: expect.stringContaining("the queue has stopped") as string,
    });
    const without = { ...WITH_HPT, ecap: hex(ECAP & ~(1n << 55n) & ~(1n << 59n)) };
    expect(await descriptor(global, without)).toMatchObject({
      note: "the type is not offered: HPTS is 0",
      verdict: expect.stringContaining("the queue has stopped") as string,
    });
    expect(await descriptor(encode(IOTLB_INV_DSC, { TYPE: 2, G: 1 }))).toMatchObject({
      note: "",
      verdict: "1 descriptors are to be performed",
    });
  });

  it("shows one register, both halves of a pair, and the record of a fault", async () => {
    const read = (offset: string, size: number, value: string): Promise<{ steps: unknown }> =>
      handMade([{ e: "mmio-read", offset, size, value }]);
    expect(await read("0x34", 4, "0x2")).toMatchObject({ steps: [{ name: "FSTS" }] });
    expect(await read("0x38", 8, "0x2080000000")).toMatchObject({
      steps: [
        { name: "FECTL", words: ["0x80000000"] },
        { name: "FEDATA", words: ["0x00000020"] },
      ],
    });
    const record = await read("0x228", 8, "0xc000000600000020");
    expect(record).toMatchObject({ steps: [{ name: "FRCD[0]", address: "0x220" }] });
    expect((record.steps as { fields: unknown[] }[])[0]!.fields).toContainEqual({
      name: "FR",
      value: "0x6",
      doc: "a read or atomic without read permission",
    });
  });

  it("takes any offset and any tail", async () => {
    const wild = { e: "mmio-write", offset: "0xfffffff9", size: 8, value: "0xffffffffffffffff" };
    expect((await handMade([wild])).steps).toEqual([]);
    const tail = { e: "mmio-write", offset: "0x88", size: 8, value: "0xffffffffffffffff" };
    expect((await handMade([tail])).steps.length).toBeLessThan(300);
  });
});

describe("explanation of the other events", () => {
  it("reset, memory, and the register block at the end", async () => {
    expect(await explained(1)).toMatchObject({ kind: "reset", steps: [], comparisons: [] });
    const last = await explained(6828);
    expect(last.kind).toBe("registers");
    expect(last.steps.map(({ name }) => name)).toContain("IQA");
    const other = await handMade([{ e: "other", reads: [["0x1000", "0102"]] }]);
    expect(other.verdict).toBe("read: 0x1000: 0102; written: nothing");
  });

  it("refuses a number that the trace does not have", async () => {
    for (const number of [0, -1, 6829, 1.5]) {
      await expect(explained(number)).rejects.toMatchObject({ code: "ERR_VIOMMU_TRACE_NUMBER" });
    }
  });
});
