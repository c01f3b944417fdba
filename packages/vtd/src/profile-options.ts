import type { Capabilities } from "@viommu/vtd-spec";
import { encodeMtrrCap, MOST_VARIABLE_MTRRS, usualMtrrCapability } from "./mtrr-capability.ts";
import { refuseProfile } from "./profile-refusal.ts";

/** Page sizes of second-stage tables. */
export type PageSize = "4K" | "2M" | "1G";

/** Widths of second-stage input addresses in bits: tables of 3, 4 and 5 levels. */
export type AddressWidth = 39 | 48 | 57;

/**
 * What a unit can do, in words. The capability that an option sets is in its comment, the value
 * without the option in brackets. Options of scalable mode default to what a unit of today has.
 */
export interface ProfileOptions {
  /** VER: major version in bits 7:4, 1 to 8, minor in bits 3:0 (10h). */
  readonly version?: number;
  /** HAW, 32 to 52 (48). */
  readonly hostAddressWidth?: number;
  /** MGAW + 1, up to 57 (the larger of HAW and the widest of `addressWidths`). */
  readonly maxGuestAddressWidth?: number;
  /** SAGAW ([39, 48]). An empty list makes a unit for interrupt remapping alone. */
  readonly addressWidths?: readonly AddressWidth[];
  /** SSLPS (all three). */
  readonly pageSizes?: readonly PageSize[];
  /** ND: width of domain-ids, 4 to 16, even (16). */
  readonly domainIdBits?: number;
  /** NFR + 1: fault recording registers, 1 to 256 (8). */
  readonly faultRecords?: number;
  /** FRO: byte offset of the fault recording registers, a multiple of 16 (220h). */
  readonly faultRecordOffset?: number;
  /** IRO: byte offset of IVA and IOTLB, a multiple of 16 (F0h). */
  readonly iotlbRegisterOffset?: number;
  /** CM (false). */
  readonly cachingMode?: boolean;
  /** RWBF (false). */
  readonly writeBufferFlush?: boolean;
  /** ZLR (true). */
  readonly zeroLengthRead?: boolean;
  /** PSI (true). */
  readonly pageSelectiveInvalidation?: boolean;
  /** MAMV: largest address mask, 0 to 63 (18, 1 GiB). */
  readonly maxAddressMask?: number;
  /** PLMR and PHMR (false). */
  readonly protectedMemory?: boolean;
  /** C: table accesses are snooped (true). */
  readonly coherentTables?: boolean;
  /** PT (true). */
  readonly passThrough?: boolean;
  /** SC (true). */
  readonly snoopControl?: boolean;
  /** ESRTPS: SRTP invalidates (true). */
  readonly enhancedSetRootPointer?: boolean;
  /** ESIRTPS: SIRTP invalidates (true with `interruptRemapping`). */
  readonly enhancedSetInterruptPointer?: boolean;

  /** QI (true). */
  readonly queuedInvalidation?: boolean;
  /** IR (as `queuedInvalidation`). */
  readonly interruptRemapping?: boolean;
  /** EIM: 32-bit APIC ids (as `interruptRemapping`). */
  readonly eim?: boolean;
  /** EIMER: EIME must be set (false). */
  readonly eimRequired?: boolean;
  /** IRREQ: interrupts are blocked while remapping is off (false). */
  readonly interruptRemappingRequired?: boolean;
  /** PI (false). */
  readonly postedInterrupts?: boolean;
  /** MHMV: largest index mask, 0 to 15 (15 with `interruptRemapping`). */
  readonly maxInterruptIndexMask?: number;

  /** DT (false). */
  readonly deviceTlb?: boolean;
  /** DIT (false). */
  readonly deviceTlbThrottle?: boolean;
  /** NWFS: translation requests may ask for no write permission (false). */
  readonly noWriteFlag?: boolean;

