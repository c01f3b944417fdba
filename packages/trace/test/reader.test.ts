import { NO_PASID } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { openTrace, readTrace } from "../src/reader.ts";
import { DMA, HEADER, IRQ, packed, plain, text } from "./lines.ts";

const read = (events: readonly object[], header?: object): ReturnType<typeof readTrace> =>
  readTrace(plain(text(events, header)));

describe("reader: container", () => {
  it("reads plain and compressed traces alike", async () => {
    const content = text([{ e: "reset" }, DMA, IRQ]);
    expect(await readTrace(packed(content))).toEqual(await readTrace(plain(content)));
  });

  it("takes a last line without its line end", async () => {
    expect((await readTrace(plain(text([{ e: "reset" }]).trimEnd()))).events).toHaveLength(1);
  });

  it("takes hand-made traces: a bare header, other events, no final registers", async () => {
    const { header, events } = await read([
      { e: "other", reads: [["0x1000", "00ff"]] },
      { ...DMA, pasid: "0x5", index: 1 },
    ]);
    expect(header).toMatchObject({ name: "hand-made", devices: [], workload: "" });
    expect(events[0]).toMatchObject({
      kind: "other",
      line: 2,
      reads: [{ address: 0x1000n, bytes: Uint8Array.of(0, 255) }],
    });
    expect(events[1]).toMatchObject({ kind: "dma", pasid: 5, index: 1 });
  });

  it("takes null in a header for something that is not known", async () => {
    const unknown = { guest: null, reference: null, devices: null, events: null, workload: null };
    const { header } = await read([], {
      ...HEADER,
      ...unknown,
      unit: { ...HEADER.unit, options: { "aw-bits": null } },
      ioapic: null,
    });
    expect(header).toMatchObject({ guest: { os: "", vcpus: 1 }, devices: [], workload: "" });
    expect(header.ioapic).toBeUndefined();
    expect(header.unit.addressWidth).toBeUndefined();
    const guest = { os: null, version: null, vcpus: null, cmdline: null };
    expect((await read([], { ...HEADER, guest })).header.guest).toEqual({
      os: "",
      version: "",
      vcpus: 1,
      cmdline: "",
    });
  });

  it("ignores members it does not know", async () => {
    const { events } = await read([{ ...DMA, colour: "green" }], { ...HEADER, weather: [1] });
    expect(events[0]).toMatchObject({ sid: 0x10, pasid: NO_PASID, iova: 0x1000n, access: 1 });
  });

  it("keeps 64-bit values exact", async () => {
    const { events } = await read([
      { e: "mmio-write", offset: "0x20", size: 8, value: "0xfedcba9876543210" },
      { e: "registers", values: { "0x8": "0x80d2008c222f0606" } },
    ]);
    expect(events[0]).toMatchObject({ value: 0xfedc_ba98_7654_3210n });
    expect(events[1]).toMatchObject({ values: new Map([[8, 0x80d2_008c_222f_0606n]]) });
  });
});

describe("reader: one event after the other", () => {
  const content = text([{ e: "reset" }, DMA, IRQ], { ...HEADER, events: { reset: 1, dma: 1 } });

  it("gives the header first, then the same events as at once", async () => {
    for (const bytes of [plain(content), packed(content)]) {
      const stream = await openTrace(bytes);
      expect(stream).toMatchObject({ header: { name: "hand-made" }, announced: 2 });
      const events = [];
      for await (const event of stream.events) events.push(event);
      expect(events).toEqual((await readTrace(bytes)).events);
    }
  });

  it("tells what is wrong when it comes to it, and lets itself be left before", async () => {
    const broken = packed(`${content}{"e":"fork"}\n`);
    const kinds: string[] = [];
    const all = async (): Promise<void> => {
      for await (const { kind } of (await openTrace(broken)).events) kinds.push(kind);
    };
    await expect(all()).rejects.toMatchObject({ code: "ERR_VIOMMU_TRACE_EVENT" });
    expect(kinds).toEqual(["reset", "dma", "irq"]);
    for await (const { kind } of (await openTrace(broken)).events) {
      expect(kind).toBe("reset");
      break;
    }
  });
});

describe("reader: foreign files", () => {
  it.each([
    ["nothing", ""],
    ["a picture", "\u0089PNG\r\n\u001a\n"],
    ["prose", "once upon a time\n"],
    ["other JSON", '{"name":"viommu"}\n'],
    ["a list", "[1,2]\n"],
    ["another format", text([], { ...HEADER, format: "pcap" })],
  ])("refuses %s as no trace", async (_, content) => {
    const wanted = { code: "ERR_VIOMMU_TRACE_FORMAT" };
    await expect(readTrace(plain(content))).rejects.toMatchObject(wanted);
    await expect(readTrace(packed(content))).rejects.toMatchObject(wanted);
  });

  it.each([2, 0, "1", null, undefined])("refuses version %j", async (version) => {
    await expect(read([], { ...HEADER, version })).rejects.toMatchObject({
      code: "ERR_VIOMMU_TRACE_VERSION",
    });
  });
});

