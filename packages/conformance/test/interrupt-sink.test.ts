import { ApicMode, LapicBus, LapicRegisters } from "@viommu/irq-hooks";
import type { InterruptSink } from "@viommu/plugin";
import { describe } from "vitest";
import { interruptSinkConformance } from "../src/index.ts";
import type { Delivery, InterruptSinkHarness, SinkCpu } from "../src/index.ts";
import { catchesAll, passesAll } from "./mutants.ts";
import type { Mutant } from "./mutants.ts";

function lapicHarness(apicIds: readonly number[], x2apic: boolean): InterruptSinkHarness {
  let deliveries: Delivery[] = [];
  const bus = new LapicBus({
    vcpus: apicIds.length,
    apicIds,
    initialMode: x2apic ? ApicMode.X2APIC : ApicMode.XAPIC,
    onInterrupt: (vcpu, vector, mode) => {
      deliveries.push({ apicId: apicIds[vcpu]!, vector, mode });
    },
  });
  const registers = new LapicRegisters(bus);
  apicIds.forEach((_, vcpu) => {
    if (x2apic) {
      registers.writeMsr(vcpu, 0x80f, 0x1ff, 0);
    } else {
      registers.writeMmio(vcpu, 0xf0, 0x1ff);
      if (vcpu < 8) registers.writeMmio(vcpu, 0xd0, 1 << (24 + vcpu));
    }
  });
  return {
    sink: bus,
    cpus: apicIds.map((apicId, vcpu) => ({
      apicId,
      logicalId: x2apic ? x2apicLogicalId(apicId) : vcpu < 8 ? 1 << vcpu : 0,
    })),
    x2apic,
    delivered: () => {
      const taken = deliveries;
      deliveries = [];
      return taken;
    },
  };
}

/** Cluster in bits 31:16, member in 15:0; ids from 2^20 on have none. */
function x2apicLogicalId(apicId: number): number {
  if (apicId >= 2 ** 20) return 0;
  return (((apicId >>> 4) << 16) | (1 << (apicId & 15))) >>> 0;
}

const counted = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe("LapicBus with 288 CPUs in x2APIC mode", () => {
  passesAll(interruptSinkConformance(() => lapicHarness(counted(288), true)));
});

describe("LapicBus with scattered ids", () => {
  const ids = [0x0001_0020, 7, 0xffff_fffe, 0x8000_0000, 0xff, 0x100, 0x1_0000, 0x0f_fff3];
  passesAll(interruptSinkConformance(() => lapicHarness(ids, true)));
});

describe("LapicBus with 8 CPUs in xAPIC mode", () => {
  passesAll(interruptSinkConformance(() => lapicHarness(counted(8), false)));
});

describe("LapicBus with 200 CPUs in xAPIC mode, 8 of them with a logical id", () => {
  passesAll(interruptSinkConformance(() => lapicHarness(counted(200), false)));
});

/** The simplest right sink: asks every CPU. Wrong ones are made from it by overriding. */
class SimpleSink implements InterruptSink {
  readonly cpus: readonly SinkCpu[] = counted(300).map((apicId) => ({
    apicId,
    logicalId: x2apicLogicalId(apicId),
  }));
  deliveries: Delivery[] = [];

  deliver(upper: number, address: number, data: number): void {
    if (address >>> 20 !== 0xfee) return;
    const destination = ((upper & ~0xff) | ((address >>> 12) & 0xff)) >>> 0;
    const all = this.cpus.filter((cpu) => this.means(destination, (address & 4) !== 0, cpu));
    const mode = (data >>> 8) & 7;
    const chosen = mode === 1 || (address & 8) !== 0 ? this.arbitrate(all) : all;
    for (const { apicId } of chosen) this.post({ apicId, mode, vector: data & 0xff });
  }

  means(destination: number, logical: boolean, { apicId, logicalId }: SinkCpu): boolean {
    if (destination === 0xffff_ffff) return true;
    if (!logical) return apicId === destination;
    return logicalId >>> 16 === destination >>> 16 && (logicalId & destination & 0xffff) !== 0;
  }

  arbitrate(cpus: readonly SinkCpu[]): readonly SinkCpu[] {
    return cpus.slice(0, 1);
  }

  post(delivery: Delivery): void {
    this.deliveries.push(delivery);
  }
}

const harnessOf = (sink: SimpleSink): InterruptSinkHarness => ({
  sink,
  cpus: sink.cpus,
  x2apic: true,
  delivered: () => sink.deliveries.splice(0),
});

describe("a sink of no vendor", () => {
  passesAll(interruptSinkConformance(() => harnessOf(new SimpleSink())));
});