  /** SMTS (false). */
  readonly scalableMode?: boolean;
  /** FSTS (as `scalableMode`). */
  readonly firstStage?: boolean;
  /** FS1GP (as `firstStage`). */
  readonly firstStage1GPages?: boolean;
  /** FS5LP (false). */
  readonly fiveLevelFirstStage?: boolean;
  /** EAFS (false). */
  readonly extendedAccessedFlag?: boolean;
  /** SSTS (as `scalableMode`). */
  readonly secondStage?: boolean;
  /** SSADS (false). */
  readonly secondStageAccessedDirty?: boolean;
  /** SSIRWS: I/O permission bits in second-stage entries (false). */
  readonly secondStageIoPermissions?: boolean;
  /** NEST (with `firstStage` and `secondStage`). */
  readonly nested?: boolean;
  /** PASID and PSS: width of PASIDs, 1 to 20, or 0 for none (20 with `scalableMode`). */
  readonly pasidBits?: number;
  /** RPS: RID_PASID counts (as `scalableMode`). */
  readonly ridPasid?: boolean;
  /** SRS: supervisor requests (false). */
  readonly supervisorRequests?: boolean;
  /** RPRIVS: RID_PRIV counts (false). */
  readonly ridPrivilege?: boolean;
  /** SMPWCS: walks snoop as PWSNP says (as `scalableMode`). */
  readonly walkSnoopControl?: boolean;
  /** PTRS: translated requests may have a PASID (false). */
  readonly translatedWithPasid?: boolean;
  /** HPTS: host permission tables (false). */
  readonly hostPermissionTables?: boolean;
  /** HPT1GPS: 1 GiB pages in them (as `hostPermissionTables`). */
  readonly hostPermission1GPages?: boolean;
  /** MTS: memory types, and MTRRs that tell them of addresses (false). */
  readonly memoryTypes?: boolean;
  /** MTRRCAP.VCNT: variable ranges, 0 to 10 (10 with `memoryTypes`), as many as the processors'. */
  readonly variableMtrrs?: number;
  /** MTRRCAP.FIX: fixed ranges, as the processors have them (as `memoryTypes`). */
  readonly fixedMtrrs?: boolean;
  /** MTRRCAP.WC: write-combining, as the processors have it (as `memoryTypes`). */
  readonly writeCombining?: boolean;
  /** ADMS: abort-DMA mode (false). */
  readonly abortDma?: boolean;
  /** PRS (false). */
  readonly pageRequests?: boolean;
  /** PDS (as `pageRequests`). */
  readonly pageRequestDrain?: boolean;
  /** SMS (as `pageRequests`). */
  readonly stopMarkers?: boolean;
}

const WIDTH_BITS: Readonly<Record<number, number>> = { 39: 2, 48: 4, 57: 8 };

/** The registers that the options ask for; dependencies between them are not checked here. */
export function capabilitiesOf(options: ProfileOptions): {
  version: number;
  hostAddressWidth: number;
  mtrrCap: bigint;
  capabilities: Partial<Capabilities>;
} {
  const hostAddressWidth = options.hostAddressWidth ?? 48;
  return {
    version: options.version ?? 0x10,
    hostAddressWidth,
    mtrrCap: mtrrCapOf(options),
    capabilities: {
      ...addressCapabilities(options, hostAddressWidth),
      ...placement(options),
      ...interruptCapabilities(options),
      ...scalableCapabilities(options),
      CM: flag(options.cachingMode, false),
      RWBF: flag(options.writeBufferFlush, false),
      PLMR: flag(options.protectedMemory, false),
      PHMR: flag(options.protectedMemory, false),
      DRD: 1,
      DWD: 1,
      ESRTPS: flag(options.enhancedSetRootPointer, true),
      QI: flag(options.queuedInvalidation, true),
      C: flag(options.coherentTables, true),
      DT: flag(options.deviceTlb, false),
      DIT: flag(options.deviceTlbThrottle, false),
      NWFS: flag(options.noWriteFlag, false),
    },
  };
}

function addressCapabilities(options: ProfileOptions, haw: number): Partial<Capabilities> {
  const widths = options.addressWidths ?? [39, 48];
  let sagaw = 0;
  for (const width of widths) sagaw |= WIDTH_BITS[width] ?? refuseWidth(width);
  const mgaw = options.maxGuestAddressWidth ?? Math.max(haw, ...widths);
  const sizes = options.pageSizes ?? ["4K", "2M", "1G"];
  return {
    SAGAW: sagaw,
    MGAW: whole("maxGuestAddressWidth", mgaw, 32, 57) - 1,
    SSLPS: (sizes.includes("2M") ? 1 : 0) | (sizes.includes("1G") ? 2 : 0),
    ND: domainIdCode(options.domainIdBits ?? 16),
    ZLR: flag(options.zeroLengthRead, true),
    PT: flag(options.passThrough, true),
    SC: flag(options.snoopControl, true),
    PSI: flag(options.pageSelectiveInvalidation, true),
    MAMV: whole("maxAddressMask", options.maxAddressMask ?? 18, 0, 63),
  };
}

