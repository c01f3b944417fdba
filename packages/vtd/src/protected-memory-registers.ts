import { hiFromWords, loFromWords } from "@viommu/plugin";
import type { InFlight } from "@viommu/plugin";
import type { ProtectedRange, TranslationEngine } from "@viommu/translation";
import { Offset, PLMBASE, PMEN } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";
import { bitsInWord } from "./bit-field.ts";
import type { RegisterFile } from "./register-file.ts";

const EPM = bitsInWord(PMEN, "EPM");
const PRS = bitsInWord(PMEN, "PRS");
/** Bits N:0 of base and limit, which are reserved: taken as zeros in a base, as ones in a limit. */
const BELOW = ~bitsInWord(PLMBASE, "PLMB");

/** What the protected memory registers work with. */
export interface ProtectedMemoryParts {
  readonly file: RegisterFile;
  readonly capabilities: Capabilities;
  readonly translation: TranslationEngine;
  readonly inFlight: InFlight;
}

/**
 * Protected memory (VT-d 11.4.8). EPM takes effect at once and shows in PRS when the accesses in
 * flight have drained. While protection is on or on its way, base and limit can't be written.
 */
export class ProtectedMemoryRegisters {
  readonly #parts: ProtectedMemoryParts;
  #fence = 0;

  constructor(parts: ProtectedMemoryParts) {
    this.#parts = parts;
    parts.file.onWrite(Offset.PMEN, () => {
      this.apply();
    });
  }

  /** Puts what EPM asks for into effect; also after a restore. */
  apply(): void {
    const { file, capabilities, translation, inFlight } = this.#parts;
    const enabled = (file.get(Offset.PMEN) & EPM) !== 0;
    const low = capabilities.PLMR === 0 ? null : this.#lowRange();
    const high = capabilities.PHMR === 0 ? null : this.#highRange();
    translation.setProtected(enabled, low, high);
    this.#fence = inFlight.mark();
    this.#lock();
    this.settle();
  }

  /** Accesses in flight have ended: PRS follows EPM. */
  settle(): void {
    const { file, inFlight } = this.#parts;
    const enabled = file.get(Offset.PMEN) & EPM;
    const reported = file.get(Offset.PMEN) & PRS;
    if ((enabled !== 0) === (reported !== 0) || !inFlight.drained(this.#fence)) return;
    file.set(Offset.PMEN, enabled | (enabled === 0 ? 0 : PRS));
    this.#lock();
  }

  #lock(): void {
    const { file } = this.#parts;
    file.lock(Offset.PLMBASE, 24, file.get(Offset.PMEN) !== 0);
  }

  #lowRange(): ProtectedRange {
    const { file } = this.#parts;
    return range(file.get(Offset.PLMBASE), 0, file.get(Offset.PLMLIMIT), 0);
  }

  #highRange(): ProtectedRange {
    const { file } = this.#parts;
    return range(
      file.get(Offset.PHMBASE),
      file.get(Offset.PHMBASE + 4),
      file.get(Offset.PHMLIMIT),
      file.get(Offset.PHMLIMIT + 4),
    );
  }
}

function range(base: number, baseHigh: number, limit: number, limitHigh: number): ProtectedRange {
  const last = limit | BELOW;
  return {
    baseHi: hiFromWords(base, baseHigh),
    baseLo: loFromWords(base),
    limitHi: hiFromWords(last, limitHigh),
    limitLo: loFromWords(last),
  };
}
