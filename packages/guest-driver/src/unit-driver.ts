import { FECTL, FSTS, IQH, IQT, IRTA, PECTL, PMEN, RTADDR } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import type { DeviceBinding, DeviceSetup, DeviceTable } from "./device-table.ts";
import type { TableMode } from "./domain-format.ts";
import { DomainIds } from "./domain-ids.ts";
import type { UnitState } from "./driver-state.ts";
import { hex, timeout } from "./errors.ts";
import { enableEvent, FAULT_EVENT, PAGE_REQUEST_EVENT } from "./event-message.ts";
import { FaultHandler } from "./fault-handler.ts";
import { GlobalCommand } from "./global-command.ts";
import { HostPermissions } from "./host-permissions.ts";
import type { ApicAddressing, InterruptTarget } from "./interrupt-destination.ts";
import { InterruptTable } from "./interrupt-table.ts";
import { InvalidationQueue } from "./invalidation-queue.ts";
import { InvalidationRegisters } from "./invalidation-registers.ts";
import type { InvalidationRequest, Invalidator } from "./invalidation.ts";
import type { PageAllocator } from "./page-allocator.ts";
import type { CompleteGroup } from "./page-request-groups.ts";
import { PageRequestQueue } from "./page-request-queue.ts";
import type { PageResponse } from "./page-request-queue.ts";
import type { PageRights } from "./permission-counts.ts";
import { pollUntil } from "./polling.ts";
import type { Polling } from "./polling.ts";
import { adoptDevices, adoptInterrupts } from "./predecessor.ts";
import type { RegisterWindow } from "./register-window.ts";
import { LegacyRootTable } from "./root-table.ts";
import { ScalableRootTable } from "./scalable-root-table.ts";
import type { TableMemory } from "./table-memory.ts";
import type { UnitDescription } from "./topology.ts";

/** What a unit driver works with. */
export interface UnitParts {
  readonly description: UnitDescription;
  readonly registers: RegisterWindow;
  readonly memory: TableMemory;
  readonly pages: PageAllocator;
  readonly polling: Polling;
  readonly addressing: ApicAddressing;
  /** It remaps DMA. */
  readonly translates: boolean;
  /** Bits of host addresses. */
  readonly hostAddressWidth: number;
  readonly mode: TableMode;
  /** log2 of the pages of its page request queue. */
  readonly pageRequestOrder: number;
  /** Finds the answer to page requests of its devices. */
  readonly answerPageRequests: (unit: UnitDriver, group: CompleteGroup) => PageResponse;
  /** Entries of its interrupt remapping table; 0: it remaps no interrupts. */
  readonly interruptEntries: number;
  /** What to do with tables that another driver has left in use. */
  readonly predecessor: "disable" | "take-over";
}

/** How an entry is taken away. */
interface UnbindSettings {
  readonly silent?: boolean;
  readonly targets?: readonly PageRights[];
}

/**
 * The driver of one remapping unit. The steps of its start are called by the driver of all of them,
 * each for every unit, in the order in which they stand here; it is the order of Linux.
 */
export class UnitDriver {
  readonly name: string;
  readonly description: UnitDescription;
  readonly capabilities: Capabilities;
  readonly domainIds: DomainIds;
  readonly permissions: HostPermissions;
  readonly faults: FaultHandler;
  /** Null: the unit has none, and its registers are used. */
  readonly queue: InvalidationQueue | null;
  /** Null: it remaps no interrupts. */
  readonly interrupts: InterruptTable | null;
  /** Null: it remaps no DMA. */
  readonly devices: DeviceTable | null;
  /** Null: it takes none, or not in this mode. */
  readonly pageRequests: PageRequestQueue | null;

  readonly #parts: UnitParts;
  readonly #command: GlobalCommand;
  readonly #invalidator: Invalidator;
  /** Before its start the unit knows none of this driver's tables: there is nothing to invalidate. */
  #running = false;

  constructor(parts: UnitParts) {
    const { description, registers, memory, pages, polling, interruptEntries } = parts;
    const { hostAddressWidth } = parts;
    const { name } = description;
    const { capabilities } = registers;
    this.#parts = parts;
    this.name = name;
    this.description = description;
    this.capabilities = capabilities;
    this.domainIds = new DomainIds(capabilities, name);
    const invalidate = (requests: readonly InvalidationRequest[]): void => {
      this.invalidate(requests);
    };
    this.permissions = new HostPermissions(
      { memory, pages, capabilities, hostAddressWidth, invalidate },
      name,
    );
    this.faults = new FaultHandler(registers, name);
    const command = new GlobalCommand(registers, polling, name);
    this.#command = command;
    this.queue =
      capabilities.QI === 0
        ? null
        : new InvalidationQueue({ registers, command, memory, pages, polling, unit: name });
    this.#invalidator = this.queue ?? new InvalidationRegisters(registers, polling, name);
    this.interrupts =
      interruptEntries === 0 ? null : new InterruptTable(memory, pages, interruptEntries, name);
    const Table = parts.mode === "legacy" ? LegacyRootTable : ScalableRootTable;
    this.devices = parts.translates ? new Table(memory, pages, capabilities) : null;
    this.pageRequests =
      this.devices === null || parts.mode === "legacy" ? null : this.#createPageRequestQueue();
  }

