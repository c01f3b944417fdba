import { InterruptRemappingEngine } from "@viommu/interrupt-remapping";
import { createHookTable } from "@viommu/plugin";
import type {
  DmaRequest,
  HookTable,
  MmioRegion,
  PageRequest,
  PendingWork,
  Snapshottable,
} from "@viommu/plugin";
import { TranslationEngine } from "@viommu/translation";
import { Offset } from "@viommu/vtd-spec";
import { DescriptorExecutor } from "./descriptor-execution.ts";
import { DescriptorChecker } from "./descriptor.ts";
import { DeviceTlbInvalidations } from "./device-tlb.ts";
import { EventInterrupt } from "./event-interrupt.ts";
import { FaultLog } from "./fault-log.ts";
import { FaultStatus } from "./fault-status.ts";
import { GlobalCommand } from "./global-command.ts";
import { InvalidationQueue } from "./invalidation-queue.ts";
import { InvalidationRegisters } from "./invalidation-registers.ts";
import { Invalidator } from "./invalidator.ts";
import { MemoryTypeRanges } from "./memory-type-ranges.ts";
import { PageRequestQueue } from "./page-request-queue.ts";
import { PageRequestTables } from "./page-request-tables.ts";
import type { Profile } from "./profile.ts";
import { ProtectedMemoryRegisters } from "./protected-memory-registers.ts";
import { RegisterFile } from "./register-file.ts";
import { createRegisterMap, faultRecordCount, faultRecordOffset } from "./register-map.ts";
import { decodeState, encodeState } from "./snapshot.ts";
import { TablePointers } from "./table-pointers.ts";
import { checkSettings } from "./unit-options.ts";
import type { UnitOptions } from "./unit-options.ts";
import { WaitDescriptor } from "./wait-descriptor.ts";

/** In place of a memory type. */
const NO_MEMORY_TYPE = -1;

/** Makes a remapping unit. Throws ERR_VIOMMU_UNIT on settings that make none. */
export function createUnit(options: UnitOptions): VtdUnit {
  return new VtdUnit(options);
}

/**
 * One virtual VT-d remapping unit: the registers that a guest sees, and the two engines that answer
 * its devices. The guest's accesses come through `read` and `write`, the devices' requests through
 * `dma`, `interrupts` and `pageRequest`.
 */
export class VtdUnit implements MmioRegion, PendingWork, Snapshottable {
  readonly name: string;
  readonly base: number;
  /** Bytes of the register block. */
  readonly size: number;
  readonly snapshotId: string;
  readonly profile: Profile;
  /** Answers DMA requests; switched by the guest's registers only. */
  readonly dma: TranslationEngine;
  /** Answers interrupt requests; switched by the guest's registers only. */
  readonly interrupts: InterruptRemappingEngine;

  readonly #hooks: HookTable;
  readonly #file: RegisterFile;
  readonly #pointers: TablePointers;
  readonly #faultLog: FaultLog;
  readonly #deviceTlb: DeviceTlbInvalidations;
  readonly #wait: WaitDescriptor;
  readonly #queue: InvalidationQueue;
  readonly #command: GlobalCommand;
  readonly #registers: InvalidationRegisters;
  readonly #protectedMemory: ProtectedMemoryRegisters;
  readonly #pageRequests: PageRequestQueue;
  readonly #memoryTypes: MemoryTypeRanges;

