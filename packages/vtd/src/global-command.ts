import type { HookTable, InFlight, ModeChange } from "@viommu/plugin";
import type { InterruptRemappingEngine } from "@viommu/interrupt-remapping";
import type { TranslationEngine } from "@viommu/translation";
import { GCMD, Offset, reservedMask } from "@viommu/vtd-spec";
import { bitsInWord } from "./bit-field.ts";
import type { FaultLog } from "./fault-log.ts";
import type { InvalidationQueue } from "./invalidation-queue.ts";
import type { Invalidator } from "./invalidator.ts";
import type { Profile } from "./profile.ts";
import type { RegisterFile } from "./register-file.ts";
import type { TablePointers } from "./table-pointers.ts";

// A command bit of GCMD and its status bit of GSTS have the same place.
const TE = bitsInWord(GCMD, "TE");
const SRTP = bitsInWord(GCMD, "SRTP");
const QIE = bitsInWord(GCMD, "QIE");
const IRE = bitsInWord(GCMD, "IRE");
const SIRTP = bitsInWord(GCMD, "SIRTP");
const CFI = bitsInWord(GCMD, "CFI");

/** Bits whose level counts; the others are one-shots. */
const LEVELS = TE | QIE | IRE | CFI;
/** Bits whose status follows only after accesses and interrupts in flight have drained. */
const DRAINED = TE | SRTP | IRE | SIRTP;

/** What the global command register works with. */
export interface CommandParts {
  readonly file: RegisterFile;
  readonly profile: Profile;
  readonly translation: TranslationEngine;
  readonly interrupts: InterruptRemappingEngine;
  readonly inFlight: InFlight;
  readonly pointers: TablePointers;
  readonly invalidator: Invalidator;
  readonly faultLog: FaultLog;
  readonly queue: InvalidationQueue;
  readonly unit: string;
  readonly hooks: HookTable;
}

/**
 * GCMD and GSTS (VT-d 11.4.4). Software changes one bit with a write; of several changes the order
 * is SRTP, SIRTP, CFI, IRE, TE, QIE: pointers before what uses them, and the queue when the rest has
 * taken effect. WBF is over before GSTS can be read, so WBFS never shows.
 *
 * TE has no capability bit. A unit without address widths (SAGAW = 0) carries it out as well: a guest
 * that waits for TES gets it, and its requests are judged by the tables it gave.
 */
export class GlobalCommand {
  readonly #parts: CommandParts;
  readonly #supported: number;
  /** What GSTS shows when everything in flight has drained. */
  #target = 0;
  #fence = 0;

  constructor(parts: CommandParts) {
    this.#parts = parts;
    const { capabilities, hostAddressWidth } = parts.profile;
    this.#supported = ~reservedMask(GCMD, capabilities, hostAddressWidth)[0]!;
    parts.file.onWrite(Offset.GCMD, (value) => {
      this.#write(value & this.#supported);
    });
  }

  /** What GSTS shows in the end, for a snapshot. */
  get target(): number {
    return this.#target;
  }

  /** DMA remapping is on, as far as requests are concerned. */
  get translationEnabled(): boolean {
    return (this.#target & TE) !== 0;
  }

  /** Accesses in flight have ended: reports what waited for them. */
  settle(): void {
    const { file, inFlight } = this.#parts;
    if (file.get(Offset.GSTS) === this.#target || !inFlight.drained(this.#fence)) return;
    file.set(Offset.GSTS, this.#target);
  }

  reset(): void {
    this.#target = 0;
  }

  /** Puts the engines and the queue into the state of a snapshot, pointers excepted. */
  restore(target: number): void {
    const { translation, interrupts, queue, inFlight } = this.#parts;
    this.#target = target;
    interrupts.setCompatibility((target & CFI) !== 0);
    interrupts.setEnabled((target & IRE) !== 0);
    translation.setEnabled((target & TE) !== 0);
    queue.restore((target & QIE) !== 0);
    this.#fence = inFlight.mark();
    this.settle();
  }

  /** Tells the observers that answers may differ from now on. */
  tell(cause: ModeChange["cause"]): void {
    const tell = this.#parts.hooks.modeChange;
    if (tell === null) return;
    const translation = (this.#target & TE) !== 0;
    const remapping = (this.#target & IRE) !== 0;
    const { rootTable, interruptTable } = this.#parts.pointers;
    tell(this.#parts.unit, { translation, remapping, rootTable, interruptTable, cause });
  }

  #write(command: number): void {
    const changed = (command ^ this.#target) & LEVELS;
    const pointers = command & (SRTP | SIRTP);
    this.#target = (this.#target & ~LEVELS) | (command & LEVELS) | pointers;

    if ((pointers & SRTP) !== 0) this.#setRoot();
    if ((pointers & SIRTP) !== 0) this.#setInterruptTable();
    if ((changed & CFI) !== 0) this.#switchCompatibility();
    if ((changed & IRE) !== 0) this.#switchRemapping();
    if ((changed & TE) !== 0) this.#switchTranslation();
    if ((this.#target & (TE | IRE)) === 0) this.#parts.faultLog.restart();
    this.#report(changed | pointers, pointers);
    if ((changed & QIE) !== 0) this.#switchQueue();
  }

  /** RTPS and IRTPS are clear until their command is done. */
  #report(started: number, pointers: number): void {
    const { file, inFlight } = this.#parts;
    const waiting = file.get(Offset.GSTS) & DRAINED & ~pointers;
    file.set(Offset.GSTS, waiting | (this.#target & ~DRAINED));
    if ((started & DRAINED) !== 0) this.#fence = inFlight.mark();
    this.settle();
  }

  /** VT-d 6.6: with ESRTPS the command itself invalidates all caches. */
  #setRoot(): void {
    const { profile, pointers, invalidator } = this.#parts;
    pointers.setRoot();
    if (profile.capabilities.ESRTPS !== 0) invalidator.allTranslations();
    this.tell("root-table");
  }

  /** VT-d 6.7. */
  #setInterruptTable(): void {
    const { profile, pointers, invalidator } = this.#parts;
    pointers.setInterruptTable();
    if (profile.capabilities.ESIRTPS !== 0) invalidator.allInterruptEntries();
    this.tell("interrupt-table");
  }

  #switchCompatibility(): void {
    this.#parts.interrupts.setCompatibility((this.#target & CFI) !== 0);
    this.tell("compatibility");
  }

  #switchRemapping(): void {
    const { profile, interrupts, invalidator } = this.#parts;
    const enabled = (this.#target & IRE) !== 0;
    interrupts.setEnabled(enabled);
    if (!enabled && profile.capabilities.ESIRTPS !== 0) invalidator.allInterruptEntries();
    this.tell("remapping");
  }

  /** With SMTS, switching off invalidates all caches. */
  #switchTranslation(): void {
    const { profile, translation, invalidator } = this.#parts;
    translation.setEnabled(this.translationEnabled);
    if (!this.translationEnabled && profile.capabilities.SMTS !== 0) invalidator.allTranslations();
    this.tell("translation");
  }

  #switchQueue(): void {
    const { queue } = this.#parts;
    if ((this.#target & QIE) !== 0) queue.enable();
    else queue.disable();
  }
}
