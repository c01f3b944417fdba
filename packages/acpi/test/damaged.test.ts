import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ViommuError } from "@viommu/plugin";
import { buildDmar, buildMadt, parseDmar, parseMadt } from "../src/index.ts";
import type { Parsed } from "../src/index.ts";
import * as arbitrary from "./arbitraries.ts";
import { resealed } from "./bytes.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);
const RUNS = 10_000;

type Damage =
  | { readonly kind: "cut" | "flip"; readonly at: number; readonly value: number }
  | { readonly kind: "length"; readonly at: number; readonly value: number };

/** Places are fractions of the table, so that each hits tables of all sizes. */
const fraction = fc.integer({ min: 0, max: 0xffff }).map((n) => n / 0x1_0000);

const damage: fc.Arbitrary<Damage> = fc.record({
  kind: fc.constantFrom("cut", "flip", "length"),
  at: fraction,
  value: fc.oneof(
    fc.integer({ min: 1, max: 0xffff }),
    fc.constantFrom(1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0x100, 0x8000),
  ),
});

function damaged(bytes: Uint8Array, damages: readonly Damage[], sealed: boolean): Uint8Array {
  let result = Uint8Array.from(bytes);
  for (const { kind, at, value } of damages) {
    const offset = Math.floor(at * result.length);
    if (kind === "cut") result = result.slice(0, offset);
    else if (kind === "flip" && offset < result.length) result[offset]! ^= value & 0xff || 1;
    else if (offset + 2 <= result.length) {
      result[offset] = value & 0xff;
      result[offset + 1] = value >> 8;
    }
  }
  return sealed && result.length >= 10 ? resealed(result) : result;
}

/** Reads a damaged table: what it has, or the documented error. */
function read<T>(
  parse: (bytes: Uint8Array) => Parsed<T>,
  bytes: Uint8Array,
): Parsed<T> | ViommuError {
  try {
    return parse(bytes);
  } catch (error) {
    if (error instanceof ViommuError && error.code === "ERR_VIOMMU_ACPI") return error;
    throw error;
  }
}

/** Reads damaged tables; returns how many of them could be read. */
function readDamaged<T>(
  tables: fc.Arbitrary<Uint8Array>,
  parse: (bytes: Uint8Array) => Parsed<T>,
  sizeOf: (table: T) => number,
): number {
  let readable = 0;
  const damages = fc.array(damage, { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(tables, damages, fc.boolean(), (sound, list, sealed) => {
      const bytes = damaged(sound, list, sealed);
      const result = read(parse, bytes);
      if (result instanceof ViommuError) return;
      readable++;
      expect(result.problems.length).toBeLessThan(bytes.length);
      expect(sizeOf(result.table)).toBeLessThan(bytes.length / 2);
      for (const { offset } of result.problems) expect(offset).toBeLessThanOrEqual(bytes.length);
    }),
    { seed, numRuns: RUNS },
  );
  return readable;
}

describe("damaged tables", () => {
  it("10,000 DMARs are read as far as they go, or refused with the documented error", () => {
    const readable = readDamaged(
      arbitrary.dmar.map((table) => buildDmar(table)),
      parseDmar,
      (table) => table.structures.length,
    );
    expect(readable).toBeGreaterThan(RUNS / 2);
  });

  it("10,000 MADTs are read as far as they go, or refused with the documented error", () => {
    const readable = readDamaged(
      arbitrary.madt.map(buildMadt),
      parseMadt,
      (table) => table.entries.length,
    );
    expect(readable).toBeGreaterThan(RUNS / 2);
  });

  it("never pass for sound when one byte is wrong", () => {
    const sound = fc.oneof(
      arbitrary.dmar.map((table) => buildDmar(table)),
      arbitrary.madt.map(buildMadt),
    );
    fc.assert(
      fc.property(sound, fraction, fc.integer({ min: 1, max: 255 }), (bytes, place, flip) => {
        const parse = bytes[0] === 0x44 ? parseDmar : parseMadt;
        const offset = Math.floor(place * bytes.length);
        const wrong = Uint8Array.from(bytes);
        wrong[offset]! ^= flip;
        const result = read<unknown>(parse, wrong);
        if (result instanceof ViommuError) return;
        expect(result.problems).not.toEqual([]);
      }),
      { seed, numRuns: 2000 },
    );
  });

  it("of random bytes are read or refused", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (body, isDmar) => {
        const signature = isDmar ? "DMAR" : "APIC";
        const head = Uint8Array.from(signature, (c) => c.charCodeAt(0));
        const bytes = new Uint8Array([...head, 0, 0, 0, 0, ...body]);
        if (bytes.length >= 10) bytes.set(resealed(bytes));
        read<unknown>(isDmar ? parseDmar : parseMadt, bytes);
      }),
      { seed, numRuns: 5000 },
    );
  });

  it.each<[string, readonly number[]]>([
    ["scopes without a path", [1, 6, 0, 0, 0, 0]],
    ["equal scopes", [1, 8, 0, 0, 0, 0, 1, 1]],
    ["equal bridges under bridges", [2, 254, 0, 0, 0, 0, ...new Array<number>(248).fill(1)]],
    ["structures of length 0 in place of scopes", [0, 0]],
  ])("of a megabyte of %s are read", (_, scope) => {
    const scopes = repeated(Uint8Array.from(scope), Math.floor(0xfe00 / scope.length));
    const drhd = new Uint8Array(16 + scopes.length);
    drhd.set([0, 0, drhd.length & 0xff, drhd.length >> 8]);
    drhd.set(scopes, 16);
    const bytes = table(repeated(drhd, 16));
    const { table: found, problems } = parseDmar(bytes);
    expect(found.structures).toHaveLength(16);
    expect(problems.length).toBeLessThan(bytes.length);
  });

  it("of a megabyte of empty structures are read", () => {
    const bytes = table(repeated(Uint8Array.of(7, 0, 4, 0), 0x4_0000));
    expect(parseDmar(bytes).table.structures).toHaveLength(0x4_0000);
  });
});

function repeated(bytes: Uint8Array, times: number): Uint8Array {
  const all = new Uint8Array(bytes.length * times);
  for (let i = 0; i < times; i++) all.set(bytes, i * bytes.length);
  return all;
}

/** A DMAR with this behind its fixed part. */
function table(structures: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(48 + structures.length);
  bytes.set([0x44, 0x4d, 0x41, 0x52, 0, 0, 0, 0, 1]);
  bytes.set(structures, 48);
  return resealed(bytes);
}
