import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LapicBus, LapicRegisters } from "../src/index.ts";
import { LapicModel, ppr } from "./lapic-model.ts";
import type { ModelLapic } from "./lapic-model.ts";

const seed = Number(process.env.VIOMMU_SEED ?? 20_261_122);

/** Ids that share low bytes, clusters and members. */
const IDS = [0, 1, 2, 5, 0x10, 0x1f, 0x45, 0xff, 0x100, 0x145, 0x14f, 0x7f05, 0xf_fff3];
const COUNT = IDS.length;

/** One to one with what a CPU model and its devices can do. */
type Step =
  | { do: "message"; upper: number; address: number; data: number }
  | { do: "command"; vcpu: number; low: number; high: number }
  | { do: "write"; vcpu: number; register: "tpr" | "svr" | "ldr" | "dfr" | "esr"; value: number }
  | { do: "mode"; vcpu: number; bits: number }
  | { do: "accept" | "eoi" | "init" | "events"; vcpu: number };

const vcpu = fc.nat(COUNT - 1);
const vector = fc.oneof(fc.integer({ min: 0x10, max: 0xff }), fc.integer({ min: 0, max: 0xff }));
const bit = (n: number, weight = 1) =>
  fc.oneof({ weight, arbitrary: fc.constant(2 ** n) }, { weight: 1, arbitrary: fc.constant(0) });
const sum = (...parts: fc.Arbitrary<number>[]) =>
  fc.tuple(...parts).map((values) => values.reduce((total, value) => total + value, 0));
const destination = fc.oneof(
  fc.constantFrom(...IDS, 0xff, 0xffff_ffff),
  fc.integer({ min: 0, max: 0xff }),
  fc
    .tuple(fc.constantFrom(...IDS), fc.integer({ min: 0, max: 0xffff }))
    .map(([id, members]) => Math.floor(id / 16) * 65_536 + members),
);

const message = fc
  .record({
    destination,
    low: sum(bit(2), bit(3), fc.constantFrom(0, 0, 0, 0x10, 0xfe0, 0xff0)),
    data: sum(
      vector,
      fc.constantFrom(0, 0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7).map((mode) => mode * 256),
      fc.constantFrom(0, 0x4000, 0xc000, 0xc000, 0x8000),
    ),
    wrong: fc.constantFrom(...Array.from({ length: 30 }, () => 0), 1),
  })
  .map(({ destination: to, low, data, wrong }): Step => ({
    do: "message",
    upper: (to & 0xffff_ff00) | wrong,
    address: ((0xfee0_0000 - wrong * 0x10_0000) | ((to & 0xff) << 12)) + low,
    data,
  }));
const command = fc.record({
  do: fc.constant("command" as const),
  vcpu,
  low: sum(
    vector,
    fc.constantFrom(0, 0, 0, 1, 2, 3, 4, 5, 6, 7).map((mode) => mode * 256),
    bit(11),
    fc.constantFrom(0, 0x4000, 0xc000, 0x8000),
    fc.constantFrom(0, 0, 0, 1, 2, 3).map((shorthand) => shorthand * 0x4_0000),
  ),
  high: destination,
});
const write = fc.oneof(
  fc.record({ register: fc.constant("tpr" as const), value: fc.nat(0xff) }),
  fc.record({
    register: fc.constant("svr" as const),
    value: sum(bit(8, 6), bit(12), fc.constant(0xff)),
  }),
  fc.record({ register: fc.constant("ldr" as const), value: fc.nat(0xff) }),
  fc.record({ register: fc.constant("dfr" as const), value: fc.constantFrom(0, 0xf) }),
  fc.record({ register: fc.constant("esr" as const), value: fc.constant(0) }),
);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: message },
  { weight: 2, arbitrary: command },
  {
    weight: 3,
    arbitrary: fc.tuple(vcpu, write).map(([v, w]): Step => ({ do: "write", vcpu: v, ...w })),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("mode" as const),
      vcpu,
      bits: fc.constantFrom(0xc00, 0xc00, 0xc00, 0x800, 0x800, 0),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constantFrom("accept" as const, "accept" as const, "eoi" as const),
      vcpu,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom("events" as const, "init" as const), vcpu }),
  },
);

class Pair {
  readonly bus: LapicBus;
  readonly registers: LapicRegisters;
  readonly model: LapicModel;
  readonly heard: number[] = [];

  constructor(extended: boolean) {
    this.bus = new LapicBus({ vcpus: COUNT, apicIds: IDS, extendedDestinationId: extended });
    this.registers = new LapicRegisters(this.bus);
    this.model = new LapicModel(IDS, extended);
    this.bus.onEoi((heard) => this.heard.push(heard));
    for (let v = 0; v < COUNT; v += 1) this.write(v, "svr", 0x1ff);
  }

