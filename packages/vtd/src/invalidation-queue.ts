import { hiFromWords } from "@viommu/plugin";
import type { GuestMemory, HookTable, PendingWork } from "@viommu/plugin";
import {
  DescriptorType,
  InvalidationQueueError,
  IQA,
  Offset,
  TranslationTableMode,
} from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { bitsInWord } from "./bit-field.ts";
import { descriptorType } from "./descriptor.ts";
import type { DescriptorChecker } from "./descriptor.ts";
import type { DescriptorExecutor } from "./descriptor-execution.ts";
import { FaultStatusBit } from "./fault-status.ts";
import type { FaultStatus } from "./fault-status.ts";
import type { RegisterFile } from "./register-file.ts";
import type { TablePointers } from "./table-pointers.ts";
import type { WaitDescriptor } from "./wait-descriptor.ts";

// V8 folds constants of this module into the machine code; members of imported objects are loaded
// and checked each time (30 ns for a descriptor and its wait).
const IQH_OFFSET: number = Offset.IQH;
const IQT_OFFSET: number = Offset.IQT;
const IQA_OFFSET: number = Offset.IQA;
const STOPPED: number = FaultStatusBit.IQE | FaultStatusBit.ITE;
const LEGACY: number = TranslationTableMode.LEGACY;
const WAIT: number = DescriptorType.WAIT;

const DW = bitsInWord(IQA, "DW");
const QS = bitsInWord(IQA, "QS");

/** What the invalidation queue works with. */
export interface QueueParts {
  readonly file: RegisterFile;
  readonly memory: GuestMemory;
  readonly capabilities: Capabilities;
  readonly pointers: TablePointers;
  readonly status: FaultStatus;
  readonly checker: DescriptorChecker;
  readonly executor: DescriptorExecutor;
  readonly wait: WaitDescriptor;
  readonly unit: string;
  readonly hooks: HookTable;
  /** Descriptors that one guest access may set in motion. */
  readonly budget: number;
}

/**
 * The invalidation queue (VT-d 6.5.2). Descriptors are processed in order, one after the other. A
 * guest access processes a bounded number of them; the rest is pending work of the unit.
 *
 * Software may change IQA and IQT at any time: everything is looked at anew for each descriptor. A
 * head that a smaller queue has left outside comes back in modulo the size.
 */
export class InvalidationQueue implements PendingWork {
  readonly #parts: QueueParts;
  readonly #descriptor = new Int32Array(8);
  /** Whether the unit has a mode with 256-bit descriptors. */
  readonly #canBeWide: boolean;
  // the queue as `#canFetch` has found it: bytes, bytes of a descriptor, offset of the next one
  #size = 4096;
  #width = 16;
  #head = 0;
  #enabled = false;
  /** The next descriptor waits until its device can take another invalidation. */
  #blocked = false;
  /** True inside `run`: what an observer or a sink starts is done by the loop that is running. */
  #running = false;

  constructor(parts: QueueParts) {
    this.#parts = parts;
    const { SMTS, ADMS } = parts.capabilities;
    this.#canBeWide = SMTS !== 0 || ADMS !== 0;
    parts.file.onWrite(IQT_OFFSET, () => {
      this.resume();
    });
  }

  enable(): void {
    this.#enabled = true;
    this.resume();
  }

  /**
   * Switches the queue off. Software has waited until it is empty and its last wait complete; a wait
   * that is not would write to memory which software may have given away, so it is dropped.
   */
  disable(): void {
    this.#enabled = false;
    this.#blocked = false;
    this.#parts.wait.abort();
    this.#parts.file.set(IQH_OFFSET, 0);
  }

  /** Takes back the state of a snapshot; what is to do is pending work. */
  restore(enabled: boolean): void {
    this.#enabled = enabled;
    this.#blocked = false;
  }

  get pending(): boolean {
    const { wait } = this.#parts;
    return wait.waiting ? wait.ready : this.#canFetch();
  }

