import { createMemory } from "@viommu/memory";
import { hiFromNumber, loFromNumber } from "@viommu/plugin";
import {
  CONTEXT_ENTRY,
  encode,
  INV_WAIT_DSC,
  ROOT_ENTRY,
  SS_PAGE_1G,
  SS_UPPER,
} from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { askDma } from "../src/answers.ts";
import type { TraceHeader } from "../src/format.ts";
import { readTrace } from "../src/reader.ts";
import { Recorder } from "../src/recorder.ts";
import { createReplayUnit } from "../src/replay-unit.ts";
import { replayTrace } from "../src/report.ts";
import { packTrace } from "../src/writer.ts";

const header: TraceHeader = {
  name: "a small guest",
  guest: { os: "none", version: "", vcpus: 1, cmdline: "" },
  reference: { name: "viommu", version: "0" },
  unit: {
    base: 0xfed9_0000n,
    cap: 0x80d2_008c_222f_0606n,
    ecap: 0xf0_0f4an,
    ver: 0x10,
    addressWidth: 48,
  },
  devices: [{ sid: 0x10, name: "disk" }],
  ioapic: undefined,
  workload: "two requests, one wait descriptor",
};

describe("recorder on ordinary memory", () => {
  it("tells what the unit read and wrote, and the replay needs nothing else", async () => {
    const memory = createMemory({ regions: [{ base: 0, size: 0x10_0000 }] });
    const put = (address: number, words: Int32Array): void => {
      words.forEach((word, i) => {
        memory.writeWord(hiFromNumber(address), loFromNumber(address) + 4 * i, word);
      });
    };
    put(0x1000, encode(ROOT_ENTRY, { P: 1, CTP: 0x2000 }));
    put(0x2100, encode(CONTEXT_ENTRY, { P: 1, SSPTPTR: 0x3000, AW: 2, DID: 1 }));
    put(0x3000, encode(SS_UPPER, { R: 1, W: 1, ADDR: 0x4000 }));
    put(0x4008, encode(SS_PAGE_1G, { R: 1, PS: 1, ADDR: 0 }));
    put(0x5000, encode(INV_WAIT_DSC, { TYPE: 5, SW: 1, SDATA: 7, SADDR: 0x6000 }));

    const messages: number[] = [];
    const sink = { deliver: (_: number, __: number, data: number) => messages.push(data) };
    const recorder = new Recorder({ header, memory, sink });
    const unit = recorder.record(createReplayUnit(header, recorder.memory, recorder.sink));
    const write = (offset: number, value: number): void => {
      unit.write(offset, 4, value, 0);
    };
    write(0x20, 0x1000);
    write(0x18, 1 << 30);
    write(0x90, 0x5000);
    write(0x18, 1 << 26);
    write(0x3c, 0x31);
    write(0x40, 0xfee0_0000 | 0);
    write(0x38, 0);
    write(0x18, (1 << 31) | (1 << 26));
    const request = { sid: 0x10, pasid: -1, iova: 0x4000_0123n, index: 0 } as const;
    expect(askDma(unit, { ...request, access: 1 }, "translate")).toMatchObject({ gpa: 0x123n });
    expect(askDma(unit, { ...request, access: 2 }, "translate")).toMatchObject({ fault: 5 });
    write(0x88, 0x10);

    const trace = recorder.finish();
    const [allowed, denied, wait] = trace.events.slice(-4);
    expect(allowed!.reads.map(({ address }) => address)).toEqual([
      0x1000n,
      0x2100n,
      0x3000n,
      0x4008n,
    ]);
    expect(denied).toMatchObject({
      frcd: [{ index: 0, low: 0x4000_0000n }],
      msi: [{ address: 0xfee0_0000n, data: 0x31 }],
      result: { ok: false, fault: 5 },
    });
    expect(wait!.writes).toEqual([{ address: 0x6000n, bytes: Uint8Array.of(7, 0, 0, 0) }]);
    expect(messages).toEqual([0x31]);

    const report = replayTrace(await readTrace(await packTrace(trace)));
    expect(report).toMatchObject({
      name: "a small guest",
      dma: { total: 2, equal: 2 },
      memWrite: { total: 1, equal: 1 },
      frcd: { total: 1, equal: 1 },
      msi: { total: 1, equal: 1 },
      registers: { total: 1, equal: 1 },
      deviations: [],
    });
    expect(report).not.toHaveProperty("unknownReads");
  });
});
