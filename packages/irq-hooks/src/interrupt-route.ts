import { InterruptRequest, InterruptResult } from "@viommu/plugin";
import type { InterruptRemapper, InterruptSink } from "@viommu/plugin";

export interface InterruptRouteOptions {
  readonly sink: InterruptSink;
  /** The remapper that covers the source; without one its messages go to the sink as they are. */
  readonly remapper?: InterruptRemapper | undefined;
  /** Requester id of the source; a function, where the guest may renumber its bus. */
  readonly sourceId: number | (() => number);
}

/** The way of one source's interrupts: through the remapper that covers it, if any, to the sink. */
export class InterruptRoute {
  readonly #sink: InterruptSink;
  readonly #remapper: InterruptRemapper | null;
  readonly #sourceId: number | (() => number);
  readonly #request = new InterruptRequest();

  constructor(options: InterruptRouteOptions) {
    this.#sink = options.sink;
    this.#remapper = options.remapper ?? null;
    this.#sourceId = options.sourceId;
  }

  /**
   * Sends a message to FEEx_xxxxh: `InterruptResult.DELIVER`, `CONSUMED` (posted), or the fault
   * reason of a blocked one, which the remapper has reported.
   */
  send(address: number, data: number): number {
    if (this.#remapper === null) {
      this.#sink.deliver(0, address, data);
      return InterruptResult.DELIVER;
    }
    const request = this.#request;
    request.sourceId = typeof this.#sourceId === "number" ? this.#sourceId : this.#sourceId();
    request.address = address;
    request.upper = 0;
    request.data = data;
    const result = this.#remapper.remap(request);
    if (result === InterruptResult.DELIVER) {
      this.#sink.deliver(request.messageUpper, request.messageAddress, request.messageData);
    }
    return result;
  }
}

/** The remapper that covers a segment: the first one with its number. */
export function remapperOfSegment(
  remappers: readonly InterruptRemapper[],
  segment: number,
): InterruptRemapper | undefined {
  return remappers.find((remapper) => remapper.segment === segment);
}
