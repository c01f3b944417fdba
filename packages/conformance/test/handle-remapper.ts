import type { InterruptRemapper, InterruptRequest } from "@viommu/plugin";
import { messageOf } from "../src/index.ts";
import type { Interrupt, InterruptRemapperHarness, Message } from "../src/index.ts";

interface Way {
  readonly sourceId: number;
  /** Null: posted. */
  readonly interrupt: Interrupt | null;
}

/**
 * The simplest right remapper of interrupts, of no vendor: a message's data is a handle. A list of
 * handles is copied by `sync` only. Wrong ones are made from it by overriding.
 */
export class HandleRemapper implements InterruptRemapper {
  readonly segment: number = 0;
  faults = 0;
  posted = 0;
  ways: (Way | undefined)[] = [];
  readonly #next: (Way | undefined)[] = [];

  remap(request: InterruptRequest): number {
    const result = this.answer(request, true);
    if (result > 0) this.report(request);
    return result;
  }

  probe(request: InterruptRequest): number {
    const result = this.answer(request, false);
    if (result > 0) request.suppressed = false;
    return result;
  }

  report(request: InterruptRequest): void {
    request.suppressed = false;
    this.faults += 1;
  }

  answer(request: InterruptRequest, effective: boolean): number {
    if (!this.isInterrupt(request)) return 1;
    const way = this.ways[request.data];
    if (way?.sourceId !== request.sourceId) return 2;
    if (way.interrupt !== null) {
      this.complete(request, way.interrupt);
      return 0;
    }
    if (effective) this.posted += 1;
    return -1;
  }

  isInterrupt({ upper, address }: InterruptRequest): boolean {
    return upper === 0 && address >>> 20 === 0xfee;
  }

  complete(request: InterruptRequest, interrupt: Interrupt): void {
    const { upper, address, data } = messageOf(interrupt);
    request.messageUpper = upper;
    request.messageAddress = address;
    request.messageData = data;
  }

  set(handle: number, way: Way | undefined): void {
    this.#next[handle] = way;
  }

  add(way: Way): Message {
    this.#next.push(way);
    return { address: 0xfee0_0000 | 0, data: this.#next.length - 1 };
  }

  sync(): void {
    this.ways = [...this.#next];
  }
}

/** The harness of such a remapper. */
export function handleHarness(remapper: HandleRemapper): InterruptRemapperHarness {
  return {
    remapper,
    routes: {
      destinationBits: 32,
      route: (sourceId, interrupt) => remapper.add({ sourceId, interrupt }),
      change: ({ data }, sourceId, interrupt) => {
        remapper.set(data, { sourceId, interrupt });
      },
      drop: ({ data }) => {
        remapper.set(data, undefined);
      },
      sync: () => {
        remapper.sync();
      },
      post: (sourceId) => remapper.add({ sourceId, interrupt: null }),
    },
    reported: () => remapper.faults,
    state: () => `${remapper.faults} faults, ${remapper.posted} posted`,
  };
}
