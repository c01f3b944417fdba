import type { FirstStage } from "@viommu/plugin";
import { CONTEXT_ENTRY, encode, PASID_DIR_ENTRY, PASID_ENTRY, ROOT_ENTRY } from "@viommu/vtd-spec";
import { PasidTranslationType, SM_CONTEXT_ENTRY, TranslationType } from "@viommu/vtd-spec";
import type { Abilities } from "./abilities.ts";

/** What the tables of a device say of the space it is attached to. */
export interface TableTarget {
  readonly kind: "second-stage" | "nested" | "pass-through";
  readonly domainId: number;
  /** Frame of the second-stage root. */
  readonly root: number;
  /** The unit sets A and D in second-stage entries. */
  readonly tracksDirty: boolean;
  /** Of a nested space. */
  readonly stage: FirstStage | null;
}

const TYPE = {
  "second-stage": PasidTranslationType.SECOND_STAGE,
  nested: PasidTranslationType.NESTED,
  "pass-through": PasidTranslationType.PASS_THROUGH,
} as const;

/** Context entry of legacy mode (VT-d 9.3). Nothing is translated for devices that pass through. */
export function contextEntry(
  target: TableTarget,
  ats: boolean,
  { addressWidth }: Abilities,
): Int32Array {
  const passes = target.kind === "pass-through";
  const translated = ats ? TranslationType.DEVICE_TLB : TranslationType.UNTRANSLATED;
  return encode(CONTEXT_ENTRY, {
    P: 1,
    TT: passes ? TranslationType.PASS_THROUGH : translated,
    AW: addressWidth,
    SSPTPTR: passes ? 0n : addressOf(target.root),
    DID: target.domainId,
  });
}

/** PASID table entry (VT-d 9.6). */
export function pasidEntry(target: TableTarget, abilities: Abilities): Int32Array {
  const { kind, root, stage, tracksDirty } = target;
  const { addressWidth, capabilities } = abilities;
  const passes = kind === "pass-through";
  return encode(PASID_ENTRY, {
    P: 1,
    PGTT: TYPE[kind],
    DID: target.domainId,
    PWSNP: capabilities.SMPWCS,
    ...(passes ? {} : { AW: addressWidth, SSPTPTR: addressOf(root), SSADE: Number(tracksDirty) }),
    ...(stage === null ? {} : firstStageFields(stage)),
  });
}

/** Context entry of scalable mode: everything is in its first 128 bits (VT-d 9.4). */
export function scalableContextEntry(
  directory: number,
  sizeCode: number,
  { ats, pri }: { readonly ats: boolean; readonly pri: boolean },
  { capabilities }: Abilities,
): Int32Array {
  return encode(SM_CONTEXT_ENTRY, {
    P: 1,
    DTE: Number(ats),
    PRE: Number(pri),
    PASIDE: capabilities.PASID,
    PDTS: sizeCode,
    PASIDDIRPTR: addressOf(directory),
  });
}

/** PASID directory entry (VT-d 9.5). */
export function directoryEntry(table: number): Int32Array {
  return encode(PASID_DIR_ENTRY, { P: 1, SMPTBLPTR: addressOf(table) });
}

/** The used half of a root entry, of either mode (VT-d 9.1, 9.2). */
export function rootEntry(table: number): Int32Array {
  return encode(ROOT_ENTRY, { P: 1, CTP: addressOf(table) });
}

function firstStageFields(stage: FirstStage): Record<string, number | bigint> {
  return {
    SRE: Number(stage.supervisor),
    WPE: Number(stage.writeProtect),
    EAFE: Number(stage.extendedAccessed),
    FSPM: stage.levels - 4,
    FSPTPTR: addressOf(stage.rootFrame),
  };
}

function addressOf(frame: number): bigint {
  return BigInt(frame) << 12n;
}