describe("reader: cut files", () => {
  const content = text([{ e: "reset" }, DMA, IRQ]);

  it("refuses compressed data that ends anywhere", async () => {
    const whole = packed(content);
    for (let length = 2; length < whole.length; length += 1) {
      await expect(readTrace(whole.subarray(0, length)), `${length} bytes`).rejects.toMatchObject({
        code: "ERR_VIOMMU_TRACE_TRUNCATED",
      });
    }
  });

  it("refuses compressed data with a flipped bit in its checksum", async () => {
    const whole = packed(content);
    whole[whole.length - 6]! ^= 1;
    await expect(readTrace(whole)).rejects.toMatchObject({ code: "ERR_VIOMMU_TRACE_TRUNCATED" });
  });

  it("refuses text that ends inside a line", async () => {
    const header = content.indexOf("\n");
    for (let length = 30; length < content.length - 1; length += 1) {
      if (content[length] === "\n" || content[length - 1] === "\n") continue;
      const cut = readTrace(plain(content.slice(0, length)));
      await expect(cut, `${length} of ${header}`).rejects.toMatchObject({
        code: "ERR_VIOMMU_TRACE_TRUNCATED",
      });
    }
  });

  it("refuses fewer events than the header announces", async () => {
    const header = { ...HEADER, events: { reset: 1, dma: 2 } };
    await expect(read([{ e: "reset" }, DMA], header)).rejects.toMatchObject({
      code: "ERR_VIOMMU_TRACE_TRUNCATED",
      message: expect.stringMatching(/2 "dma" events, the file has 1/) as string,
    });
    expect((await read([{ e: "reset" }, DMA, DMA, DMA], header)).events).toHaveLength(4);
  });
});

describe("reader: wrong lines", () => {
  it.each<[string, object, RegExp]>([
    ["an unknown kind", { e: "fork" }, /line 3: event\.e is "fork"; give one of "reset"/],
    ["no kind", { sid: "0x0010" }, /line 3: event\.e is missing/],
    ["a short source-id", { ...DMA, sid: "0x10" }, /line 3: dma\.sid is "0x10"; give a source-id/],
    ["an upper-case digit", { ...DMA, iova: "0xA000" }, /line 3: dma\.iova is "0xA000"/],
    ["a number for a string", { ...DMA, iova: 4096 }, /line 3: dma\.iova is 4096/],
    ["a wide address", { ...DMA, iova: "0x10000000000000000" }, /dma\.iova .* at most 64 bits/],
    ["a wide PASID", { ...DMA, pasid: "0x100000" }, /dma\.pasid .* at most 20 bits/],
    ["an unknown access", { ...DMA, access: "x" }, /dma\.access is "x"; give one of "none", "r"/],
    ["an unknown index", { ...DMA, index: 2 }, /dma\.index is 2; give 1/],
    ["no result", { ...DMA, result: undefined }, /dma\.result is missing; give an object/],
    ["no address", { ...DMA, result: { ok: true } }, /dma\.result\.gpa is missing/],
    ["an odd size", { e: "mmio-read", offset: "0x0", size: 2, value: "0x0" }, /size is 2; give 4/],
    [
      "a value wider than the access",
      { e: "mmio-read", offset: "0x0", size: 4, value: "0x100000000" },
      /value is "0x100000000"; .* at most 32 bits/,
    ],
    ["half a byte", { e: "other", reads: [["0x0", "abc"]] }, /other\.reads\[0\]\.1 is "abc"/],
    ["a lone address", { e: "other", writes: [["0x0"]] }, /other\.writes\[0\] is \["0x0"\]/],
    ["a bad record", { ...DMA, frcd: [[0, "0x1", 2]] }, /dma\.frcd\[0\]\.2 is 2/],
    ["a bad message", { ...DMA, msi: [["0x1", "1"]] }, /dma\.msi\[0\]\.1 is "1"/],
    ["an odd offset", { e: "registers", values: { "0x4": "0x1" } }, /registers\.values .* 8-byte/],
    ["a list", [], /line 3 is "\[\]"; each line holds one JSON object/],
  ])("names line, member, value and remedy: %s", async (_, event, message) => {
    await expect(read([{ e: "reset" }, event])).rejects.toMatchObject({
      code: "ERR_VIOMMU_TRACE_EVENT",
      message: expect.stringMatching(message) as string,
    });
  });

  it("refuses an interrupt without requester where the header names no I/O APIC", async () => {
    const events = [{ ...IRQ, sid: null }];
    expect((await read(events)).events[0]).toMatchObject({ sid: null });
    await expect(read(events, { ...HEADER, ioapic: undefined })).rejects.toMatchObject({
      code: "ERR_VIOMMU_TRACE_EVENT",
    });
  });

  it("refuses a blank line and a broken line in the middle", async () => {
    const broken = text([DMA, DMA]).replace("\n", "\n\n");
    await expect(readTrace(plain(broken))).rejects.toMatchObject({
      code: "ERR_VIOMMU_TRACE_EVENT",
      message: 'line 2 is ""; each line holds one JSON object',
    });
    const cut = text([DMA, IRQ]).replace('"access":"r",', '"access":"r');
    await expect(readTrace(plain(cut))).rejects.toMatchObject({ code: "ERR_VIOMMU_TRACE_EVENT" });
  });

  it("refuses a header without what a unit needs", async () => {
    const unit = { ...HEADER.unit, cap: undefined };
    await expect(read([], { ...HEADER, unit })).rejects.toMatchObject({
      code: "ERR_VIOMMU_TRACE_EVENT",
      message: expect.stringMatching(/line 1: header\.unit\.cap is missing/) as string,
    });
  });
});