  run(s: Step): void {
    if (s.do === "message") {
      this.bus.deliver(s.upper, s.address, s.data);
      this.model.message(s.upper, s.address, s.data);
    } else if (s.do === "command") this.command(s.vcpu, s.low, s.high);
    else if (s.do === "write") this.write(s.vcpu, s.register, s.value);
    else if (s.do === "mode") this.mode(s.vcpu, s.bits);
    else if (s.do === "accept") expect(this.bus.accept(s.vcpu)).toBe(this.model.accept(s.vcpu));
    else if (s.do === "eoi") this.eoi(s.vcpu);
    else if (s.do === "events") {
      expect(this.bus.takeEvents(s.vcpu, 0xff)).toBe(this.model.takeEvents(s.vcpu));
    } else {
      this.bus.initialize(s.vcpu);
      this.model.initialize(s.vcpu);
    }
  }

  command(v: number, low: number, high: number): void {
    const { mode } = this.model.lapics[v]!;
    if (mode === "disabled") return;
    if (mode === "x2apic") {
      this.registers.writeMsr(v, 0x830, low, high | 0);
      this.model.command(v, low, high);
    } else {
      this.registers.writeMmio(v, 0x310, (high & 0xff) << 24);
      this.registers.writeMmio(v, 0x300, low);
      this.model.command(v, low, high & 0xff);
    }
  }

  write(v: number, register: string, value: number): void {
    const l = this.model.lapics[v]!;
    if (l.mode === "disabled") return;
    const x2apic = l.mode === "x2apic";
    const put = (offset: number, word: number) => {
      if (x2apic) this.registers.writeMsr(v, 0x800 + offset / 16, word, 0);
      else this.registers.writeMmio(v, offset, word);
    };
    if (register === "tpr") {
      put(0x80, value);
      l.tpr = value;
    } else if (register === "svr") {
      put(0xf0, value);
      l.svr = value;
    } else if (register === "ldr") {
      put(0xd0, value << 24);
      if (!x2apic) l.ldr = value;
    } else if (register === "dfr") {
      put(0xe0, value << 28);
      if (!x2apic) l.flat = value === 0xf;
    } else {
      put(0x280, 0);
      const errors = (l.errors.has("send") ? 0x20 : 0) + (l.errors.has("receive") ? 0x40 : 0);
      l.errors.clear();
      expect(this.word(v, 0x28)).toBe(errors);
    }
  }

  mode(v: number, bits: number): void {
    const l = this.model.lapics[v]!;
    const wanted = ({ 0: "disabled", 0x800: "xapic", 0xc00: "x2apic" } as const)[bits]!;
    const allowed =
      wanted === l.mode ||
      wanted === "disabled" ||
      (wanted === "xapic" && l.mode === "disabled") ||
      (wanted === "x2apic" && l.mode === "xapic");
    expect(this.registers.writeMsr(v, 0x1b, 0xfee0_0000 | bits, 0)).toBe(allowed);
    if (!allowed) return;
    if (wanted === "disabled" && l.mode !== "disabled") this.model.initialize(v);
    l.mode = wanted;
  }

  eoi(v: number): void {
    this.bus.eoi(v);
    this.model.eoi(v);
    expect(this.heard.splice(0)).toEqual(this.model.broadcasts.splice(0));
  }

  word(v: number, register: number): number {
    const out = new Int32Array(2);
    if (this.model.lapics[v]!.mode === "xapic") out[0] = this.registers.readMmio(v, register * 16);
    else this.registers.readMsr(v, 0x800 + register, out);
    return out[0]! >>> 0;
  }

  vectors(v: number, register: number): number[] {
    return Array.from({ length: 256 }, (_, n) => n).filter(
      (n) => (this.word(v, register + (n >> 5)) & (2 ** (n % 32))) !== 0,
    );
  }

  compare(): void {
    this.model.lapics.forEach((l, v) => {
      expect(this.bus.pending(v)).toBe(this.model.pending(v));
      if (l.mode === "disabled") return;
      expect(this.vectors(v, 0x10)).toEqual(sorted(l, "isr"));
      expect(this.vectors(v, 0x18)).toEqual(sorted(l, "tmr"));
      expect(this.vectors(v, 0x20)).toEqual(sorted(l, "irr"));
      expect(this.word(v, 0x0a)).toBe(ppr(l));
      this.write(v, "esr", 0);
    });
  }
}

function sorted(l: ModelLapic, set: "irr" | "isr" | "tmr"): number[] {
  return [...l[set]].sort((a, b) => a - b);
}

describe("the bus against one that asks every vCPU", () => {
  it("agrees on any sequence of messages, IPIs and register accesses", () => {
    let steps = 0;
    fc.assert(
      fc.property(fc.boolean(), fc.array(step, { minLength: 50, maxLength: 250 }), (ext, list) => {
        const pair = new Pair(ext);
        list.forEach((s, i) => {
          pair.run(s);
          if (i % 25 === 0) pair.compare();
        });
        pair.compare();
        steps += list.length;
      }),
      { seed, numRuns: 250 },
    );
    expect(steps).toBeGreaterThan(12_500);
  });

  it("goes on in the same way after save and restore", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), fc.array(step, { maxLength: 80 }), (a, b) => {
        const pair = new Pair(false);
        for (const s of a) pair.run(s);
        const record = pair.bus.save();
        pair.bus.reset();
        pair.bus.restore(record);
        for (const s of b) pair.run(s);
        pair.compare();
      }),
      { seed, numRuns: 60 },
    );
  });
});
