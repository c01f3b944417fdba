import {
  encode,
  EVENT_MESSAGE,
  FECTL,
  FSTS,
  IQH,
  IQT,
  IRTA,
  Offset,
  PMEN,
  RTADDR,
  TranslationTableMode,
} from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { DomainIds } from "./domain-ids.ts";
import type { UnitState } from "./driver-state.ts";
import { hex, timeout } from "./errors.ts";
import { FaultHandler } from "./fault-handler.ts";
import { GlobalCommand } from "./global-command.ts";
import { destinationOf } from "./interrupt-destination.ts";
import type { ApicAddressing, InterruptTarget } from "./interrupt-destination.ts";
import { InterruptTable } from "./interrupt-table.ts";
import { InvalidationQueue } from "./invalidation-queue.ts";
import { InvalidationRegisters } from "./invalidation-registers.ts";
import type { InvalidationRequest, Invalidator } from "./invalidation.ts";
import type { PageAllocator } from "./page-allocator.ts";
import { pollUntil } from "./polling.ts";
import type { Polling } from "./polling.ts";
import { adoptDevices, adoptInterrupts } from "./predecessor.ts";
import type { RegisterWindow } from "./register-window.ts";
import { LegacyRootTable } from "./root-table.ts";
import type { DeviceBinding, DeviceTable } from "./root-table.ts";
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
  /** Entries of its interrupt remapping table; 0: it remaps no interrupts. */
  readonly interruptEntries: number;
  /** What to do with tables that another driver has left in use. */
  readonly predecessor: "disable" | "take-over";
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
  readonly faults: FaultHandler;
  /** Null: the unit has none, and its registers are used. */
  readonly queue: InvalidationQueue | null;
  /** Null: it remaps no interrupts. */
  readonly interrupts: InterruptTable | null;
  /** Null: it remaps no DMA. */
  readonly devices: DeviceTable | null;

  readonly #parts: UnitParts;
  readonly #command: GlobalCommand;
  readonly #invalidator: Invalidator;
  /** Before its start the unit knows none of this driver's tables: there is nothing to invalidate. */
  #running = false;

  constructor(parts: UnitParts) {
    const { description, registers, memory, pages, polling, interruptEntries } = parts;
    const { name } = description;
    this.#parts = parts;
    this.name = name;
    this.description = description;
    this.capabilities = registers.capabilities;
    this.domainIds = new DomainIds(registers.capabilities, name);
    this.faults = new FaultHandler(registers, name);
    const command = new GlobalCommand(registers, polling, name);
    this.#command = command;
    this.queue =
      registers.capabilities.QI === 0
        ? null
        : new InvalidationQueue({ registers, command, memory, pages, polling, unit: name });
    this.#invalidator = this.queue ?? new InvalidationRegisters(registers, polling, name);
    this.interrupts =
      interruptEntries === 0 ? null : new InterruptTable(memory, pages, interruptEntries, name);
    this.devices = parts.translates ? new LegacyRootTable(memory, pages) : null;
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
    const { devices, domainIds, capabilities } = this;
    const { registers, predecessor } = this.#parts;
    if (this.#command.isOn("TE")) {
      const takesOver = devices !== null && predecessor === "take-over";
      if (!takesOver || !adoptDevices(registers, devices, domainIds)) this.#command.clear("TE");
    }
    if (devices === null) return;
    registers.write(RTADDR, { RTA: devices.root, TTM: TranslationTableMode.LEGACY });
    this.#command.set("SRTP");
    if (capabilities.ESRTPS !== 0) return;
    this.invalidate([
      { cache: "context", granularity: "global" },
      { cache: "iotlb", granularity: "global" },
    ]);
  }

  /** Says where the unit's fault interrupt goes, and lets it out (VT-d 7.3). */
  enableFaultEvent(target: InterruptTarget): void {
    const { registers, addressing } = this.#parts;
    const { DST, DM } = destinationOf(addressing, target);
    const [data, address, upper] = encode(EVENT_MESSAGE, {
      FEE: 0xfee,
      DST: DST & 0xff,
      DST_HIGH: DST >>> 8,
      DM,
      V: target.vector,
    });
    registers.writeWord(Offset.FEDATA, data!);
    registers.writeWord(Offset.FEADDR, address!);
    registers.writeWord(Offset.FEUADDR, upper!);
    registers.write(FECTL, { IM: 0 });
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
    if (this.devices !== null) this.#command.clear("TE");
    if (this.interrupts !== null) this.#disableInterrupts();
    if (this.queue !== null) this.#stopQueue();
    this.#running = false;
  }

  // While it runs

  /** Gives a device a domain; it must have none (see {@link unbind}). */
  bind(sourceId: number, binding: DeviceBinding): void {
    this.devices!.bind(sourceId, binding);
    this.queue?.expectAnswers(sourceId);
    if (this.capabilities.CM === 0) {
      this.flushWriteBuffer();
      return;
    }
    // an absent entry is cached under domain-id 0 (VT-d 6.1)
    this.invalidate([
      { cache: "context", granularity: "device", domainId: 0, sourceId },
      { cache: "iotlb", granularity: "domain", domainId: binding.domainId },
    ]);
  }

  /** Takes away what entry a device has, from this driver or another: on return it is blocked. */
  unbind(sourceId: number): void {
    const domainId = this.devices!.unbind(sourceId);
    if (domainId === null) return;
    this.invalidate([
      { cache: "context", granularity: "device", domainId, sourceId },
      { cache: "iotlb", granularity: "domain", domainId },
    ]);
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
    const places = [this.devices?.root, this.interrupts?.address, ...(this.queue?.places ?? [])];
    return `${this.name} ${places.map((place) => hex(place ?? 0)).join(" ")}`;
  }

  /** Called by the driver: what neither the unit nor guest memory holds. */
  save(): UnitState {
    return {
      running: this.#running,
      domainIds: this.domainIds.save(),
      interrupts: this.interrupts?.save() ?? null,
      queue: this.queue?.save() ?? null,
      faults: { ...this.faults.counters },
    };
  }

  /** Called by the driver. */
  restore({ running, domainIds, interrupts, queue, faults }: UnitState): void {
    this.#running = running;
    this.domainIds.restore(domainIds);
    if (interrupts !== null) this.interrupts?.restore(interrupts);
    if (queue !== null) this.queue?.restore(queue);
    Object.assign(this.faults.counters, faults);
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
