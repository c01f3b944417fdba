import { maxGuestAddressWidth } from "@viommu/vtd-spec";
import type { Capabilities } from "@viommu/vtd-spec";

/** The tables that a driver points its units to (VT-d 3.4.2, 3.4.3). */
export type TableMode = "legacy" | "scalable";

/** The shape of a domain's table, which a set of units understands. */
export interface DomainFormat {
  /** "first": the format of a processor's page tables (VT-d 3.6); "second": as in legacy mode (3.7). */
  readonly stage: "first" | "second";
  /** 3, 4 or 5: tables between the context or PASID entry and a page of 4 KiB. */
  readonly levels: number;
  /** Input addresses have this many bits. */
  readonly addressWidth: number;
  /** Levels at which an entry may map a page: 1 (4 KiB), 2 (2 MiB), 3 (1 GiB). */
  readonly pageLevels: readonly number[];
}

/** Bits of SAGAW that stand for 3, 4 and 5 levels (VT-d 11.4.2). */
const DEFINED_WIDTHS = 0b1110;
/** Addresses are numbers here. */
const WIDEST = 52;

/**
 * The format that domains have under these units unless they ask for another: first-stage where
 * scalable mode has it, as in Linux. Null when there is none in common, as with SAGAW = 0.
 */
export function commonFormat(
  units: readonly Capabilities[],
  mode: TableMode,
  stage?: DomainFormat["stage"],
): DomainFormat | null {
  if (stage === "first") return firstStageFormat(units, mode);
  const second = (): DomainFormat | null => secondStageFormat(units, mode);
  return stage === "second" ? second() : (firstStageFormat(units, mode) ?? second());
}

/** Whether a unit understands tables of this format. */
export function understands(
  capabilities: Capabilities,
  mode: TableMode,
  format: DomainFormat,
): boolean {
  const { SAGAW, SSLPS, FS5LP, FS1GP } = capabilities;
  const { stage, levels, addressWidth, pageLevels } = format;
  if (!hasStage(capabilities, mode, stage)) return false;
  if (stage === "first") {
    return (levels === 4 || FS5LP === 1) && (FS1GP === 1 || !pageLevels.includes(3));
  }
  if (((SAGAW >> (levels - 2)) & 1) === 0) return false;
  if (maxGuestAddressWidth(capabilities) < addressWidth) return false;
  return pageLevels.every((level) => level === 1 || ((SSLPS >> (level - 2)) & 1) === 1);
}

/** In legacy mode SAGAW alone tells. */
function hasStage(
  { FSTS, SSTS }: Capabilities,
  mode: TableMode,
  stage: DomainFormat["stage"],
): boolean {
  if (mode === "legacy") return stage === "second";
  return (stage === "first" ? FSTS : SSTS) === 1;
}

function secondStageFormat(units: readonly Capabilities[], mode: TableMode): DomainFormat | null {
  let widths = DEFINED_WIDTHS;
  let largePages = 0b11;
  let addressWidth = WIDEST;
  for (const capabilities of units) {
    if (!hasStage(capabilities, mode, "second")) return null;
    widths &= capabilities.SAGAW;
    largePages &= capabilities.SSLPS;
    addressWidth = Math.min(addressWidth, maxGuestAddressWidth(capabilities));
  }
  if (widths === 0) return null;
  const levels = 33 - Math.clz32(widths);
  const pageLevels = [1];
  if ((largePages & 1) !== 0) pageLevels.push(2);
  if ((largePages & 2) !== 0) pageLevels.push(3);
  const stage = "second";
  return { stage, levels, addressWidth: Math.min(addressWidth, 12 + 9 * levels), pageLevels };
}

/** The upper half of the canonical addresses is not used (VT-d 3.6). */
function firstStageFormat(units: readonly Capabilities[], mode: TableMode): DomainFormat | null {
  if (!units.every((capabilities) => hasStage(capabilities, mode, "first"))) return null;
  const levels = units.every(({ FS5LP }) => FS5LP === 1) ? 5 : 4;
  const pageLevels = units.every(({ FS1GP }) => FS1GP === 1) ? [1, 2, 3] : [1, 2];
  const addressWidth = Math.min(WIDEST, 12 + 9 * levels - 1);
  return { stage: "first", levels, addressWidth, pageLevels };
}