const wrong = (Sink: new () => SimpleSink) => () => harnessOf(new Sink());

const MUTANTS: readonly Mutant<InterruptSinkHarness>[] = [
  {
    that: "delivers to a second CPU",
    make: wrong(
      class extends SimpleSink {
        override means(destination: number, logical: boolean, cpu: SinkCpu): boolean {
          const second = { ...cpu, apicId: cpu.apicId + 1 };
          return super.means(destination, logical, cpu) || super.means(destination, false, second);
        }
      },
    ),
    foundBy: "an interrupt for one CPU reaches this CPU alone",
  },
  {
    that: "looks at 8 bits of a destination only",
    make: wrong(
      class extends SimpleSink {
        override deliver(upper: number, address: number, data: number): void {
          super.deliver(upper === -0x100 ? upper : 0, address, data);
        }
      },
    ),
    foundBy: "an interrupt for one CPU reaches this CPU alone",
  },
  {
    that: "delivers to the first CPU what is for none",
    make: wrong(
      class extends SimpleSink {
        override means(destination: number, logical: boolean, cpu: SinkCpu): boolean {
          const nobody = destination > 300 && !logical && cpu.apicId === 0;
          return nobody || super.means(destination, logical, cpu);
        }
      },
    ),
    foundBy: "an interrupt for a CPU that is not there vanishes",
  },
  {
    that: "drops level-triggered interrupts",
    make: wrong(
      class extends SimpleSink {
        override deliver(upper: number, address: number, data: number): void {
          if ((data & 0x8000) === 0) super.deliver(upper, address, data);
        }
      },
    ),
    foundBy: "a level-triggered interrupt reaches its CPU as well",
  },
  {
    that: "loses bit 7 of vectors",
    make: wrong(
      class extends SimpleSink {
        override post(delivery: Delivery): void {
          super.post({ ...delivery, vector: delivery.vector & 0x7f });
        }
      },
    ),
    foundBy: "every vector arrives as it is",
  },
  {
    that: "makes every message a fixed interrupt",
    make: wrong(
      class extends SimpleSink {
        override post(delivery: Delivery): void {
          super.post({ ...delivery, mode: 0 });
        }
      },
    ),
    foundBy: "an NMI reaches the addressed CPU as an NMI",
  },
  {
    that: "broadcasts to the first 256 CPUs",
    make: wrong(
      class extends SimpleSink {
        override means(destination: number, logical: boolean, cpu: SinkCpu): boolean {
          if (destination === 0xffff_ffff && cpu.apicId > 255) return false;
          return super.means(destination, logical, cpu);
        }
      },
    ),
    foundBy: "a broadcast reaches every CPU once",
  },
  {
    that: "takes a logical destination for a physical one",
    make: wrong(
      class extends SimpleSink {
        override means(destination: number, _logical: boolean, cpu: SinkCpu): boolean {
          return super.means(destination, false, cpu);
        }
      },
    ),
    foundBy: "a logical destination reaches the CPU that it names",
  },
  {
    that: "delivers to the lowest member of a cluster only",
    make: wrong(
      class extends SimpleSink {
        override means(destination: number, logical: boolean, cpu: SinkCpu): boolean {
          const lowest = destination & -destination & 0xffff;
          const only = logical && lowest !== 0 ? (destination & ~0xffff) | lowest : destination;
          const all = destination === 0xffff_ffff;
          return super.means(all ? destination : only >>> 0, logical, cpu);
        }
      },
    ),
    foundBy: "a logical destination reaches all members of a cluster that it names",
  },
  {
    that: "delivers lowest-priority interrupts to all",
    make: wrong(
      class extends SimpleSink {
        override arbitrate(cpus: readonly SinkCpu[]): readonly SinkCpu[] {
          return cpus;
        }
      },
    ),
    foundBy: "of several CPUs one takes a lowest-priority or redirected interrupt",
  },
  {
    that: "throws on a mode that is reserved",
    make: wrong(
      class extends SimpleSink {
        override post(delivery: Delivery): void {
          if (delivery.mode === 3) throw new RangeError("reserved delivery mode");
          super.post(delivery);
        }
      },
    ),
    foundBy: "any message is taken without an exception",
  },
  {
    that: "stops after a message of no interrupt",
    make: wrong(
      class extends SimpleSink {
        #stopped = false;
        override deliver(upper: number, address: number, data: number): void {
          this.#stopped ||= address >>> 20 !== 0xfee;
          if (!this.#stopped) super.deliver(upper, address, data);
        }
      },
    ),
    foundBy: "after any messages interrupts arrive as before",
  },
];

describe("interruptSinkConformance", () => {
  catchesAll("a sink", interruptSinkConformance, MUTANTS);
});
