import { InterruptRoute, MsixCapability } from "@viommu/irq-hooks";
import type { InterruptRouteOptions, Ioapic } from "@viommu/irq-hooks";
import type { MmioRegion } from "@viommu/plugin";
import type { DeviceInterrupts, InterruptsState } from "./device.ts";
import { MSIX_PENDING, MSIX_TABLE } from "./layout.ts";
import type { RegisterBlock } from "./register-block.ts";

/** The register blocks of a device: its own, and vector table and pending bits if it has them. */
export function regionsOf(registers: RegisterBlock, { msix }: DeviceInterrupts): MmioRegion[] {
  return msix === null ? [registers] : [registers, msix.table, msix.pending];
}

/** Interrupts by MSI-X: a vector for each queue. */
export class MsixInterrupts implements DeviceInterrupts {
  readonly msix: MsixCapability;
  readonly sent: Uint32Array;
  blocked = 0;

  constructor(name: string, bar: number, vectors: number, route: InterruptRouteOptions) {
    this.msix = new MsixCapability({
      snapshotId: `${name} MSI-X`,
      vectors,
      route: new InterruptRoute(route),
      table: { bar: 0, offset: MSIX_TABLE },
      pending: { bar: 0, offset: MSIX_PENDING },
    });
    this.msix.table.base = bar + MSIX_TABLE;
    this.msix.pending.base = bar + MSIX_PENDING;
    this.sent = new Uint32Array(vectors);
  }

  raise(queue: number): void {
    this.sent[queue]! += 1;
    if (this.msix.signal(queue) > 0) this.blocked += 1;
  }

  takeCause(): number {
    return 0; // the vector says it
  }

  save(): InterruptsState {
    return { sent: [...this.sent], blocked: this.blocked, cause: 0 };
  }

  restore({ sent, blocked }: InterruptsState): void {
    this.sent.set(sent);
    this.blocked = blocked;
  }
}

/** Interrupts by a pin of an I/O APIC. */
export class PinInterrupts implements DeviceInterrupts {
  readonly msix = null;
  readonly sent: Uint32Array = new Uint32Array(1);
  blocked = 0;
  readonly #ioapic: Ioapic;
  readonly #pin: number;
  readonly #level: boolean;
  #cause = 0;

  constructor(ioapic: Ioapic, pin: number, trigger: "edge" | "level") {
    this.#ioapic = ioapic;
    this.#pin = pin;
    this.#level = trigger === "level";
  }

  raise(queue: number): void {
    const active = this.#cause !== 0;
    this.#cause |= 1 << queue;
    if (this.#level && active) return; // the line is up already
    this.sent[0]! += 1;
    const { counters } = this.#ioapic;
    const before = counters.blocked;
    if (this.#level) this.#ioapic.setPin(this.#pin, true);
    else this.#ioapic.pulse(this.#pin);
    this.blocked += counters.blocked - before;
  }

  takeCause(): number {
    const cause = this.#cause;
    this.#cause = 0;
    if (this.#level) this.#ioapic.setPin(this.#pin, false);
    return cause;
  }

  /** The line itself is part of the I/O APIC. */
  save(): InterruptsState {
    return { sent: [...this.sent], blocked: this.blocked, cause: this.#cause };
  }

  restore({ sent, blocked, cause }: InterruptsState): void {
    this.sent.set(sent);
    this.blocked = blocked;
    this.#cause = cause;
  }
}