  run(budget: number): number {
    if (this.#running) return 0;
    this.#running = true;
    let done = 0;
    try {
      while (this.#finishWait() && done < budget && this.#canFetch() && this.#next()) done++;
    } finally {
      this.#running = false;
    }
    return done;
  }

  /** Goes on after a guest access, or after something that it has waited for. */
  resume(): void {
    this.#blocked = false;
    if (this.#running) return;
    this.run(this.#parts.budget);
    if (this.pending) this.#parts.hooks.workPending?.(this.#parts.unit);
  }

  /** False while a wait descriptor holds up the queue. */
  #finishWait(): boolean {
    const { wait } = this.#parts;
    if (wait.waiting && wait.ready) wait.complete();
    return !wait.waiting;
  }

  /** The conditions of VT-d 6.5.2 for a fetch; TES and IRES have no part in it. */
  #canFetch(): boolean {
    const { file, status } = this.#parts;
    if (!this.#enabled || this.#blocked) return false;
    if (status.has(STOPPED)) return false;
    const iqa = file.get(IQA_OFFSET);
    this.#size = 4096 << (iqa & QS);
    this.#width = (iqa & DW) === 0 ? 16 : 32;
    this.#head = file.get(IQH_OFFSET) & (this.#size - 1) & -this.#width;
    return this.#head !== file.get(IQT_OFFSET);
  }

  /** Processes the descriptor that `#canFetch` has found; false when the queue stops at it. */
  #next(): boolean {
    const { file, pointers, checker, executor, wait, status } = this.#parts;
    const words = this.#descriptor;
    const mode = pointers.mode;
    const size = this.#size;
    const width = this.#width;
    const head = this.#head;
    const error =
      this.#findSetupError(mode, width, size) ||
      this.#fetch(head, width >>> 2) ||
      checker.check(words, width >>> 2, mode === LEGACY);
    if (error !== 0) {
      // the head stays on the bad descriptor
      file.set(IQH_OFFSET, head);
      file.set(Offset.IQERCD, error);
      status.raise(FaultStatusBit.IQE);
      return false;
    }
    if (!executor.hasRoom(words)) {
      this.#blocked = true;
      return false;
    }
    // the head moves before anybody hears of the descriptor
    file.set(IQH_OFFSET, (head + width) & (size - 1));
    if (descriptorType(words) === WAIT) {
      wait.begin(words);
      this.#finishWait();
    } else {
      executor.execute(words, mode);
    }
    return true;
  }

  /** Errors of the registers, which don't depend on the descriptor (VT-d 11.4.9.9). */
  #findSetupError(mode: number, width: number, size: number): number {
    const { file, pointers } = this.#parts;
    const tail = file.get(IQT_OFFSET);
    const wide = width === 32;
    if (!pointers.hasMode) return InvalidationQueueError.INVALID_TTM;
    if (wide ? !this.#canBeWide : mode !== LEGACY) {
      return InvalidationQueueError.DESCRIPTOR_WIDTH;
    }
    if (wide && (tail & 16) !== 0) return InvalidationQueueError.TAIL_NOT_ALIGNED;
    return tail >= size ? InvalidationQueueError.INVALID_TAIL : 0;
  }

  #fetch(head: number, count: number): number {
    const { file, memory } = this.#parts;
    const low = file.get(IQA_OFFSET) & ~0xfff;
    // the sum may cross a 1 GiB border
    const lo = (low & 0x3fff_ffff) + head;
    const hi = hiFromWords(low, file.get(IQA_OFFSET + 4)) + (lo >>> 30);
    const at = (lo & 0x3fff_ffff) >>> 2;
    const chunk = memory.chunks[hi];
    // the fast view is no whole reading where other processors write
    if (chunk !== undefined && at + count <= chunk.length && !memory.shared) {
      for (let i = 0; i < count; i++) this.#descriptor[i] = chunk[at + i]!;
      return 0;
    }
    const fetched = memory.readWords(hi, lo & 0x3fff_ffff, count, this.#descriptor);
    return fetched ? 0 : InvalidationQueueError.FETCH;
  }
}
