import type { FaultRecord, SnapshotHeader } from "@viommu/plugin";
import { faultReason } from "@viommu/vtd-spec";
import type { SavedDomain } from "@viommu/xen";
import type { GuestConfig } from "./config/guest-config.ts";
import { busAddressText } from "./config/values.ts";
import { isForging, watchForgedRequests } from "./forged-requests.ts";
import { Interrupts } from "./kernel/interrupts.ts";
import type { InterruptsState } from "./kernel/interrupts.ts";
import { bootKernel } from "./kernel/kernel.ts";
import type { Kernel, KernelState } from "./kernel/kernel.ts";
import { checkPageRequests } from "./paging-report.ts";
import { Problems } from "./kernel/problems.ts";
import { jsonPart } from "./machine/json-part.ts";
import { assembleMachine } from "./machine/machine.ts";
import type { Machine } from "./machine/machine.ts";
import { Workload } from "./workload.ts";
import type { WorkloadState } from "./workload.ts";

/** A request that a unit has blocked, as the host saw it. */
export interface BlockedRequest {
  readonly unit: string;
  readonly requester: string;
  readonly reason: number;
  /** Name of the reason. */
  readonly name: string;
}

/** The software of a guest, and what was seen of it: all that is in no part of the machine. */
interface GuestState {
  readonly workload: WorkloadState;
  readonly kernel: KernelState;
  readonly interrupts: InterruptsState;
  readonly problems: ReturnType<Problems["save"]>;
  readonly blocked: readonly BlockedRequest[];
  readonly blockedCount: number;
  /** Counters of each unit. */
  readonly units: readonly object[];
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
  #workload: Workload | null = null;
  #domain: SavedDomain | null = null;

  /** Assembles the machine; the kernel is started by {@link boot}. */
  constructor(config: GuestConfig) {
    this.config = config;
    this.interrupts = new Interrupts(config.processors.apicIds.length, this.problems);
    this.machine = assembleMachine(config, {
      interrupt: this.interrupts.note,
      fault: (unit, record) => {
        this.#noteFault(unit, record);
      },
      problem: (text) => {
        this.problems.add(text);
      },
    });
  }

  /** Throws ViommuError when the guest driver refuses the machine. */
  boot(): Kernel {
    this.#kernel = bootKernel(this.machine, this.interrupts);
    watchForgedRequests(this.#kernel, this.problems);
    return this.#kernel;
  }

  /** The kernel that was started. */
  get kernel(): Kernel {
    return this.#kernel!;
  }

  /** Its workload; from the first use on devices work when it tells them to. */
  get workload(): Workload {
    this.#workload ??= new Workload(this.config.workload, this.kernel.devices, this.interrupts);
    return this.#workload;
  }

  /** Machine and software, to be saved, restored or moved between two steps of the workload. */
  get domain(): SavedDomain {
    if (this.#domain === null) {
      const { parts, pages } = this.machine.domain;
      this.#domain = { parts: [...parts, this.#software()], pages };
    }
    return this.#domain;
  }

  /** At the end of the workload: nothing was lost, nothing is left over. */
  checkTotals(): void {
    const { kernel, interrupts, problems } = this;
    interrupts.checkTotals();
    for (const { device, driver } of kernel.devices) {
      const problem = driver.settle?.() ?? null;
      if (problem !== null) problems.add(`${device.config.name}: ${problem}`);
    }
    checkPageRequests(kernel, problems);
  }

  #software() {
    const { kernel, workload, interrupts, problems, blocked } = this;
    const counters = this.machine.units.map((unit) => unit.dma.counters);
    return jsonPart<GuestState>({
      header: softwareHeader(this.config),
      save: () => ({
        workload: workload.save(),
        kernel: kernel.save(),
        interrupts: interrupts.save(),
        problems: problems.save(),
        blocked: [...blocked],
        blockedCount: this.blockedCount,
        units: counters.map((unit) => structuredClone(unit)),
      }),
      obstacle: (state) => kernel.obstacle(state.kernel),
      restore: (state) => {
        workload.restore(state.workload);
        kernel.restore(state.kernel);
        interrupts.restore(state.interrupts);
        problems.restore(state.problems);
        blocked.splice(0, Infinity, ...state.blocked);
        this.blockedCount = state.blockedCount;
        counters.forEach((unit, i) => Object.assign(unit, state.units[i]));
      },
    });
  }

  #noteFault(unit: string, { reason, sourceId, suppressed }: FaultRecord): void {
    // what the kernel does not want to hear of: requests for a process that has ended
    if (suppressed || (this.#kernel !== null && isForging(this.#kernel))) return;
    this.blockedCount += 1;
    if (this.blocked.length >= KEPT) return;
    const segment = this.config.units.find(({ name }) => name === unit)?.segment ?? 0;
    const requester = busAddressText({ segment, sourceId });
    this.blocked.push({ unit, requester, reason, name: faultReason(reason)?.name ?? "UNKNOWN" });
  }
}

/** The workload is part of the shape: it decides what packets, sectors and pages hold. */
function softwareHeader({ workload, devices, processors, driver }: GuestConfig): SnapshotHeader {
  const { seed, interrupts, transfers, affinityChanges, unmapping } = workload;
  const text = [
    `${processors.apicIds.length} vCPUs`,
    `${devices.length} devices`,
    `seed ${seed}`,
    `${interrupts} interrupts`,
    `${transfers} transfers`,
    `${affinityChanges} affinity changes`,
    `unmapping ${unmapping}`,
    `${driver.mode} mode`,
    ...devices.flatMap(({ name, paging }) =>
      paging === null ? [] : [`${name} ${Object.values(paging).join(" ")}`],
    ),
  ];
  return { id: "guest", version: 1, shape: text.join(", ") };
}