  /** Called by {@link createUnit}. */
  constructor(options: UnitOptions) {
    const { name, base, segment = 0, profile, memory, sink } = options;
    const budget = checkSettings(options);
    const { capabilities, hostAddressWidth } = profile;
    const hooks = options.hooks ?? createHookTable();
    const unit = name;
    this.name = name;
    this.snapshotId = name;
    this.base = base;
    this.profile = profile;
    this.#hooks = hooks;

    const file = new RegisterFile(createRegisterMap(profile));
    this.#file = file;
    this.size = file.size;
    this.#memoryTypes = new MemoryTypeRanges(file, profile);
    const status = new FaultStatus(file, new EventInterrupt(file, Offset.FECTL, sink));
    const faultLog = new FaultLog({
      file,
      status,
      capabilities,
      offset: faultRecordOffset(profile),
      count: faultRecordCount(profile),
      unit,
      hooks,
    });
    this.#faultLog = faultLog;

    const engine = { memory, capabilities, hostAddressWidth, segment, hooks, unit };
    const { iotlbSlots } = options;
    this.dma = new TranslationEngine({
      ...engine,
      majorVersion: profile.version >> 4,
      reporter: faultLog,
      ...(iotlbSlots === undefined ? {} : { iotlbSlots }),
    });
    this.interrupts = new InterruptRemappingEngine({ ...engine, reporter: faultLog, sink });
    const { dma: translation, interrupts } = this;
    const { inFlight } = translation;
    const pointers = new TablePointers(file, translation, interrupts, capabilities);
    const invalidator = new Invalidator(translation, capabilities, hooks, unit);
    this.#pointers = pointers;

    const deviceTlb = new DeviceTlbInvalidations(file, status, options.deviceTlb ?? null);
    const pageResponses = options.pageResponses ?? null;
    this.#deviceTlb = deviceTlb;
    this.#wait = new WaitDescriptor({
      file,
      memory,
      hostAddressWidth,
      inFlight,
      deviceTlb,
      event: new EventInterrupt(file, Offset.IECTL, sink),
    });
    this.#queue = new InvalidationQueue({
      file,
      memory,
      capabilities,
      pointers,
      status,
      checker: new DescriptorChecker(capabilities, hostAddressWidth),
      executor: new DescriptorExecutor({
        capabilities,
        hostAddressWidth,
        invalidator,
        deviceTlb,
        pageResponses,
      }),
      wait: this.#wait,
      unit,
      hooks,
      budget,
    });
    this.#command = new GlobalCommand({
      file,
      profile,
      translation,
      interrupts,
      inFlight,
      pointers,
      invalidator,
      faultLog,
      queue: this.#queue,
      unit,
      hooks,
    });
    this.#registers = new InvalidationRegisters({ file, profile, pointers, invalidator, inFlight });
    this.#protectedMemory = new ProtectedMemoryRegisters({
      file,
      capabilities,
      translation,
      inFlight,
    });
    this.#pageRequests = new PageRequestQueue({
      file,
      memory,
      pointers,
      tables: new PageRequestTables({ profile, memory, pointers, invalidator }),
      faultLog,
      event: new EventInterrupt(file, Offset.PECTL, sink),
      responses: pageResponses,
      unit,
      hooks,
    });

    // VT-d 6.5.2.11: fetching goes on when software has cleared IQE and ITE
    file.onWrite(Offset.FSTS, () => {
      status.statusServiced();
      this.#queue.resume();
    });
    inFlight.onDrained = () => {
      this.#settle();
    };
  }

  /** PCI segment of its devices. */
  get segment(): number {
    return this.dma.segment;
  }

  read(offset: number, size: number, out: Int32Array): void {
    this.#file.read(offset, size, out);
  }

  write(offset: number, size: number, low: number, high: number): void {
    this.#hooks.registerWrite?.(this.name, offset, size, low, high);
    this.#file.write(offset, size, low, high);
  }

  /** True while the invalidation queue has work that can be done now. */
  get pending(): boolean {
    return this.#queue.pending;
  }

  run(budget: number): number {
    return this.#queue.run(budget);
  }

  /** A device asks for a page: one of `PageRequestResult`, or the fault reason. */
  pageRequest(request: PageRequest): number {
    const enabled = this.profile.capabilities.PRS !== 0 && this.#command.translationEnabled;
    return this.#pageRequests.accept(request, enabled);
  }

  /**
   * The effective memory type of the page that a request reaches (VT-d 3.11), for devices in the
   * coherency domain of the processors: what the MTRRs say of its address, PAT and CD and EMTE of the
   * PASID table entry, and EMT and IPAT of second-stage entries (table 9). It is WB in legacy mode
   * (VT-d 3.11.4.1), for pass-through without CD, and while translation is off.
   *
   * Returns 0 UC, 1 WC, 4 WT, 5 WP, 6 WB, or -1 for a request that is blocked and for all of a unit
   * without MTS. Has no effects but the answer in the request, which is that of `dma.probe`. In a
   * large page with several types it is that of the request's address.
   */
  memoryType(request: DmaRequest): number {
    if (this.profile.capabilities.MTS === 0 || this.dma.probe(request) !== 0) return NO_MEMORY_TYPE;
    const mtrr = this.#memoryTypes.typeOf(request.outHi, request.outLo);
    return this.dma.memoryType(request, mtrr);
  }

  /**
   * A request of a physical device was blocked below this unit, for the guest's reasons: recorded as
   * if the unit had blocked it.
   */
  recordDmaFault(reason: number, request: DmaRequest): void {
    this.#faultLog.dmaFault(reason, request);
  }

  /** A device has completed a device-TLB invalidation that was "pending". */
  deviceTlbCompleted(sourceId: number): void {
    if (this.profile.capabilities.DT === 0) return;
    this.#deviceTlb.completed(sourceId);
    this.#queue.resume();
  }

  /** A device has not completed a device-TLB invalidation that was "pending" in time. */
  deviceTlbTimedOut(sourceId: number): void {
    if (!this.#deviceTlb.timedOut(sourceId)) return;
    this.#wait.abort();
  }

  reset(): void {
    this.#queue.disable();
    this.#file.reset();
    this.dma.reset();
    this.interrupts.reset();
    this.#pointers.reset();
    this.#deviceTlb.reset();
    this.#faultLog.restart();
    this.#command.reset();
    this.#command.tell("reset");
  }

  save(): Uint8Array {
    return encodeState(this.snapshotId, this.profile, {
      registers: this.#file.save(),
      status: this.#command.target,
      faultIndex: this.#faultLog.index,
      pointers: this.#pointers.save(),
      wait: this.#wait.save(),
      deviceTlb: this.#deviceTlb.save(),
    });
  }

  check(record: Uint8Array): void {
    decodeState(this.snapshotId, this.profile, this.size / 4, record);
  }

  /** Memory must be restored too, before the next `run` or access. */
  restore(record: Uint8Array): void {
    const state = decodeState(this.snapshotId, this.profile, this.size / 4, record);
    this.#file.restore(state.registers);
    this.dma.reset();
    this.#pointers.restore(state.pointers);
    this.#deviceTlb.restore(state.deviceTlb);
    this.#wait.restore(state.wait);
    this.#faultLog.index = state.faultIndex;
    this.#command.restore(state.status);
    this.#protectedMemory.apply();
    this.#registers.resume();
    this.#command.tell("restore");
    if (this.pending) this.#hooks.workPending?.(this.name);
  }

  /** Some accesses in flight have ended: everything that waits looks whether it was for them. */
  #settle(): void {
    this.#command.settle();
    this.#registers.settle();
    this.#protectedMemory.settle();
    if (this.#wait.waiting) this.#queue.resume();
  }
}
