import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { saveDomain } from "../src/index.ts";
import { busyMachine, bytesOf, SaveMachine } from "./support/save-machine.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);

/** Code and message of what a restore is refused with. */
function refusal(machine: SaveMachine, save: Uint8Array): { code: string; message: string } {
  try {
    machine.restore(save);
  } catch (error) {
    const { code, message } = error as { code: string; message: string };
    return { code, message };
  }
  return { code: "", message: "restored" };
}

/** Begin and end of each chunk. */
function chunksOf(save: Uint8Array): [number, number][] {
  const view = new DataView(save.buffer, save.byteOffset);
  const chunks: [number, number][] = [];
  for (let at = 16; at < save.length;) {
    const end = at + 12 + view.getInt32(at + 4, true);
    chunks.push([at, end]);
    at = end;
  }
  return chunks;
}

const without = (save: Uint8Array, from: number, to: number): Uint8Array =>
  Buffer.concat([save.subarray(0, from), save.subarray(to)]);

describe("damaged saves", () => {
  const save = busyMachine().save();
  const chunks = chunksOf(save);
  const byte = fc.nat({ max: save.length - 1 });
  const chunk = fc.nat({ max: chunks.length - 1 });
  const damage = fc.oneof(
    fc
      .array(fc.tuple(byte, fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 20 })
      .map((flips) => () => {
        const damaged = save.slice();
        for (const [at, flip] of flips) damaged[at]! ^= flip;
        return damaged;
      }),
    byte.map((length) => () => save.subarray(0, length)),
    fc.uint8Array({ minLength: 1, maxLength: 64 }).map((more) => () => Buffer.concat([save, more])),
    fc.tuple(byte, byte).map(
      ([a, b]) =>
        () =>
          without(save, Math.min(a, b), Math.max(a, b) + 1),
    ),
    chunk.map((i) => () => without(save, ...chunks[i]!)),
    chunk.map((i) => () => {
      const [from, to] = chunks[i]!;
      return Buffer.concat([save.subarray(0, to), save.subarray(from)]);
    }),
    fc.tuple(byte, byte, fc.nat({ max: 4096 })).map(([from, to, length]) => () => {
      const damaged = save.slice();
      damaged.copyWithin(to, from, from + length);
      return damaged;
    }),
    fc.uint8Array({ maxLength: 4096 }).map((noise) => () => noise),
  );

  it("are refused with the documented error, 1,000 of them, and the machine stays as it is", () => {
    const machine = new SaveMachine();
    machine.enable();
    machine.put(0x18_0000, 1, 2, 3);
    const before = machine.save();
    let refused = 0;
    fc.assert(
      fc.property(damage, (make) => {
        const damaged = make();
        fc.pre(Buffer.compare(damaged, save) !== 0);
        expect(refusal(machine, damaged).code).toBe("ERR_VIOMMU_SAVE_DAMAGED");
        refused += 1;
        if (refused % 50 === 0) expect(Buffer.compare(machine.save(), before)).toBe(0);
      }),
      { seed, numRuns: 1000 },
    );
    expect(refused).toBeGreaterThanOrEqual(1000);
    expect(Buffer.compare(machine.save(), before)).toBe(0);
  });

  it("of another format are refused with its number", () => {
    const header = Int32Array.of(0x4d4f_4956, 0x4556_4153, 9, 0);
    let checksum = 0;
    for (const word of header) {
      checksum = Math.imul(checksum ^ word, 0x0100_0193);
      checksum ^= checksum >>> 15;
    }
    header[3] = checksum;
    const { code, message } = refusal(new SaveMachine(), new Uint8Array(header.buffer));
    expect(code).toBe("ERR_VIOMMU_SAVE_VERSION");
    expect(message).toContain("format 9");
  });
});

describe("saves of other machines", () => {
  const save = busyMachine().save();

  it.each<[string, ConstructorParameters<typeof SaveMachine>[0], RegExp[]]>([
    [
      "fewer vCPUs",
      { vcpus: 2 },
      [/"lapic-bus": the record fits 4 local APICs .* is 2 local APICs/],
    ],
    ["more memory", { bytes: 0x40_0000 }, [/has memory 0x0\+0x200000 instead of 0x0\+0x400000/]],
    ["more pins", { pins: 48 }, [/"ioapic0": the record fits 24 pins, .* is 48 pins/]],
    [
      "other capabilities",
      { profile: { faultRecords: 8 } },
      [/"dmar0": .* \(NFR 3 instead of 7\)/],
    ],
    ["a part by another name", { ioapicName: "chip" }, [/no "chip"/, /machine has no "ioapic0"/]],
    [
      "everything different",
      { vcpus: 9, bytes: 0x40_0000, pins: 48, vectors: 8, unitName: "dmar7" },
      [/memory/, /"lapic-bus"/, /"ioapic0"/, /"nic0"/, /save has no "dmar7"/, /has no "dmar0"/],
    ],
  ])("are refused with every difference: %s", (_, options, differences) => {
    const machine = new SaveMachine(options);
    machine.put(0x18_0000, 1, 2, 3);
    const before = machine.save();
    const { code, message } = refusal(machine, save);
    expect(code).toBe("ERR_VIOMMU_SAVE_SHAPE");
    for (const difference of differences) expect(message).toMatch(difference);
    expect(message.split("; ").length - 1).toBe(differences.length);
    expect(Buffer.compare(machine.save(), before)).toBe(0);
  });

  it("with one part twice are damaged", () => {
    const { domain } = busyMachine();
    const [first] = domain.parts;
    const twice = bytesOf((write) => saveDomain({ ...domain, parts: [first!, first!] }, { write }));
    expect(refusal(new SaveMachine(), twice).code).toBe("ERR_VIOMMU_SAVE_DAMAGED");
  });
});
