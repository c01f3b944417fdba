import { createMemory } from "@viommu/memory";
import {
  Access,
  assemble,
  dmaRemappers,
  guestMemory,
  interruptRemappers,
  interruptSink,
  mmioRegions,
  pendingWork,
  snapshottables,
} from "@viommu/plugin";
import type { GuestMemory, InterruptSink, Plugin } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { createProfile, createUnit, vtd, vtdUnits } from "../src/index.ts";
import { Bench, IRE, QIE, SRTP, STATUS, TE } from "./support/bench.ts";

const memory = (): GuestMemory => createMemory({ regions: [{ base: 0, size: 0x10_0000 }] });
const nowhere: InterruptSink = { deliver: () => undefined };

describe("a unit", () => {
  it("refuses a base that is no page, and a budget of nothing", () => {
    const options = { name: "dmar0", profile: createProfile(), memory: memory(), sink: nowhere };
    for (const wrong of [{ base: 0x10 }, { base: -4096 }, { base: 0, queueBudget: 0 }]) {
      expect(() => createUnit({ ...options, ...wrong })).toThrow(/unit "dmar0".*give/);
    }
  });

  it("tells observers of a register write before it takes effect", () => {
    const bench = new Bench();
    const heard: unknown[] = [];
    bench.hooks.registerWrite = (...write) => heard.push([...write, bench.read32(0x1c)]);
    bench.write32(0x18, QIE);
    bench.write64(0x90, 0x1_0000_1000n);
    expect(heard).toEqual([
      ["dmar0", 0x18, 4, QIE, 0, 0],
      ["dmar0", 0x90, 8, 0x1000, 1, QIE],
    ]);
  });

  it("refuses requests that ask to execute from major version 8 on: 34h (VT-d 7.1.3, RTA.5)", () => {
    const reasonOf = (version: number): number => {
      const bench = new Bench({ version, scalableMode: true });
      bench.setRoot(0x400n);
      bench.command(TE);
      const result = bench.dma(0x10, 0n, Access.READ | Access.EXECUTE, 0x21);
      expect((bench.read32(0x220 + 12) >>> 0) & 0xff).toBe(result);
      return result;
    };
    expect(reasonOf(0x80)).toBe(0x34);
    expect(reasonOf(0x70)).toBe(0x39); // the root entry is not present
  });

  it("is one of several in a process, each on its own", () => {
    const one = new Bench({}, { name: "dmar0" });
    const two = new Bench({}, { name: "dmar1", segment: 1, base: 0xfed9_1000 });
    one.setRoot();
    one.command(TE);
    one.enableQueue();
    one.submit([0x3_0000_0025n, STATUS]);
    expect(one.dma(0x10, 0n)).toBe(1);
    expect(two.dma(0x10, 0n)).toBe(0);
    expect([two.read32(0x1c), two.read32(0x34)]).toEqual([0, 0]);
    expect(two.invalidations).toEqual([]);
    expect([one.unit.segment, two.unit.segment]).toEqual([0, 1]);
    expect([two.unit.dma.segment, two.unit.interrupts.segment]).toEqual([1, 1]);
  });
});

describe("reset", () => {
  it("brings every register back and switches everything off", () => {
    const fresh = new Bench({ protectedMemory: true, deviceTlb: true });
    const bench = new Bench(
      { protectedMemory: true, deviceTlb: true },
      { deviceTlb: { invalidate: () => "pending" } },
    );
    bench.setEvent(0x38, 0x21);
    bench.setRoot();
    bench.setInterruptTable();
    bench.command(IRE);
    bench.command(TE);
    bench.dma(0x10, 0n);
    bench.write32(0x6c, -1);
    bench.write32(0x64, -1);
    bench.enableQueue();
    bench.submit([0x10_0000_0003n, 0n], [0x3_0000_0025n, STATUS]);
    expect(bench.unit.save()).not.toEqual(fresh.unit.save());

    bench.unit.reset();
    expect(bench.unit.save()).toEqual(fresh.unit.save());
    expect(bench.dma(0x10, 0n)).toBe(0);
    expect(bench.interrupt(0x10, 0xfee0_1000)).toBe(0);
    expect(bench.unit.pending).toBe(false);
    expect(bench.modes.at(-1)).toEqual({
      translation: false,
      remapping: false,
      rootTable: [0, 0],
      interruptTable: [0, 0],
      cause: "reset",
    });
    // registers that were hardware's are software's again
    bench.write32(0x6c, -1);
    expect(bench.read32(0x6c)).toBe(0xfff0_0000);
  });

  it("forgets commands that wait for accesses in flight", () => {
    const bench = new Bench();
    const ticket = bench.unit.dma.enter();
    bench.setRoot();
    bench.write64(0x28, 0xa000_0000_0000_0000n);
    bench.unit.reset();
    bench.unit.dma.leave(ticket);
    expect([bench.read32(0x1c), bench.read64(0x28)]).toEqual([0, 0n]);
    bench.setRoot();
    expect(bench.read32(0x1c)).toBe(SRTP);
  });

  it("stops a queue that is running", () => {
    const bench = new Bench();
    bench.hooks.invalidate = () => {
      bench.unit.reset();
    };
    bench.enableQueue();
    bench.submit([0x11n, 0n], [0x3_0000_0025n, STATUS]);
    expect(bench.get32(STATUS)).toBe(0);
    expect(bench.read64(0x80)).toBe(0n);
  });
});

describe("the plugin", () => {
  const machine: Plugin = {
    name: "machine",
    provides: [guestMemory, interruptSink],
    setup(host) {
      host.provide(guestMemory, memory());
      host.provide(interruptSink, nowhere);
    },
  };

  it("puts units into a machine, under every port", () => {
    const profile = createProfile();
    const assembly = assemble([
      vtd({ name: "dmar0", base: 0xfed9_0000, profile }),
      vtd({ name: "dmar1", base: 0xfed9_1000, profile, segment: 1 }),
      machine,
    ]);
    const units = assembly.use(vtdUnits);
    expect(units.map((unit) => [unit.name, unit.base, unit.size])).toEqual([
      ["dmar0", 0xfed9_0000, 0x1000],
      ["dmar1", 0xfed9_1000, 0x1000],
    ]);
    expect(assembly.use(mmioRegions)).toEqual(units);
    expect(assembly.use(pendingWork)).toEqual(units);
    expect(assembly.use(snapshottables)).toEqual(units);
    expect(assembly.use(dmaRemappers)).toEqual(units.map((unit) => unit.dma));
    expect(assembly.use(interruptRemappers)).toEqual(units.map((unit) => unit.interrupts));
    units[0]!.write(0x18, 4, TE | 0, 0);
    assembly.reset();
    const out = new Int32Array(2);
    units[0]!.read(0x1c, 4, out);
    expect(out[0]).toBe(0);
  });

  it("needs memory and a sink", () => {
    const unit = vtd({ name: "dmar0", base: 0, profile: createProfile() });
    expect(() => assemble([unit])).toThrow(/guest-memory/);
  });
});
