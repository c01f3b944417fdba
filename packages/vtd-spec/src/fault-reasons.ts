/**
 * Every fault reason of VT-d 5.10, as recorded in FRCD.FR.
 * Interrupt requests: VT-d 5.1.4.1. DMA requests: VT-d 7.1.3.
 */
export const FaultReason = {
  ROOT_NOT_PRESENT: 0x01,
  CONTEXT_NOT_PRESENT: 0x02,
  CONTEXT_INVALID: 0x03,
  ADDRESS_BEYOND_WIDTH: 0x04,
  WRITE_DENIED: 0x05,
  READ_DENIED: 0x06,
  SS_ENTRY_ACCESS: 0x07,
  ROOT_ACCESS: 0x08,
  CONTEXT_ACCESS: 0x09,
  ROOT_RESERVED: 0x0a,
  CONTEXT_RESERVED: 0x0b,
  SS_RESERVED: 0x0c,
  REQUEST_BLOCKED: 0x0d,
  OUTPUT_IN_INTERRUPT_RANGE: 0x0e,

  IR_REQUEST_RESERVED: 0x20,
  IR_INDEX_BEYOND_TABLE: 0x21,
  IRTE_NOT_PRESENT: 0x22,
  IRTE_ACCESS: 0x23,
  IRTE_RESERVED: 0x24,
  IR_COMPATIBILITY_BLOCKED: 0x25,
  IR_SOURCE_ID: 0x26,
  PID_ACCESS: 0x27,
  PID_RESERVED: 0x28,
  IR_MALFORMED: 0x29,
  EIM_REQUIRED: 0x2a,
  IR_REQUIRED: 0x2b,

  TTM_INVALID: 0x30,
  PASID_IN_LEGACY: 0x31,
  PAGE_REQUEST_IN_LEGACY: 0x32,
  ABORT_MODE: 0x33,
  EXECUTE_REQUESTED: 0x34,

  SM_ROOT_ACCESS: 0x38,
  SM_ROOT_NOT_PRESENT: 0x39,
  SM_ROOT_RESERVED: 0x3a,
  SM_CONTEXT_ACCESS: 0x40,
  SM_CONTEXT_NOT_PRESENT: 0x41,
  SM_CONTEXT_RESERVED: 0x42,
  SM_CONTEXT_INVALID: 0x43,
  SM_DEVICE_TLB_DISABLED: 0x44,
  SM_PASID_DISABLED: 0x45,
  SM_PASID_BEYOND_DIR: 0x46,
  SM_PAGE_REQUEST_DISABLED: 0x47,
  SM_PASID_IS_RID_PASID: 0x48,
  SM_TRANSLATED_PASID_DISABLED: 0x49,
  PASID_DIR_ACCESS: 0x50,
  PASID_DIR_NOT_PRESENT: 0x51,
  PASID_DIR_RESERVED: 0x52,
  PASID_ENTRY_ACCESS: 0x58,
  PASID_ENTRY_NOT_PRESENT: 0x59,
  PASID_ENTRY_RESERVED: 0x5a,
  PASID_ENTRY_INVALID: 0x5b,
  PASID_ENTRY_EXECUTE_BLOCKED: 0x5c,
  PASID_ENTRY_SUPERVISOR_BLOCKED: 0x5d,
  HPT_ADDRESS_BEYOND_SIZE: 0x60,

  FS_ENTRY_ACCESS: 0x70,
  FS_NOT_PRESENT: 0x71,
  FS_RESERVED: 0x72,
  FS_ROOT_ACCESS: 0x73,
  FS_ADDRESS_BEYOND_SS_WIDTH: 0x74,
  FS_ROOT_SS_DENIED: 0x75,
  FS_ENTRY_SS_DENIED: 0x76,
  FS_FLAGS_SS_DENIED: 0x77,
  SM_SS_ENTRY_ACCESS: 0x78,
  SM_SS_NO_PERMISSION: 0x79,
  SM_SS_RESERVED: 0x7a,
  SM_SS_ROOT_ACCESS: 0x7b,
  SM_SS_FLAGS_NOT_SNOOPED: 0x7c,
  SM_SS_FLAGS_UPDATE: 0x7d,

  FS_NOT_CANONICAL: 0x80,
  FS_USER_DENIED: 0x81,
  SM_HOST_WIDTH: 0x83,
  SM_SS_WIDTH: 0x84,
  SM_WRITE_DENIED: 0x85,
  SM_READ_DENIED: 0x86,
  SM_OUTPUT_IN_INTERRUPT_RANGE: 0x87,
  PASID_BEYOND_PSS: 0x89,
  FS_FLAGS_NOT_SNOOPED: 0x90,
  FS_FLAGS_UPDATE: 0x91,

  HPT_ENTRY_ACCESS: 0xa0,
  HPT_RESERVED: 0xa1,
  HPT_ROOT_ACCESS: 0xa2,
  HPT_ZERO_LENGTH_DENIED: 0xa3,
  HPT_WRITE_DENIED: 0xa4,
  HPT_READ_DENIED: 0xa5,
} as const;

