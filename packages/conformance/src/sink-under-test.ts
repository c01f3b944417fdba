import type { InterruptSink } from "@viommu/plugin";
import type { Judge } from "./check.ts";
import { describeInterrupt, messageOf } from "./interrupt-message.ts";
import type { Interrupt } from "./interrupt-message.ts";

/** A CPU behind a sink, ready to take interrupts. */
export interface SinkCpu {
  readonly apicId: number;
  /**
   * The logical destination that names it alone: cluster and member in x2APIC mode, one bit of the
   * flat model in xAPIC mode, 0 when it has none.
   */
  readonly logicalId: number;
}

/** What a CPU has received. */
export interface Delivery {
  readonly apicId: number;
  /** One of `DeliveryMode`. */
  readonly mode: number;
  /** Of modes fixed and lowest priority. */
  readonly vector: number;
}

/** A sink of interrupts to prove, with the CPUs behind it. */
export interface InterruptSinkHarness {
  readonly sink: InterruptSink;
  /** All CPUs; with more than 256 it is proved that ids are not cut. */
  readonly cpus: readonly SinkCpu[];
  /** Whether all of them are in x2APIC mode (broadcast is FFFF_FFFFh) or in xAPIC mode (FFh). */
  readonly x2apic: boolean;
  /** What the CPUs have received since the last call, in any order. */
  delivered(): readonly Delivery[];
}

/** Sends interrupts and looks who has got them. */
export class SinkUnderTest {
  readonly harness: InterruptSinkHarness;
  readonly cpus: readonly SinkCpu[];
  readonly x2apic: boolean;
  /** Destination that means every CPU. */
  readonly everyone: number;

  constructor(harness: InterruptSinkHarness) {
    this.harness = harness;
    this.cpus = harness.cpus;
    this.x2apic = harness.x2apic;
    this.everyone = harness.x2apic ? 0xffff_ffff : 0xff;
  }

  /** Sends one interrupt; the deliveries that followed. */
  send(judge: Judge, interrupt: Interrupt): readonly Delivery[] {
    const { upper, address, data } = messageOf(interrupt);
    judge.subject = describeInterrupt(interrupt);
    this.harness.delivered();
    this.harness.sink.deliver(upper, address, data);
    return this.harness.delivered();
  }

  /** Sends one interrupt, which exactly these CPUs must get. */
  reaches(judge: Judge, interrupt: Interrupt, apicIds: readonly number[]): void {
    const deliveries = this.send(judge, interrupt);
    const seen = deliveries.map(({ apicId }) => apicId).sort(ascending);
    const expected = [...apicIds].sort(ascending);
    const same = seen.length === expected.length && expected.every((id, i) => id === seen[i]);
    judge.that(same, `delivery to ${listOf(expected)}`, listOf(seen));
    const vectored = interrupt.mode <= 1;
    for (const { mode, vector } of deliveries) {
      judge.equal("delivery mode", mode, interrupt.mode);
      if (vectored) judge.equal("vector", vector, interrupt.vector);
    }
  }
}

function ascending(a: number, b: number): number {
  return a - b;
}

function listOf(apicIds: readonly number[]): string {
  if (apicIds.length === 0) return "no APIC id";
  const some = apicIds.slice(0, 8).join(", ");
  return `APIC id ${some}${apicIds.length > 8 ? ` and ${apicIds.length - 8} more` : ""}`;
}
