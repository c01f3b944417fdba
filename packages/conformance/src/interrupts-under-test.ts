import { InterruptRequest, InterruptResult } from "@viommu/plugin";
import type { InterruptRemapper } from "@viommu/plugin";
import { DeliveryMode } from "@viommu/vtd-spec";
import type { Judge } from "./check.ts";
import { unicast } from "./interrupt-message.ts";
import type { Interrupt } from "./interrupt-message.ts";
import { describeInterruptQuery, hostileInterrupts } from "./interrupt-query.ts";
import type { InterruptQuery } from "./interrupt-query.ts";
import type { Message } from "./interrupt-table.ts";

/** How the suite chooses where a remapper sends interrupts. */
export interface InterruptRoutes {
  /** Bits of the widest destination: 8 (xAPIC) or 32 (x2APIC). */
  readonly destinationBits: number;
  /**
   * Makes a way for an interrupt of one requester and no other, and returns what the device has to
   * write.
   */
  route(sourceId: number, interrupt: Interrupt): Message;
  /** Changes what a message of {@link InterruptRoutes.route} becomes. */
  change(message: Message, sourceId: number, interrupt: Interrupt): void;
  /** Takes a way back: its message is blocked from then on. */
  drop(message: Message): void;
  /** Makes changes take effect, as a guest does. */
  sync(): void;
  /**
   * Makes a way on which an interrupt is posted, and returns what the device has to write; null for
   * a remapper that posts none.
   */
  readonly post: ((sourceId: number, vector: number) => Message) | null;
}

/** A remapper of interrupts to prove. */
export interface InterruptRemapperHarness {
  readonly remapper: InterruptRemapper;
  /** Null for a remapper whose answers cannot be chosen. */
  readonly routes: InterruptRoutes | null;
  /** How many faults it has reported so far, to whomever. */
  reported(): number;
  /**
   * All that a guest or a host can see of it and that a request may change, as text: fault log,
   * counters, posted interrupts, messages sent.
   */
  state(): string;
}

/** What a request object holds from its last use. */
interface Leftovers {
  readonly messageAddress: number;
  readonly messageUpper: number;
  readonly messageData: number;
  readonly suppressed: boolean;
}

/** Two sets of leftovers which no answer holds. */
export const LEFTOVERS: readonly [Leftovers, Leftovers] = [
  { messageAddress: 1, messageUpper: 0x11, messageData: 0x111_0000, suppressed: true },
  { messageAddress: 2, messageUpper: 0x22, messageData: 0x222_0000, suppressed: false },
];

/** A way that was made, and its message. */
export interface Routed {
  readonly interrupt: Interrupt;
  readonly message: Message;
  readonly query: InterruptQuery;
}

export const DEVICE = 0x0010;
export const OTHER_DEVICE = 0x01a9;
const { FIXED, LOWEST_PRIORITY, NMI } = DeliveryMode;

/** Interrupts of DEVICE for which there are ways from the beginning. */
const INTERRUPTS: readonly Interrupt[] = [
  unicast(5, 0x31),
  unicast(0, 0xff),
  unicast(0xfe, 0x10),
  { ...unicast(7, 0x41), level: true },
  { ...unicast(3, 0x51), redirect: true },
  { ...unicast(0x0f, 0x61), mode: LOWEST_PRIORITY, logical: true, redirect: true },
  { ...unicast(0x80, 0x71), mode: FIXED, logical: true },
  { ...unicast(1, 0), mode: NMI },
];
const EXTENDED: readonly Interrupt[] = [
  unicast(0x11f, 0x31),
  unicast(0xffff_fffe, 0x32),
  unicast(0x8000_0000, 0x33),
  { ...unicast(0x0001_0020, 0x34), logical: true, level: true },
];

/** A remapper with ways where they can be made, asked through one request object. */
export class InterruptsUnderTest {
  readonly port: InterruptRemapper;
  readonly harness: InterruptRemapperHarness;
  readonly routes: InterruptRoutes | null;
  readonly routed: readonly Routed[];
  /** Message of DEVICE that is posted, where that is possible. */
  readonly posted: InterruptQuery | null;
  /** Of the last question. */
  readonly request: InterruptRequest = new InterruptRequest();

  constructor(harness: InterruptRemapperHarness) {
    const { remapper, routes } = harness;
    this.port = remapper;
    this.harness = harness;
    this.routes = routes;
    const wanted = routes?.destinationBits === 32 ? [...INTERRUPTS, ...EXTENDED] : INTERRUPTS;
    this.routed = routes === null ? [] : wanted.map((some) => made(routes, DEVICE, some));
    const posted = routes?.post?.(DEVICE, 0x55);
    this.posted = posted === undefined ? null : queryOf(DEVICE, posted);
    routes?.sync();
  }

  /** Asks and returns the result; the outputs are in `request`. */
  ask(
    judge: Judge,
    member: "remap" | "probe",
    query: InterruptQuery,
    leftovers: Leftovers = LEFTOVERS[0],
  ): number {
    judge.subject = `${member}, ${describeInterruptQuery(query)}`;
    Object.assign(this.request, query, leftovers);
    return this.port[member](this.request);
  }

  /** Asks and returns all of the answer that counts, as text. */
  answer(
    judge: Judge,
    member: "remap" | "probe",
    query: InterruptQuery,
    leftovers?: Leftovers,
  ): string {
    const result = this.ask(judge, member, query, leftovers);
    const { messageAddress, messageUpper, messageData, suppressed } = this.request;
    if (result === InterruptResult.CONSUMED) return "consumed";
    if (result !== 0) return `fault 0x${result.toString(16)}${suppressed ? ", suppressed" : ""}`;
    return [messageUpper, messageAddress, messageData]
      .map((word) => `0x${(word >>> 0).toString(16)}`)
      .join(" ");
  }

  /** Requests of every kind: those with a way, and hostile ones. */
  queries(): readonly InterruptQuery[] {
    const posted = this.posted === null ? [] : [this.posted];
    return [...this.routed.map(({ query }) => query), ...posted, ...hostileInterrupts(1000)];
  }
}

/** Makes a way and the request that takes it. */
export function made(routes: InterruptRoutes, sourceId: number, interrupt: Interrupt): Routed {
  const message = routes.route(sourceId, interrupt);
  return { interrupt, message, query: queryOf(sourceId, message) };
}

function queryOf(sourceId: number, { address, data }: Message): InterruptQuery {
  return { sourceId, upper: 0, address, data };
}