/** Name of a fault reason, e.g. `"CONTEXT_NOT_PRESENT"`. */
export type FaultReasonName = keyof typeof FaultReason;

/** Code of a fault reason as FRCD.FR holds it (1–A5h). */
export type FaultReasonCode = (typeof FaultReason)[FaultReasonName];

/** What VT-d 5.10 says about one fault reason. */
export interface FaultReasonInfo {
  readonly code: FaultReasonCode;
  readonly name: FaultReasonName;
  /** The specification's label of the condition, e.g. "LCT.2"; several conditions: their prefix. */
  readonly label: string;
  /** Chapter with the condition. */
  readonly chapter: string;
  /** A set FPD (fault processing disable) suppresses the record of a qualified fault (VT-d 7.2). */
  readonly qualified: boolean;
  readonly group: "dma" | "interrupt";
  /** The condition in words. */
  readonly text: string;
}

/** Label, qualified by FPD or not, condition. A Record, so that no reason can be left out. */
const CONDITIONS: Readonly<Record<FaultReasonName, readonly [string, "q" | "-", string]>> = {
  ROOT_NOT_PRESENT: ["LRT.2", "-", "the root entry is not present"],
  CONTEXT_NOT_PRESENT: ["LCT.2", "q", "the context entry is not present"],
  CONTEXT_INVALID: [
    "LCT.4",
    "q",
    "AW or TT of the context entry is not supported, or the table at SSPTPTR can't be read",
  ],
  ADDRESS_BEYOND_WIDTH: [
    "LGN.1",
    "q",
    "the address is beyond min(MGAW, AW), or beyond the host address width where nothing is translated",
  ],
  WRITE_DENIED: ["LGN.2", "q", "a write or atomic without write permission"],
  READ_DENIED: ["LGN.3", "q", "a read or atomic without read permission"],
  SS_ENTRY_ACCESS: ["LSS.1", "q", "a second-stage entry below the top can't be read"],
  ROOT_ACCESS: ["LRT.1", "-", "the root entry can't be read"],
  CONTEXT_ACCESS: ["LCT.1", "-", "the context entry can't be read"],
  ROOT_RESERVED: ["LRT.3", "-", "a reserved bit is set in a present root entry"],
  CONTEXT_RESERVED: ["LCT.3", "q", "a reserved bit is set in a present context entry"],
  SS_RESERVED: ["LSS.2", "q", "a reserved bit is set in a present second-stage entry"],
  REQUEST_BLOCKED: ["LCT.5", "q", "TT of the context entry blocks this type of request"],
  OUTPUT_IN_INTERRUPT_RANGE: ["LGN.4", "q", "the output address is in FEEx_xxxxh"],

  IR_REQUEST_RESERVED: ["20h", "-", "a reserved field of the remappable request is not 0"],
  IR_INDEX_BEYOND_TABLE: [
    "21h",
    "-",
    "the interrupt index is beyond the table, or the entry is beyond the host address width",
  ],
  IRTE_NOT_PRESENT: ["22h", "q", "the IRTE is not present"],
  IRTE_ACCESS: ["23h", "-", "the IRTE can't be read"],
  IRTE_RESERVED: ["24h", "q", "a reserved field is not 0 in a present IRTE"],
  IR_COMPATIBILITY_BLOCKED: ["25h", "-", "a compatibility format request is blocked"],
  IR_SOURCE_ID: ["26h", "q", "the source-id doesn't match SVT, SQ and SID of the IRTE"],
  PID_ACCESS: ["27h", "q", "the posted-interrupt descriptor can't be accessed"],
  PID_RESERVED: ["28h", "q", "a reserved field of the posted-interrupt descriptor is not 0"],
  IR_MALFORMED: ["29h", "-", "a request to FEEx_xxxxh is no valid interrupt request"],
  EIM_REQUIRED: ["2Ah", "-", "EIME is 0 although ECAP.EIMER asks for x2APIC mode"],
  IR_REQUIRED: ["2Bh", "-", "an interrupt request while remapping is off and ECAP.IRREQ is 1"],

  TTM_INVALID: ["RTA.1", "-", "RTADDR has an unsupported TTM, or SSIRWE in legacy mode"],
  PASID_IN_LEGACY: ["RTA.2", "-", "a request with PASID in legacy mode"],
  PAGE_REQUEST_IN_LEGACY: ["RTA.3", "-", "a page request in legacy mode"],
  ABORT_MODE: ["RTA.4", "-", "a request in abort-DMA mode"],
  EXECUTE_REQUESTED: ["RTA.5", "-", "an execute-requested request (major version 8 and up)"],

  SM_ROOT_ACCESS: ["SRT.1", "-", "the scalable-mode root entry can't be read"],
  SM_ROOT_NOT_PRESENT: ["SRT.2", "-", "the half of the scalable-mode root entry is not present"],
  SM_ROOT_RESERVED: ["SRT.3", "-", "a reserved bit is set in a present half of the root entry"],
  SM_CONTEXT_ACCESS: ["SCT.1", "-", "the scalable-mode context entry can't be read"],
  SM_CONTEXT_NOT_PRESENT: ["SCT.2", "q", "the scalable-mode context entry is not present"],
  SM_CONTEXT_RESERVED: ["SCT.3", "q", "a reserved bit is set in a present context entry"],
  SM_CONTEXT_INVALID: [
    "SCT.4",
    "q",
    "PRE without DTE, RID_PASID beyond the directory, or EPTR without PASIDE",
  ],
  SM_DEVICE_TLB_DISABLED: ["SCT.5", "q", "a translation or translated request, DTE is 0"],
  SM_PASID_DISABLED: ["SCT.6", "q", "a request with PASID, PASIDE is 0"],
  SM_PASID_BEYOND_DIR: ["SCT.7", "q", "the PASID is beyond the directory (PDTS)"],
  SM_PAGE_REQUEST_DISABLED: ["SCT.8", "q", "a page request, PRE is 0"],
  SM_PASID_IS_RID_PASID: ["SCT.9", "q", "the PASID of the request equals RID_PASID"],
  SM_TRANSLATED_PASID_DISABLED: ["SCT.10", "q", "a translated request with PASID, EPTR is 0"],
  PASID_DIR_ACCESS: ["SPD.1", "-", "the PASID directory entry can't be read"],
  PASID_DIR_NOT_PRESENT: ["SPD.2", "q", "the PASID directory entry is not present"],
  PASID_DIR_RESERVED: ["SPD.3", "q", "a reserved bit is set in a present PASID directory entry"],
  PASID_ENTRY_ACCESS: ["SPT.1", "-", "the PASID table entry can't be read"],
  PASID_ENTRY_NOT_PRESENT: ["SPT.2", "q", "the PASID table entry is not present"],
  PASID_ENTRY_RESERVED: ["SPT.3", "q", "a reserved bit is set in a present PASID table entry"],
  PASID_ENTRY_INVALID: [
    "SPT.4",
    "q",
    "AW, PGTT or FSPM is not supported, or a nested FSPTPTR is beyond min(MGAW, AW)",
  ],
  PASID_ENTRY_EXECUTE_BLOCKED: ["SPT.5", "q", "execute requested without ERS (major up to 7)"],
  PASID_ENTRY_SUPERVISOR_BLOCKED: ["SPT.6", "q", "a supervisor request, SRE is 0"],
  HPT_ADDRESS_BEYOND_SIZE: ["SPT.9", "q", "the translated address is beyond HPTSZ"],

  FS_ENTRY_ACCESS: ["SFS.1", "q", "a first-stage entry below the top can't be read"],
  FS_NOT_PRESENT: ["SFS.2", "q", "a first-stage entry is not present"],
  FS_RESERVED: ["SFS.3", "q", "a reserved bit is set in a present first-stage entry"],
  FS_ROOT_ACCESS: ["SFS.4", "q", "the top first-stage entry can't be read"],
  FS_ADDRESS_BEYOND_SS_WIDTH: ["SFS.5", "q", "nested: ADDR of the entry is beyond min(MGAW, AW)"],
  FS_ROOT_SS_DENIED: ["SFS.6", "q", "nested: second stage denies reading the top entry"],
  FS_ENTRY_SS_DENIED: ["SFS.7", "q", "nested: second stage denies reading a lower entry"],
  FS_FLAGS_SS_DENIED: ["SFS.8", "q", "nested: second stage denies writing A, EA or D"],
  SM_SS_ENTRY_ACCESS: ["SSS.1", "q", "a second-stage entry below the top can't be read"],
  SM_SS_NO_PERMISSION: ["SSS.2", "q", "neither read nor write permission in second stage"],
  SM_SS_RESERVED: ["SSS.3", "q", "a reserved bit is set in a present second-stage entry"],
  SM_SS_ROOT_ACCESS: ["SSS.4", "q", "the top second-stage entry can't be read"],
  SM_SS_FLAGS_NOT_SNOOPED: [
    "SSS.5",
    "q",
    "second-stage A or D is to be set, the walk isn't snooped",
  ],
  SM_SS_FLAGS_UPDATE: ["SSS.6", "q", "second-stage A or D can't be written"],

  FS_NOT_CANONICAL: ["SGN.1", "q", "the first-stage input address is not canonical"],
  FS_USER_DENIED: ["SGN.2", "q", "a user request meets a supervisor page"],
  SM_HOST_WIDTH: ["SGN.4", "q", "an address used untranslated is beyond the host address width"],
  SM_SS_WIDTH: ["SGN.5", "q", "the second-stage input address is beyond min(MGAW, AW)"],
  SM_WRITE_DENIED: ["SGN.6", "q", "a write or atomic without write permission"],
  SM_READ_DENIED: ["SGN.7", "q", "a read or atomic without read permission"],
  SM_OUTPUT_IN_INTERRUPT_RANGE: ["SGN.8", "q", "the output address is in FEEx_xxxxh"],
  PASID_BEYOND_PSS: ["SGN.10", "q", "the PASID is wider than ECAP.PSS"],
  FS_FLAGS_NOT_SNOOPED: [
    "SFS.9",
    "q",
    "first-stage A, EA or D is to be set, the walk isn't snooped",
  ],
  FS_FLAGS_UPDATE: ["SFS.10", "q", "first-stage A, EA or D can't be written"],

  HPT_ENTRY_ACCESS: ["HPT.1", "q", "an HPT entry below the top can't be read"],
  HPT_RESERVED: ["HPT.2", "q", "a reserved bit is set in an HPT entry"],
  HPT_ROOT_ACCESS: ["HPT.3", "q", "the top HPT entry can't be read"],
  HPT_ZERO_LENGTH_DENIED: ["HPT.4", "q", "a zero-length read, the HPT walk met no permission"],
  HPT_WRITE_DENIED: ["HPT.5", "q", "the HPT denies the write"],
  HPT_READ_DENIED: ["HPT.6", "q", "the HPT denies the read"],
};

/** All fault reasons in the order of their codes. */
export const FAULT_REASONS: readonly FaultReasonInfo[] = (
  Object.keys(FaultReason) as FaultReasonName[]
).map((name) => {
  const code = FaultReason[name];
  const [label, q, text] = CONDITIONS[name];
  const interrupt = code >= 0x20 && code <= 0x2b;
  return {
    code,
    name,
    label,
    chapter: interrupt ? "5.1.4.1" : "7.1.3",
    qualified: q === "q",
    group: interrupt ? "interrupt" : "dma",
    text,
  };
});

const BY_CODE: ReadonlyMap<number, FaultReasonInfo> = new Map(
  FAULT_REASONS.map((reason) => [reason.code, reason]),
);

/** The reason with this code (FRCD.FR), or undefined if VT-d 5.10 defines none. */
export function faultReason(code: number): FaultReasonInfo | undefined {
  return BY_CODE.get(code);
}

/** Whether a set FPD suppresses the record of this fault (VT-d 7.2); false for unknown codes. */
export function isQualified(code: number): boolean {
  return BY_CODE.get(code)?.qualified ?? false;
}
