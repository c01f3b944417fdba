/** Enhanced command register (VT-d 11.4.14.1). */
export const ECMD = {
  name: "ECMD",
  chapter: "11.4.14.1",
  bits: 64,
  offset: 0x400,
  access: "wo",
  requires: "ECMDS",
  fields: [
    { name: "OA", high: 63, low: 16, doc: "operand A; writes are dropped while ECRSP.IP is 1" },
    { name: "RSVD_15_8", high: 15, low: 8, kind: "reserved" },
    {
      name: "CMD",
      high: 7,
      low: 0,
      doc: "see EnhancedCommand; a write clears ECRSP, sets IP and starts",
    },
  ],
} as const;

/** ECMD.CMD; others are reserved. The counter's index is operand A (VT-d 11.4.14.1, table 52). */
export const EnhancedCommand = {
  ENABLE_COUNTER: 240,
  DISABLE_COUNTER: 241,
  RESET_ALL_CONFIGURATION: 242,
  RESET_ALL_VALUES: 243,
  FREEZE_ALL: 244,
  UNFREEZE_ALL: 245,
} as const;

/** Enhanced command extended operand register (VT-d 11.4.14.2). */
export const ECEO = {
  name: "ECEO",
  chapter: "11.4.14.2",
  bits: 64,
  offset: 0x408,
  access: "wo",
  requires: "ECMDS",
  fields: [
    { name: "OB", high: 63, low: 0, doc: "operand B; writes are dropped while ECRSP.IP is 1" },
  ],
} as const;

/** Enhanced command response register (VT-d 11.4.14.3). */
export const ECRSP = {
  name: "ECRSP",
  chapter: "11.4.14.3",
  bits: 64,
  offset: 0x410,
  access: "ro",
  requires: "ECMDS",
  fields: [
    { name: "RSLT", high: 63, low: 16, doc: "result" },
    { name: "RSVD_15_8", high: 15, low: 8, kind: "reserved" },
    { name: "SC", high: 7, low: 1, doc: "see CommandStatus" },
    { name: "IP", high: 0, low: 0, doc: "command in progress" },
  ],
} as const;

/** ECRSP.SC and VCRSP.SC; 16 is up to the command (VT-d 11.4.14.3, 11.4.16.3). */
export const CommandStatus = {
  SUCCESS: 0,
  /** Also of a command the capability register doesn't list. */
  UNDEFINED: 1,
  /** Enhanced commands only: a GCMD or PMEN command was in flight. */
  ABORTED: 2,
  /** Counter can't be enabled, no such counter; no PASID left, no such PASID. */
  COMMAND_FAILED: 16,
} as const;

/** Enhanced command status registers 0 and 1, all reserved (VT-d 11.4.14.4). */
export const ECSTS = {
  name: "ECSTS",
  chapter: "11.4.14.4",
  bits: 64,
  offset: 0x420,
  count: 2,
  stride: 8,
  access: "ro",
  requires: "ECMDS",
  fields: [{ name: "RSVD_63_0", high: 63, low: 0, kind: "reserved" }],
} as const;

/** Enhanced command capability registers 0–2 for commands 0–191, all reserved (VT-d 11.4.14.5). */
export const ECCAP = {
  name: "ECCAP",
  chapter: "11.4.14.5",
  bits: 64,
  offset: 0x430,
  count: 3,
  stride: 8,
  access: "ro",
  requires: "ECMDS",
  fields: [{ name: "RSVD_63_0", high: 63, low: 0, kind: "reserved" }],
} as const;

/** Enhanced command capability register 3, commands 192–255 (VT-d 11.4.14.5.4). */
export const ECCAP3 = {
  name: "ECCAP3",
  chapter: "11.4.14.5.4",
  bits: 64,
  offset: 0x448,
  access: "ro",
  reset: "implementation",
  requires: "ECMDS",
  fields: [
    { name: "RSVD_63_54", high: 63, low: 54, kind: "reserved" },
    { name: "UFCNTS", high: 53, low: 53, doc: "UNFREEZE_ALL is supported" },
    { name: "FCNTS", high: 52, low: 52, doc: "FREEZE_ALL is supported" },
    { name: "RCNTS", high: 51, low: 51, doc: "RESET_ALL_VALUES is supported" },
    { name: "RCFGS", high: 50, low: 50, doc: "RESET_ALL_CONFIGURATION is supported" },
    { name: "DCNTS", high: 49, low: 49, doc: "DISABLE_COUNTER is supported" },
    { name: "ECNTS", high: 48, low: 48, doc: "ENABLE_COUNTER is supported" },
    { name: "RSVD_47_0", high: 47, low: 0, kind: "reserved" },
  ],
} as const;

/** Virtual command register (VT-d 11.4.16.1). */
export const VCMD = {
  name: "VCMD",
  chapter: "11.4.16.1",
  bits: 64,
  offset: 0xe00,
  access: "rw",
  requires: "VCS",
  fields: [
    { name: "OA", high: 63, low: 16, doc: "operand A; writes are dropped while VCRSP.IP is 1" },
    { name: "RSVD_15_8", high: 15, low: 8, kind: "reserved" },
    {
      name: "CMD",
      high: 7,
      low: 0,
      doc: "see VirtualCommand; a write clears VCRSP, sets IP and starts",
    },
  ],
} as const;

/** VCMD.CMD; the PASID is in bits 35:16 of VCMD and VCRSP (VT-d 11.4.16.1, table 54). */
export const VirtualCommand = { NULL: 0, ALLOCATE_PASID: 1, FREE_PASID: 2 } as const;

/** Virtual command extended operand register (VT-d 11.4.16.2). */
export const VCMD_EO = {
  name: "VCMD_EO",
  chapter: "11.4.16.2",
  bits: 64,
  offset: 0xe08,
  access: "rw",
  requires: "VCS",
  fields: [
    { name: "OB", high: 63, low: 0, doc: "operand B; writes are dropped while VCRSP.IP is 1" },
  ],
} as const;

/** Virtual command response register (VT-d 11.4.16.3). */
export const VCRSP = {
  name: "VCRSP",
  chapter: "11.4.16.3",
  bits: 64,
  offset: 0xe10,
  access: "ro",
  requires: "VCS",
  fields: [
    { name: "RSLT", high: 63, low: 16, doc: "result" },
    { name: "RSVD_15_8", high: 15, low: 8, kind: "reserved" },
    { name: "SC", high: 7, low: 1, doc: "see CommandStatus" },
    { name: "IP", high: 0, low: 0, doc: "command in progress" },
  ],
} as const;

/** Virtual command capability register (VT-d 11.4.16.4). */
export const VCCAP = {
  name: "VCCAP",
  chapter: "11.4.16.4",
  bits: 64,
  offset: 0xe30,
  access: "ro",
  reset: "implementation",
  requires: "VCS",
  fields: [
    { name: "RSVD_63_3", high: 63, low: 3, kind: "reserved" },
    { name: "FPS", high: 2, low: 2, requires: "PASID", doc: "FREE_PASID is supported" },
    { name: "PAS", high: 1, low: 1, requires: "PASID", doc: "ALLOCATE_PASID is supported" },
    { name: "NS", high: 0, low: 0, doc: "NULL is supported" },
  ],
} as const;
