import { describe, expect, it } from "vitest";
import * as spec from "../src/index.ts";
import { decodeCapabilities, type Field } from "../src/index.ts";
import { LAYOUTS } from "./layouts.ts";

const CAPABILITY_NAMES = Object.keys(decodeCapabilities(0n, 0n));

const autoName = (prefix: string, { high, low }: Field): string =>
  high === low ? `${prefix}_${high}` : `${prefix}_${high}_${low}`;

describe("layouts", () => {
  it("are all listed for the tests", () => {
    const exported = Object.entries<unknown>(spec)
      .filter(([, value]) => typeof value === "object" && value !== null && "fields" in value)
      .filter(([, value]) => !(LAYOUTS as readonly unknown[]).includes(value));
    expect(exported.map(([name]) => name)).toEqual([]);
  });

  it("have names of their own", () => {
    const names = LAYOUTS.map((layout) => layout.name);
    expect(new Set(names).size).toBe(names.length);
  });
});

describe.each(LAYOUTS)("$name", (layout) => {
  it("covers every bit exactly once, from the highest down", () => {
    let next = layout.bits - 1;
    for (const { name, high, low } of layout.fields) {
      expect([name, high]).toEqual([name, next]);
      expect(low).toBeLessThanOrEqual(high);
      next = low - 1;
    }
    expect(next).toBe(-1);
    expect(layout.bits % 32).toBe(0);
  });

  it("has a chapter, and no field name twice", () => {
    expect(layout.chapter).toMatch(/^\d+(\.\d+)+$/);
    const names = layout.fields.map((field) => field.name);
    expect(new Set(names).size).toBe(names.length);
  });

  it("explains every field with a meaning, and names the others after their bits", () => {
    for (const field of layout.fields) {
      if (field.kind === undefined) expect(field.doc).toBeTruthy();
      if (field.name.startsWith("RSVD_")) {
        expect(field).toMatchObject({ name: autoName("RSVD", field), kind: "reserved" });
      }
      if (field.name.startsWith("IGN_")) {
        expect(field).toMatchObject({ name: autoName("IGN", field), kind: "ignored" });
      }
    }
  });

  it("requires capabilities that exist", () => {
    for (const { requires = [] } of layout.fields) {
      for (const name of [requires].flat()) expect(CAPABILITY_NAMES).toContain(name);
    }
  });
});
