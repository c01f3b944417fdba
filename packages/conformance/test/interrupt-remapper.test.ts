import type { InterruptRequest } from "@viommu/plugin";
import { SourceValidation } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { interruptRemapperConformance, InterruptTable } from "../src/index.ts";
import type { Interrupt, InterruptRemapperHarness, IrteFields, Message } from "../src/index.ts";
import { handleHarness, HandleRemapper } from "./handle-remapper.ts";
import { catchesAll, passesAll } from "./mutants.ts";
import type { Mutant } from "./mutants.ts";
import { VtdMachine } from "./vtd-machine.ts";

function irte(sourceId: number, interrupt: Interrupt): IrteFields {
  const { destination, logical, redirect, mode, vector, level } = interrupt;
  return {
    V: vector,
    DST: destination,
    DLM: mode,
    DM: logical ? 1 : 0,
    RH: redirect ? 1 : 0,
    TM: level ? 1 : 0,
    SVT: SourceValidation.SOURCE_ID,
    SID: sourceId,
  };
}

function vtdHarness(extended: boolean, postedInterrupts: boolean): InterruptRemapperHarness {
  const machine = new VtdMachine({ postedInterrupts });
  const table = new InterruptTable(machine.space, { extended });
  machine.remapWith(table);
  const indexes = new Map<Message, number>();
  const add = (write: (index: number) => void): Message => {
    // holes between entries, and one behind bit 7 of the index
    const index = indexes.size * 3 + (indexes.size > 4 ? 0x80 : 0);
    const message = table.message(index);
    indexes.set(message, index);
    write(index);
    return message;
  };
  const post = (sourceId: number, vector: number): Message =>
    add((index) => {
      const descriptor = machine.space.allocate();
      table.post(index, descriptor, {
        VV: vector,
        SVT: SourceValidation.SOURCE_ID,
        SID: sourceId,
      });
    });
  return {
    remapper: machine.unit.interrupts,
    routes: {
      destinationBits: extended ? 32 : 8,
      route: (sourceId, interrupt) =>
        add((index) => {
          table.remap(index, irte(sourceId, interrupt));
        }),
      change: (message, sourceId, interrupt) => {
        table.remap(indexes.get(message)!, irte(sourceId, interrupt));
      },
      drop: (message) => {
        table.clear(indexes.get(message)!);
      },
      sync: () => {
        machine.invalidate();
      },
      post: postedInterrupts ? post : null,
    },
    reported: () => machine.faults,
    state: () => machine.state(),
  };
}

describe("VtdUnit.interrupts with 32-bit ids", () => {
  passesAll(interruptRemapperConformance(() => vtdHarness(true, false)));
});

describe("VtdUnit.interrupts with 8-bit ids", () => {
  passesAll(interruptRemapperConformance(() => vtdHarness(false, false)));
});

describe("VtdUnit.interrupts with posted interrupts", () => {
  passesAll(interruptRemapperConformance(() => vtdHarness(true, true)));
});

describe("VtdUnit.interrupts, switched off", () => {
  passesAll(
    interruptRemapperConformance(() => {
      const machine = new VtdMachine();
      return {
        remapper: machine.unit.interrupts,
        routes: null,
        reported: () => machine.faults,
        state: () => machine.state(),
      };
    }),
  );
});

describe("a remapper of no vendor", () => {
  const checks = interruptRemapperConformance(() => handleHarness(new HandleRemapper()));
  passesAll(checks);

  it("is asked for more than one whose answers cannot be chosen", () => {
    const fewer = interruptRemapperConformance(() => ({
      ...handleHarness(new HandleRemapper()),
      routes: null,
    }));
    expect(checks.length - fewer.length).toBe(5);
  });
});

const wrong = (Remapper: new () => HandleRemapper) => () => handleHarness(new Remapper());

