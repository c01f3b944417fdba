import { describe, expect, it } from "vitest";
import { decode, encode, fromQwords, toQwords } from "../src/index.ts";
import { LAYOUTS } from "./layouts.ts";
import { CAPABILITY_REGISTERS } from "./vectors/capabilities.ts";
import { PASID_TABLES, ROOT_AND_CONTEXT } from "./vectors/dma-tables.ts";
import { IRTES, MESSAGES, POSTED_INTERRUPT_DESCRIPTORS } from "./vectors/interrupts.ts";
import { FIRST_STAGE, HOST_PERMISSION, SECOND_STAGE } from "./vectors/page-tables.ts";
import { INVALIDATION, PAGE_REQUESTS } from "./vectors/queues.ts";
import {
  FAULT_REGISTERS,
  GLOBAL_REGISTERS,
  OTHER_REGISTERS,
  QUEUE_REGISTERS,
} from "./vectors/registers.ts";
import type { Vector } from "./vectors/vector.ts";

const SECTIONS: Readonly<Record<string, readonly Vector[]>> = {
  "VT-d 9.1-9.4 root and context entries": ROOT_AND_CONTEXT,
  "VT-d 9.5-9.6 PASID tables": PASID_TABLES,
  "VT-d 9.7 first stage": FIRST_STAGE,
  "VT-d 9.8 second stage": SECOND_STAGE,
  "VT-d 9.9-9.10 IRTEs": IRTES,
  "VT-d 9.11 posted-interrupt descriptors": POSTED_INTERRUPT_DESCRIPTORS,
  "VT-d 9.12 host permission tables": HOST_PERMISSION,
  "VT-d 5.1 interrupt messages": MESSAGES,
  "VT-d 6.5.2 invalidation descriptors": INVALIDATION,
  "VT-d 7.4 and 7.6 page requests": PAGE_REQUESTS,
  "VT-d 11.4.1-11.4.6, 11.4.10, 11.4.15 registers": GLOBAL_REGISTERS,
  "VT-d 11.4.2-11.4.3 capabilities": CAPABILITY_REGISTERS,
  "VT-d 11.4.7 fault registers": FAULT_REGISTERS,
  "VT-d 11.4.8, 11.4.9, 11.4.11 protected memory and queues": QUEUE_REGISTERS,
  "VT-d 11.4.12-11.4.14, 11.4.16 other registers": OTHER_REGISTERS,
};

const hex = (qwords: readonly bigint[]): string[] => qwords.map((qword) => qword.toString(16));

for (const [section, vectors] of Object.entries(SECTIONS)) {
  describe(section, () => {
    it.each(vectors)("$layout.name: $what", ({ layout, qwords, fields }) => {
      const words = fromQwords(qwords).slice(0, layout.bits / 32);
      const set = Object.entries(decode(layout, words)).filter(([, value]) => value !== 0n);
      expect(Object.fromEntries(set)).toEqual(
        Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, BigInt(value)])),
      );
      expect(hex(toQwords(encode(layout, fields)))).toEqual(hex(qwords));
    });
  });
}

describe("the literals", () => {
  it("cover every layout", () => {
    const covered = new Set(Object.values(SECTIONS).flatMap((all) => all.map((v) => v.layout)));
    expect(LAYOUTS.filter((layout) => !covered.has(layout)).map((layout) => layout.name)).toEqual(
      [],
    );
  });

  it("set every field with a meaning at least once", () => {
    const used = new Map<object, Set<string>>();
    for (const { layout, fields } of Object.values(SECTIONS).flat()) {
      const names = used.get(layout) ?? new Set();
      for (const name of Object.keys(fields)) names.add(name);
      used.set(layout, names);
    }
    const missing = LAYOUTS.flatMap((layout) =>
      layout.fields
        .filter((field) => field.kind === undefined && used.get(layout)?.has(field.name) !== true)
        .map((field) => `${layout.name}.${field.name}`),
    );
    expect(missing).toEqual([]);
  });
});
