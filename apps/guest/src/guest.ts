import type { FaultRecord } from "@viommu/plugin";
import { faultReason } from "@viommu/vtd-spec";
import type { GuestConfig } from "./config/guest-config.ts";
import { busAddressText } from "./config/values.ts";
import { Interrupts } from "./kernel/interrupts.ts";
import { bootKernel } from "./kernel/kernel.ts";
import type { Kernel } from "./kernel/kernel.ts";
import { Problems } from "./kernel/problems.ts";
import { assembleMachine } from "./machine/machine.ts";
import type { Machine } from "./machine/machine.ts";

/** A request that a unit has blocked, as the host saw it. */
export interface BlockedRequest {
  readonly unit: string;
  readonly requester: string;
  readonly reason: number;
  /** Name of the reason. */
  readonly name: string;
}

/** How many blocked requests are kept. */
const KEPT = 100;

/** A machine with its kernel running, and all that watches them. */
export class Guest {
  readonly config: GuestConfig;
  readonly machine: Machine;
  readonly interrupts: Interrupts;
  readonly problems = new Problems();
  /** Requests that units have blocked: the first ones, and how many in all. */
  readonly blocked: BlockedRequest[] = [];
  blockedCount = 0;
  #kernel: Kernel | null = null;

  /** Assembles the machine; the kernel is started by {@link boot}. */
  constructor(config: GuestConfig) {
    this.config = config;
    this.interrupts = new Interrupts(config.processors.apicIds.length, this.problems);
    this.machine = assembleMachine(config, {
      interrupt: this.interrupts.note,
      fault: (unit, record) => {
        this.#noteFault(unit, record);
      },
    });
  }

  /** Throws ViommuError when the guest driver refuses the machine. */
  boot(): Kernel {
    this.#kernel = bootKernel(this.machine, this.interrupts);
    return this.#kernel;
  }

  /** The kernel that was started. */
  get kernel(): Kernel {
    return this.#kernel!;
  }

  #noteFault(unit: string, { reason, sourceId }: FaultRecord): void {
    this.blockedCount += 1;
    if (this.blocked.length >= KEPT) return;
    const segment = this.config.units.find(({ name }) => name === unit)?.segment ?? 0;
    const requester = busAddressText({ segment, sourceId });
    this.blocked.push({ unit, requester, reason, name: faultReason(reason)?.name ?? "UNKNOWN" });
  }
}