  // Start

  /** Leaves nothing of a predecessor's faults and queue, and starts this driver's queue. */
  prepare(): void {
    this.faults.service();
    if (this.queue !== null) {
      this.#stopQueue();
      this.faults.clearErrors();
      this.queue.enable();
    }
    this.#running = true;
  }

  /** Points the unit to the interrupt remapping table (VT-d 5.1.2, 6.7). */
  setInterruptTable(): void {
    const { interrupts, capabilities } = this;
    const { registers, addressing, predecessor } = this.#parts;
    const eime = addressing.apicMode === "x2apic";
    if (capabilities.IR === 0) return;
    if (this.#command.isOn("IRE")) {
      const takesOver = interrupts !== null && predecessor === "take-over";
      if (!takesOver || !adoptInterrupts(registers, interrupts, eime)) this.#disableInterrupts();
    }
    if (interrupts === null) return;
    const S = Math.log2(interrupts.size) - 1;
    registers.write(IRTA, { IRTA: interrupts.address, EIME: eime ? 1 : 0, S });
    this.#command.set("SIRTP");
    if (capabilities.ESIRTPS === 0) this.#forgetInterrupts();
  }

  /** From now on only remappable interrupts get through. */
  enableInterrupts(): void {
    if (this.interrupts === null) return;
    if (!this.#command.isOn("IRE")) this.#command.set("IRE");
    if (this.#command.isOn("CFI")) this.#command.clear("CFI");
  }

  /** Points the unit to the root table (VT-d 6.6). */
  setRootTable(): void {
    const { devices, domainIds, permissions, capabilities } = this;
    const { registers, predecessor } = this.#parts;
    if (this.#command.isOn("TE")) {
      const takesOver = devices !== null && predecessor === "take-over";
      if (!takesOver || !adoptDevices(registers, devices, domainIds, permissions))
        this.#command.clear("TE");
    }
    if (devices === null) return;
    registers.write(RTADDR, { RTA: devices.root, TTM: devices.mode });
    this.#command.set("SRTP");
    if (capabilities.ESRTPS !== 0) return;
    const requests: InvalidationRequest[] = [{ cache: "context", granularity: "global" }];
    if (this.#parts.mode === "scalable") requests.push({ cache: "pasid", granularity: "global" });
    requests.push({ cache: "iotlb", granularity: "global" });
    if (this.#parts.mode === "scalable" && capabilities.HPTS !== 0) {
      requests.push({ cache: "host-permission", granularity: "global" });
    }
    this.invalidate(requests);
  }

  /** Gives the page request queue to the unit, and says where its interrupt goes, if anywhere. */
  enablePageRequests(target: InterruptTarget | null): void {
    const { registers, addressing } = this.#parts;
    if (this.pageRequests === null) return;
    if (target !== null) enableEvent(registers, PAGE_REQUEST_EVENT, addressing, target);
    this.pageRequests.enable();
  }

  /** Says where the unit's fault interrupt goes, and lets it out (VT-d 7.3). */
  enableFaultEvent(target: InterruptTarget): void {
    const { registers, addressing } = this.#parts;
    enableEvent(registers, FAULT_EVENT, addressing, target);
  }

  /** From now on devices reach what their domains map, and nothing else. */
  enableTranslation(): void {
    if (this.devices === null) return;
    if (!this.#command.isOn("TE")) this.#command.set("TE");
    this.#disableProtectedMemory();
  }

  /** Switches everything off, in the opposite order. */
  stop(): void {
    this.#parts.registers.write(FECTL, { IM: 1 });
    if (this.pageRequests !== null) this.#parts.registers.write(PECTL, { IM: 1 });
    if (this.devices !== null) this.#command.clear("TE");
    if (this.interrupts !== null) this.#disableInterrupts();
    if (this.queue !== null) this.#stopQueue();
    this.#running = false;
  }

  // While it runs

  /**
   * Makes the entry for requests of a device, without PASID (null) or with this one; it must have
   * none (see {@link unbind}). `targets`: the pages behind it, which are permitted to a device with
   * host permissions, as another reason for each.
   */
  bind(
    device: DeviceSetup,
    pasid: number | null,
    binding: DeviceBinding,
    targets: readonly PageRights[] = [],
  ): void {
    const permissions = this.permissions.of(device.sourceId);
    permissions?.grant(targets);
    let requests: InvalidationRequest[];
    try {
      requests = this.devices!.bind(device, pasid, binding, permissions?.table ?? null);
    } catch (error) {
      permissions?.revoke(targets);
      throw error; // no memory for tables
    }
    this.queue?.expectAnswers(device.sourceId);
    if (this.capabilities.CM === 0) this.flushWriteBuffer();
    else this.invalidate(requests);
  }

  /**
   * Takes such an entry away, if there is one, of this driver or another: on return these requests
   * are blocked, nothing of them is cached, and no page request of theirs waits. `silent`: what still
   * comes is not recorded, until the entry is taken away again. `targets`: as they were at
   * {@link bind}, with all changes since.
   */
  unbind(
    device: DeviceSetup,
    pasid: number | null,
    { silent = false, targets = [] }: UnbindSettings = {},
  ): void {
    const permissions = this.permissions.of(device.sourceId);
    const retired: number[] = [];
    const requests = this.devices!.unbind(device, pasid, { silent, retired });
    if (requests.length > 0) {
      if (permissions !== null && pasid === null) requests.push(permissions.everything);
      this.invalidate(requests);
      if (device.pageRequests) this.#drainPageRequests(device, pasid, requests);
    }
    permissions?.revoke(targets);
    for (const address of retired) this.#parts.pages.free(address);
  }

  /** On return the unit has forgotten all of this. */
  invalidate(requests: readonly InvalidationRequest[]): void {
    if (this.#running) this.#invalidator.run(requests);
  }

  /** After new table entries, on units that need it; an invalidation does it by itself. */
  flushWriteBuffer(): void {
    if (this.#running && this.capabilities.RWBF !== 0) this.#command.flushWriteBuffer();
  }

  /** Where its tables and its queue lie. */
  get layout(): string {
    const { devices, interrupts, queue, pageRequests } = this;
    const places = [
      ...(devices?.places ?? []),
      interrupts?.address,
      ...(queue?.places ?? []),
      pageRequests?.place,
    ];
    const text = places.map((place) => hex(place ?? 0)).join(" ");
    return `${this.name} ${text}${this.permissions.layout}`;
  }

  /** Called by the driver: what neither the unit nor guest memory holds. */
  save(): UnitState {
    return {
      running: this.#running,
      domainIds: this.domainIds.save(),
      permissions: this.permissions.save(),
      interrupts: this.interrupts?.save() ?? null,
      queue: this.queue?.save() ?? null,
      pageRequests: this.pageRequests?.save() ?? null,
      faults: { ...this.faults.counters },
    };
  }

  /** Called by the driver. */
  restore({
    running,
    domainIds,
    permissions,
    interrupts,
    queue,
    pageRequests,
    faults,
  }: UnitState): void {
    this.#running = running;
    this.domainIds.restore(domainIds);
    this.permissions.restore(permissions);
    if (interrupts !== null) this.interrupts?.restore(interrupts);
    if (queue !== null) this.queue?.restore(queue);
    if (pageRequests !== null) this.pageRequests?.restore(pageRequests);
    Object.assign(this.faults.counters, faults);
  }

  #createPageRequestQueue(): PageRequestQueue | null {
    const { registers, memory, pages, pageRequestOrder: order, answerPageRequests } = this.#parts;
    const { queue } = this;
    if (this.capabilities.PRS === 0 || queue === null) return null;
    const answer = (group: CompleteGroup): PageResponse => answerPageRequests(this, group);
    return new PageRequestQueue({ registers, memory, pages, queue, order, answer });
  }

  #drainPageRequests(
    { sourceId }: DeviceSetup,
    pasid: number | null,
    requests: readonly InvalidationRequest[],
  ): void {
    if (!this.#running) return;
    const caches = requests.filter(({ cache }) => cache !== "context" && cache !== "pasid");
    this.pageRequests?.drain(sourceId, pasid, caches);
  }

  /** Lets a queue with nobody behind it come to its end, if it can, and switches it off. */
  #stopQueue(): void {
    const { registers, polling } = this.#parts;
    if (!this.#command.isOn("QIE")) return;
    pollUntil(polling, () => {
      const { IQE, ITE } = registers.read(FSTS);
      return IQE !== 0n || ITE !== 0n || registers.read(IQH).QH === registers.read(IQT).QT;
    });
    this.#command.clear("QIE");
  }

  #disableInterrupts(): void {
    if (this.capabilities.ESIRTPS === 0) this.#forgetInterrupts();
    this.#command.clear("IRE");
  }

  #forgetInterrupts(): void {
    this.invalidate([{ cache: "interrupt-entry", granularity: "global" }]);
  }

  /** Firmware protects memory until translation does (VT-d 11.4.8). */
  #disableProtectedMemory(): void {
    const { registers, polling } = this.#parts;
    const { PLMR, PHMR } = this.capabilities;
    if (PLMR === 0 && PHMR === 0) return;
    registers.write(PMEN, { EPM: 0 });
    if (pollUntil(polling, () => registers.read(PMEN).PRS === 0n)) return;
    throw timeout(this.name, "PMEN.PRS = 0", polling.limit);
  }
}