function placement(options: ProfileOptions): Partial<Capabilities> {
  return {
    NFR: whole("faultRecords", options.faultRecords ?? 8, 1, 256) - 1,
    FRO: blockNumber("faultRecordOffset", options.faultRecordOffset ?? 0x220),
    IRO: blockNumber("iotlbRegisterOffset", options.iotlbRegisterOffset ?? 0xf0),
  };
}

function interruptCapabilities(options: ProfileOptions): Partial<Capabilities> {
  const remapping = options.interruptRemapping ?? options.queuedInvalidation ?? true;
  const mask = options.maxInterruptIndexMask ?? (remapping ? 15 : 0);
  return {
    IR: flag(remapping, false),
    EIM: flag(options.eim, remapping),
    EIMER: flag(options.eimRequired, false),
    IRREQ: flag(options.interruptRemappingRequired, false),
    PI: flag(options.postedInterrupts, false),
    MHMV: whole("maxInterruptIndexMask", mask, 0, 15),
    ESIRTPS: flag(options.enhancedSetInterruptPointer, remapping),
  };
}

function scalableCapabilities(options: ProfileOptions): Partial<Capabilities> {
  const scalable = options.scalableMode ?? false;
  const firstStage = options.firstStage ?? scalable;
  const secondStage = options.secondStage ?? scalable;
  const pasidBits = whole("pasidBits", options.pasidBits ?? (scalable ? 20 : 0), 0, 20);
  const pageRequests = options.pageRequests ?? false;
  const permissions = options.hostPermissionTables ?? false;
  return {
    SMTS: flag(scalable, false),
    FSTS: flag(firstStage, false),
    FS1GP: flag(options.firstStage1GPages, firstStage),
    FS5LP: flag(options.fiveLevelFirstStage, false),
    EAFS: flag(options.extendedAccessedFlag, false),
    SSTS: flag(secondStage, false),
    SSADS: flag(options.secondStageAccessedDirty, false),
    SSIRWS: flag(options.secondStageIoPermissions, false),
    NEST: flag(options.nested, firstStage && secondStage),
    PASID: flag(pasidBits > 0, false),
    PSS: Math.max(0, pasidBits - 1),
    RPS: flag(options.ridPasid, scalable),
    SRS: flag(options.supervisorRequests, false),
    RPRIVS: flag(options.ridPrivilege, false),
    SMPWCS: flag(options.walkSnoopControl, scalable),
    PTRS: flag(options.translatedWithPasid, false),
    HPTS: flag(permissions, false),
    HPT1GPS: flag(options.hostPermission1GPages, permissions),
    MTS: flag(options.memoryTypes, false),
    ADMS: flag(options.abortDma, false),
    PRS: flag(pageRequests, false),
    PDS: flag(options.pageRequestDrain, pageRequests),
    SMS: flag(options.stopMarkers, pageRequests),
  };
}

function mtrrCapOf(options: ProfileOptions): bigint {
  const { VCNT, FIX, WC } = usualMtrrCapability(options.memoryTypes ?? false);
  return encodeMtrrCap({
    VCNT: whole("variableMtrrs", options.variableMtrrs ?? VCNT, 0, MOST_VARIABLE_MTRRS),
    FIX: flag(options.fixedMtrrs, FIX !== 0),
    WC: flag(options.writeCombining, WC !== 0),
  });
}

function flag(value: boolean | undefined, otherwise: boolean): number {
  return (value ?? otherwise) ? 1 : 0;
}

function whole(option: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  return refuseProfile(
    `${option} is ${value}`,
    `it is a whole number from ${least} to ${most}`,
    `give one in this range`,
  );
}

function domainIdCode(width: number): number {
  if (whole("domainIdBits", width, 4, 16) % 2 === 0) return (width - 4) / 2;
  return refuseProfile(
    `domainIdBits is ${width}`,
    "CAP.ND holds even widths only (VT-d 11.4.2)",
    `give ${width + 1}`,
  );
}

function blockNumber(option: string, offset: number): number {
  if (whole(option, offset, 0, 16 * 1023) % 16 === 0) return offset / 16;
  return refuseProfile(
    `${option} is ${offset}`,
    "the registers lie on a 16-byte border (VT-d 11.4.2, 11.4.3)",
    "give a multiple of 16",
  );
}

function refuseWidth(width: number): never {
  return refuseProfile(
    `addressWidths has ${width}`,
    "second-stage tables have 3, 4 or 5 levels (VT-d 11.4.2, SAGAW)",
    "give 39, 48 and 57 only",
  );
}
