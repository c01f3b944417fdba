/** A guest's second stage: what makes two of them the same address space. */
export interface SecondStage {
  readonly domainId: number;
  /** Guest frame of the root table. */
  readonly rootFrame: number;
  readonly levels: number;
  /** Bits of the input address: the smaller of MGAW and AW. */
  readonly inputWidth: number;
  /** Accesses snoop whatever SNP says (PGSNP). */
  readonly snoop: boolean;
  /** Permissions are IR and IW (RTADDR.SSIRWE). */
  readonly ioPermissions: boolean;
}

/** What a guest's tables say of the requests of one device, with one PASID or without. */
export type GuestStage =
  /** Translation is off: guest-physical addresses. */
  | { readonly kind: "off" }
  /** No usable entry: each request faults. */
  | { readonly kind: "blocked"; readonly suppressed: boolean }
  | { readonly kind: "pass-through"; readonly domainId: number; readonly suppressed: boolean }
  | {
      readonly kind: "second-stage";
      readonly domainId: number;
      readonly second: SecondStage;
      readonly suppressed: boolean;
    }
  | {
      readonly kind: "first-stage";
      readonly domainId: number;
      readonly rootFrame: number;
      readonly levels: 4 | 5;
      readonly supervisor: boolean;
      readonly writeProtect: boolean;
      readonly extendedAccessed: boolean;
      /** The guest's second stage below it (PGTT nested); null: guest-physical addresses. */
      readonly second: SecondStage | null;
      /** The device may keep translations (DTE): the guest invalidates them itself. */
      readonly deviceTlb: boolean;
      readonly suppressed: boolean;
    };

/** Translation is off. */
export const STAGE_OFF: GuestStage = { kind: "off" };

/** A short text that differs between different second stages of a unit. */
export function secondStageKey(stage: SecondStage): string {
  const { domainId, rootFrame, levels, snoop, ioPermissions } = stage;
  return `${domainId},${rootFrame},${levels},${+snoop}${+ioPermissions}`;
}