const MUTANTS: readonly Mutant<InterruptRemapperHarness>[] = [
  {
    that: "throws on a handle that is not there",
    make: wrong(
      class extends HandleRemapper {
        override answer(request: InterruptRequest, effective: boolean): number {
          if (request.data < 0) throw new RangeError("handle");
          return super.answer(request, effective);
        }
      },
    ),
    foundBy: "every request gets DELIVER, CONSUMED or a fault reason, and no exception",
  },
  {
    that: "cuts the data in the request",
    make: wrong(
      class extends HandleRemapper {
        override answer(request: InterruptRequest, effective: boolean): number {
          request.data &= 0xff;
          return super.answer(request, effective);
        }
      },
    ),
    foundBy: "what was asked stays in the request",
  },
  {
    that: "leaves an old upper word in the message",
    make: wrong(
      class extends HandleRemapper {
        override complete(request: InterruptRequest, interrupt: Interrupt): void {
          const { messageUpper } = request;
          super.complete(request, interrupt);
          if (interrupt.destination < 256) request.messageUpper = messageUpper;
        }
      },
    ),
    foundBy: "what the request object held before is in no answer",
  },
  {
    that: "leaves the old `suppressed` in a fault",
    make: wrong(
      class extends HandleRemapper {
        override report(): void {
          this.faults += 1;
        }
      },
    ),
    foundBy: "what the request object held before is in no answer",
  },
  {
    that: "puts destination 7:0 into the upper word",
    make: wrong(
      class extends HandleRemapper {
        override complete(request: InterruptRequest, interrupt: Interrupt): void {
          super.complete(request, interrupt);
          request.messageUpper = interrupt.destination | 0;
        }
      },
    ),
    foundBy: "what is to be delivered has the form of an MSI",
  },
  {
    that: "takes writes above 4 GiB for interrupts",
    make: wrong(
      class extends HandleRemapper {
        override isInterrupt({ address }: InterruptRequest): boolean {
          return address >>> 20 === 0xfee;
        }
      },
    ),
    foundBy: "a write above 4 GiB is no interrupt",
  },
  {
    that: "blocks every thousandth request",
    make: wrong(
      class extends HandleRemapper {
        #count = 0;
        override answer(request: InterruptRequest, effective: boolean): number {
          this.#count += 1;
          return this.#count % 1000 === 0 ? 9 : super.answer(request, effective);
        }
      },
    ),
    foundBy: "the same request gets the same answer again",
  },
  {
    that: "reports no fault of a foreign requester",
    make: wrong(
      class extends HandleRemapper {
        override report(request: InterruptRequest): void {
          super.report(request);
          if (request.sourceId === 0x01a9) this.faults -= 1;
        }
      },
    ),
    foundBy: "each blocked request is reported once, and nothing else is",
  },
  {
    that: "does not look at the requester of a probe",
    make: wrong(
      class extends HandleRemapper {
        override probe(request: InterruptRequest): number {
          const { sourceId } = request;
          request.sourceId = 0x0010;
          const result = super.probe(request);
          request.sourceId = sourceId;
          return result;
        }
      },
    ),
    foundBy: "probe answers what remap answers, before and after it",
  },
  {
    that: "posts when it is probed",
    make: wrong(
      class extends HandleRemapper {
        override probe(request: InterruptRequest): number {
          const result = this.answer(request, true);
          if (result > 0) request.suppressed = false;
          return result;
        }
      },
    ),
    foundBy: "probe leaves no trace",
  },
  {
    that: "records the faults of probes",
    make: wrong(
      class extends HandleRemapper {
        override probe(request: InterruptRequest): number {
          return this.remap(request);
        }
      },
    ),
    foundBy: "probe leaves no trace",
  },
  {
    that: "cuts destinations to 8 bits",
    make: wrong(
      class extends HandleRemapper {
        override complete(request: InterruptRequest, interrupt: Interrupt): void {
          super.complete(request, { ...interrupt, destination: interrupt.destination & 0xff });
        }
      },
    ),
    foundBy: "an interrupt arrives with the destination, vector and modes of its way",
  },
  {
    that: "makes every interrupt an edge",
    make: wrong(
      class extends HandleRemapper {
        override complete(request: InterruptRequest, interrupt: Interrupt): void {
          super.complete(request, { ...interrupt, level: false });
        }
      },
    ),
    foundBy: "an interrupt arrives with the destination, vector and modes of its way",
  },
  {
    that: "leaves the format bit of its own requests in the message",
    make: wrong(
      class extends HandleRemapper {
        override complete(request: InterruptRequest, interrupt: Interrupt): void {
          super.complete(request, interrupt);
          request.messageAddress |= 0x10;
        }
      },
    ),
    foundBy: "an interrupt arrives with the destination, vector and modes of its way",
  },
  {
    that: "does not look at the requester",
    make: wrong(
      class extends HandleRemapper {
        override answer(request: InterruptRequest, effective: boolean): number {
          const { sourceId } = request;
          request.sourceId = this.ways[request.data]?.sourceId ?? sourceId;
          const result = super.answer(request, effective);
          request.sourceId = sourceId;
          return result;
        }
      },
    ),
    foundBy: "a way belongs to its requester",
  },
  {
    that: "forgets no way",
    make: wrong(
      class extends HandleRemapper {
        override set(handle: number, way: Parameters<HandleRemapper["set"]>[1]): void {
          if (way !== undefined) super.set(handle, way);
        }
      },
    ),
    foundBy: "a way that was taken back is blocked",
  },
  {
    that: "never looks at a way again",
    make: wrong(
      class extends HandleRemapper {
        override sync(): void {
          const known = this.ways;
          super.sync();
          this.ways = this.ways.map((way, handle) => known[handle] ?? way);
        }
      },
    ),
    foundBy: "a way that was changed leads to its new destination",
  },
  {
    that: "says that it has posted, and has not",
    make: wrong(
      class extends HandleRemapper {
        override answer(request: InterruptRequest): number {
          return super.answer(request, false);
        }
      },
    ),
    foundBy: "a posted interrupt is consumed, and posted",
  },
];

describe("interruptRemapperConformance", () => {
  catchesAll("a remapper", interruptRemapperConformance, MUTANTS);
});
