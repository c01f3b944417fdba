import { hiFromWords, loFromWords } from "@viommu/plugin";
import type { InterruptRemappingEngine } from "@viommu/interrupt-remapping";
import type { TranslationEngine } from "@viommu/translation";
import { bits, IRTA, Offset, RTADDR, TranslationTableMode } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { bitsInWord, valueOf } from "./bit-field.ts";
import type { RegisterFile } from "./register-file.ts";

const TTM = bits(RTADDR, "TTM");
const SSIRWE = bitsInWord(RTADDR, "SSIRWE");
const EIME = bitsInWord(IRTA, "EIME");
const S = bits(IRTA, "S");

/**
 * The table pointers in effect: RTADDR and IRTA as they were when software last wrote SRTP and SIRTP
 * (VT-d 6.6, 6.7). What the registers say later has no effect before the next such command.
 */
export class TablePointers {
  readonly #file: RegisterFile;
  readonly #translation: TranslationEngine;
  readonly #interrupts: InterruptRemappingEngine;
  readonly #hasScalableMode: boolean;
  readonly #hasAbortMode: boolean;
  readonly #root = new Int32Array(2);
  readonly #interruptTable = new Int32Array(2);

  constructor(
    file: RegisterFile,
    translation: TranslationEngine,
    interrupts: InterruptRemappingEngine,
    capabilities: Capabilities,
  ) {
    this.#file = file;
    this.#translation = translation;
    this.#interrupts = interrupts;
    this.#hasScalableMode = capabilities.SMTS !== 0;
    this.#hasAbortMode = capabilities.ADMS !== 0;
  }

  /** The translation table mode in effect, one of `TranslationTableMode`. */
  get mode(): number {
    return valueOf(this.#root, TTM);
  }

  /** RTADDR in effect, low and high word. */
  get rootTable(): [low: number, high: number] {
    return [this.#root[0]!, this.#root[1]!];
  }

  /** IRTA in effect, low and high word. */
  get interruptTable(): [low: number, high: number] {
    return [this.#interruptTable[0]!, this.#interruptTable[1]!];
  }

  /** False when no request can be answered: an unsupported mode, or SSIRWE in legacy mode. */
  get isValid(): boolean {
    const legacy = this.mode === TranslationTableMode.LEGACY;
    return this.hasMode && !(legacy && (this.#root[0]! & SSIRWE) !== 0);
  }

  /** Whether the unit has the mode in effect. */
  get hasMode(): boolean {
    switch (this.mode) {
      case TranslationTableMode.LEGACY:
        return true;
      case TranslationTableMode.SCALABLE:
        return this.#hasScalableMode;
      case TranslationTableMode.ABORT:
        return this.#hasAbortMode;
      default:
        return false;
    }
  }

  /** SRTP. */
  setRoot(): void {
    this.#root[0] = this.#file.get(Offset.RTADDR);
    this.#root[1] = this.#file.get(Offset.RTADDR + 4);
    this.#applyRoot();
  }

  /** SIRTP. */
  setInterruptTable(): void {
    this.#interruptTable[0] = this.#file.get(Offset.IRTA);
    this.#interruptTable[1] = this.#file.get(Offset.IRTA + 4);
    this.#applyInterruptTable();
  }

  /** Back to no tables; the engines are reset on their own. */
  reset(): void {
    this.#root.fill(0);
    this.#interruptTable.fill(0);
  }

  /** Both registers as latched, four words. */
  save(): Int32Array {
    return Int32Array.of(...this.#root, ...this.#interruptTable);
  }

  restore(words: Int32Array): void {
    this.#root.set(words.subarray(0, 2));
    this.#interruptTable.set(words.subarray(2, 4));
    this.#applyRoot();
    this.#applyInterruptTable();
  }

  #applyRoot(): void {
    const low = this.#root[0]!;
    const base = low & ~0xfff;
    this.#translation.latchRoot(
      hiFromWords(base, this.#root[1]!),
      loFromWords(base),
      this.mode,
      (low & SSIRWE) !== 0,
    );
  }

  #applyInterruptTable(): void {
    const low = this.#interruptTable[0]!;
    const base = low & ~0xfff;
    this.#interrupts.latchTable(
      hiFromWords(base, this.#interruptTable[1]!),
      loFromWords(base),
      valueOf(this.#interruptTable, S) + 1,
      (low & EIME) !== 0,
    );
  }
}
