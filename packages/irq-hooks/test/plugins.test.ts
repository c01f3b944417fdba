import {
  assemble,
  interruptRemappers,
  interruptSink,
  mmioRegions,
  snapshottables,
} from "@viommu/plugin";
import type { InterruptRemapper, Plugin } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { ApicMode, ioapic, ioapics, lapicBus, LapicRegisters, lapics } from "../src/index.ts";
import { FakeRemapper, RecordingSink, remapTo } from "./ioapic-machine.ts";

const remapping = (name: string, remapper: InterruptRemapper): Plugin => ({
  name,
  provides: [interruptRemappers],
  setup(host) {
    host.provide(interruptRemappers, remapper);
  },
});
const chip = { name: "ioapic0", base: 0xfec0_0000, sourceId: 0xf0f8 };

/** Lets pin 16 interrupt by level with vector 51h, remappable index 3. */
function interrupt(machine: ReturnType<typeof assemble>): void {
  const [first] = machine.use(ioapics);
  for (const [index, value] of [
    [0x31, 0x0007_0000],
    [0x30, 0x8051],
  ] as const) {
    first!.write(0x00, 4, index);
    first!.write(0x10, 4, value);
  }
  first!.setPin(16, true);
}

class SegmentRemapper extends FakeRemapper {
  override readonly segment: number;

  constructor(segment: number) {
    super(() => 0x22);
    this.segment = segment;
  }
}

describe("the plugins", () => {
  it("take a pin's interrupt through the remapper to a vCPU, and its EOI back", () => {
    const machine = assemble([
      ioapic(chip),
      remapping("unit0", remapTo(0x100, 0xfee1_f000, 0xc051)),
      lapicBus({ vcpus: 288, initialMode: ApicMode.X2APIC }),
    ]);
    const bus = machine.use(lapics);
    const registers = new LapicRegisters(bus);
    registers.writeMsr(287, 0x80f, 0x1ff, 0);
    interrupt(machine);
    expect(bus.accept(287)).toBe(0x51);
    expect(bus.pending(287)).toBe(-1);
    registers.writeMsr(287, 0x80b, 0, 0);
    expect(bus.pending(287)).toBe(0x51);
  });

  it("offer sink, registers and state to the machine", () => {
    const machine = assemble([lapicBus({ vcpus: 1 }), ioapic(chip)]);
    expect(machine.use(interruptSink)).toBe(machine.use(lapics));
    expect(machine.use(mmioRegions)).toEqual(machine.use(ioapics));
    expect(machine.use(snapshottables).map((part) => part.snapshotId)).toEqual([
      "lapic-bus",
      "ioapic0",
    ]);
  });

  it("do without a remapper", () => {
    const machine = assemble([lapicBus({ vcpus: 1 }), ioapic(chip)]);
    const bus = machine.use(lapics);
    new LapicRegisters(bus).writeMmio(0, 0xf0, 0x1ff);
    interrupt(machine);
    expect(bus.accept(0)).toBe(0x51);
  });

  it("choose the remapper of the segment", () => {
    const units = [new SegmentRemapper(0), new SegmentRemapper(1)];
    const others = units.map((unit) => remapping(`unit${unit.segment}`, unit));
    interrupt(assemble([...others, lapicBus({ vcpus: 1 }), ioapic({ ...chip, segment: 1 })]));
    expect(units.map((unit) => unit.requests.length)).toEqual([0, 1]);
  });

  it("let the machine choose otherwise", () => {
    const units = [new SegmentRemapper(0), new SegmentRemapper(0)];
    const others = units.map((unit, i) => remapping(`unit${i}`, unit));
    const second = ioapic({ ...chip, remapper: (all) => all[1] });
    interrupt(assemble([...others, lapicBus({ vcpus: 1 }), second]));
    expect(units.map((unit) => unit.requests.length)).toEqual([0, 1]);
  });

  it("work with any other sink; its EOIs are then the host's to tell", () => {
    const sink = new RecordingSink();
    const other: Plugin = {
      name: "recording-sink",
      provides: [interruptSink],
      setup(host) {
        host.provide(interruptSink, sink);
      },
    };
    const machine = assemble([other, ioapic(chip)]);
    interrupt(machine);
    machine.use(ioapics)[0]!.eoi(0x51);
    expect(sink.take()).toEqual(["0 fee00070 c051", "0 fee00070 c051"]);
  });

  it("reset with the machine", () => {
    const machine = assemble([lapicBus({ vcpus: 1 }), ioapic(chip)]);
    new LapicRegisters(machine.use(lapics)).writeMmio(0, 0xf0, 0x1ff);
    interrupt(machine);
    machine.reset();
    expect(machine.use(lapics).pending(0)).toBe(-1);
    expect(new LapicRegisters(machine.use(lapics)).readMmio(0, 0xf0)).toBe(0xff);
  });
});
