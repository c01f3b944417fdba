import type { InterruptRemapper, InterruptRequest, InterruptSink } from "@viommu/plugin";
import { InterruptRoute, Ioapic } from "../src/index.ts";
import type { IoapicOptions } from "../src/index.ts";

/** A sink that keeps what it gets, as "upper address data" in hex. */
export class RecordingSink implements InterruptSink {
  readonly messages: string[] = [];

  deliver(upper: number, address: number, data: number): void {
    this.messages.push([upper, address, data].map((word) => (word >>> 0).toString(16)).join(" "));
  }

  take(): string[] {
    return this.messages.splice(0);
  }
}

/** A remapper that answers every request in the way of `answer`, and keeps what it was asked. */
export class FakeRemapper implements InterruptRemapper {
  readonly segment: number = 0;
  readonly requests: string[] = [];
  answer: (request: InterruptRequest) => number;

  constructor(answer: (request: InterruptRequest) => number) {
    this.answer = answer;
  }

  remap(request: InterruptRequest): number {
    const words = [request.sourceId, request.upper, request.address, request.data];
    this.requests.push(words.map((word) => (word >>> 0).toString(16)).join(" "));
    return this.answer(request);
  }

  probe(request: InterruptRequest): number {
    return this.answer(request);
  }
}

/** A remapper that blocks everything with one fault reason. */
export function blockAll(reason: number): FakeRemapper {
  return new FakeRemapper(() => reason);
}

/** A remapper that makes every request the same message. */
export function remapTo(upper: number, address: number, data: number): FakeRemapper {
  return new FakeRemapper((request) => {
    request.messageUpper = upper;
    request.messageAddress = address;
    request.messageData = data;
    return 0;
  });
}

/** An I/O APIC as a guest sees it: through its window. */
export class GuestIoapic {
  readonly chip: Ioapic;
  readonly sink = new RecordingSink();
  readonly #out = new Int32Array(2);

  constructor(options: Partial<IoapicOptions> = {}, remapper?: InterruptRemapper) {
    const route = new InterruptRoute({ sink: this.sink, remapper, sourceId: 0xf0f8 });
    this.chip = new Ioapic({ name: "ioapic", base: 0xfec0_0000, route, ...options });
  }

  read(index: number): number {
    this.chip.write(0x00, 4, index);
    this.chip.read(0x10, 4, this.#out);
    return this.#out[0]! >>> 0;
  }

  write(index: number, value: number): void {
    this.chip.write(0x00, 4, index);
    this.chip.write(0x10, 4, value);
  }

  /** Writes an entry in the order Linux uses: the half with the mask last. */
  program(pin: number, high: number, low: number): void {
    this.write(0x11 + pin * 2, high);
    this.write(0x10 + pin * 2, low);
  }

  entry(pin: number): [high: number, low: number] {
    return [this.read(0x11 + pin * 2), this.read(0x10 + pin * 2)];
  }

  writeEoi(vector: number): void {
    this.chip.write(0x40, 4, vector);
  }
}
