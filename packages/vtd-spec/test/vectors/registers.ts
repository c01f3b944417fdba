import { MOVABLE_REGISTERS, REGISTERS, type Layout } from "../../src/index.ts";
import type { Vector } from "./vector.ts";

/** The register of this name; also those that are in the tables only. */
function register(name: string): Layout {
  const found = [...REGISTERS, ...MOVABLE_REGISTERS].find((layout) => layout.name === name);
  if (found === undefined) throw new Error(`no register ${name}`);
  return found;
}

const vector = (
  name: string,
  qwords: bigint | readonly bigint[],
  fields: Vector["fields"],
): Vector => ({
  what: "register",
  layout: register(name),
  qwords: typeof qwords === "bigint" ? [qwords] : qwords,
  fields,
});

const EVENT_REGISTERS = ["FE", "IE", "PE", "PERFINTR"].flatMap((prefix) => [
  vector(`${prefix}CTL`, 0x8000_0000n, { IM: 1 }),
  vector(`${prefix}CTL`, 0x4000_0000n, { IP: 1 }),
  vector(`${prefix}DATA`, 0x4131n, { IMD: 0x4131 }),
  vector(`${prefix}ADDR`, 0xfee0_500cn, { MA: 0xfee0500c }),
  vector(`${prefix}UADDR`, 0x100n, { MUA: 0x100 }),
]);

export const GLOBAL_REGISTERS: readonly Vector[] = [
  vector("VER", 0x10n, { MAX: 1 }),
  vector("VER", 0x71n, { MAX: 7, MIN: 1 }),
  vector("GCMD", 0x8000_0000n, { TE: 1 }),
  vector("GCMD", 0x4000_0000n, { SRTP: 1 }),
  vector("GCMD", 0x0800_0000n, { WBF: 1 }),
  vector("GCMD", 0x0400_0000n, { QIE: 1 }),
  vector("GCMD", 0x0200_0000n, { IRE: 1 }),
  vector("GCMD", 0x0100_0000n, { SIRTP: 1 }),
  vector("GCMD", 0x0080_0000n, { CFI: 1 }),
  vector("GSTS", 0xc700_0000n, { TES: 1, RTPS: 1, QIES: 1, IRES: 1, IRTPS: 1 }),
  vector("GSTS", 0x0880_0000n, { WBFS: 1, CFIS: 1 }),
  vector("RTADDR", 0x900_0000n, { RTA: 0x9000000 }),
  vector("RTADDR", 0x900_0400n, { RTA: 0x9000000, TTM: 1 }),
  vector("RTADDR", 0x900_0c80n, { RTA: 0x9000000, TTM: 3, SSIRWE: 1 }),
  vector("IRTA", 0x700_080fn, { IRTA: 0x7000000, EIME: 1, S: 15 }),
  vector("RDTC", 0x5_0000_0012n, { CLOS: 5, RMID: 0x12 }),
  vector("CCMD", 0xe000_0003_0010_0005n, { ICC: 1, CIRG: 3, FM: 3, SID: 0x10, DID: 5 }),
  vector("CCMD", 0x1000_0000_0000_0000n, { CAIG: 2 }),
  vector("IVA", 0x200049n, { ADDR: 0x200000, IH: 1, AM: 9 }),
  vector("IOTLB", 0xb003_0005_0000_0000n, { IVT: 1, IIRG: 3, DR: 1, DW: 1, DID: 5 }),
  vector("IOTLB", 0x0600_0000_0000_0000n, { IAIG: 3 }),
];

export const FAULT_REGISTERS: readonly Vector[] = [
  vector("FSTS", 0x373n, { FRI: 3, ITE: 1, ICE: 1, IQE: 1, PPF: 1, PFO: 1 }),
  vector("FRCD", [0x1234_5000n, 0xc000_0006_0000_0010n], {
    F: 1,
    T1: 1,
    FR: 6,
    SID: 0x10,
    FI: 0x12345000,
  }),
  vector("FRCD", [0x1234_5000n, 0x8000_0005_0000_0010n], {
    F: 1,
    FR: 5,
    SID: 0x10,
    FI: 0x12345000,
  }),
  vector("FRCD", [0x1234_5000n, 0xc000_2171_8000_0010n], {
    F: 1,
    T1: 1,
    PV: 0x21,
    FR: 0x71,
    PP: 1,
    SID: 0x10,
    FI: 0x12345000,
  }),
  vector("FRCD", [0x0012_0000_0000_0000n, 0x8000_0022_0000_f0f8n], {
    F: 1,
    FR: 0x22,
    SID: 0xf0f8,
    FI: 0x12n << 48n,
  }),
  vector("FRCD", [0n, 0xe000_0186_f000_0010n], {
    F: 1,
    T1: 1,
    AT: 2,
    PV: 1,
    FR: 0x86,
    PP: 1,
    EXE: 1,
    PRIV: 1,
    T2: 1,
    SID: 0x10,
  }),
  ...EVENT_REGISTERS,
];

export const QUEUE_REGISTERS: readonly Vector[] = [
  vector("PMEN", 0x8000_0001n, { EPM: 1, PRS: 1 }),
  vector("PLMBASE", 0x7fe0_0000n, { PLMB: 0x7fe00000 }),
  vector("PLMLIMIT", 0x7ff0_0000n, { PLML: 0x7ff00000 }),
  vector("PHMBASE", 0x1_0010_0000n, { PHMB: 0x1_0010_0000 }),
  vector("PHMLIMIT", 0x2_0000_0000n, { PHML: 0x2_0000_0000 }),
  vector("IQH", 0x40n, { QH: 4 }),
  vector("IQT", 0x7_fff0n, { QT: 0x7fff }),
  vector("IQA", 0x800_0801n, { IQA: 0x8000000, DW: 1, QS: 1 }),
  vector("IQA", 0x800_0000n, { IQA: 0x8000000 }),
  vector("ICS", 1n, { IWC: 1 }),
  vector("IQERCD", 0x0010_0028_0000_0004n, { ICESID: 0x10, ITESID: 0x28, IQEI: 4 }),
  vector("PQH", 0x60n, { PQH: 3 }),
  vector("PQT", 0x7_ffe0n, { PQT: 0x3fff }),
  vector("PQA", 0x900_0002n, { PQA: 0x9000000, PQS: 2 }),
  vector("PRS", 3n, { PRO: 1, PPR: 1 }),
];

const filter = (name: string, value: bigint, fields: Vector["fields"]): Vector =>
  vector(`PERFCNTR_${name}FLTR`, 0x8000_0000n | value, { EN: 1, ...fields });

export const OTHER_REGISTERS: readonly Vector[] = [
  vector("MTRRCAP", 0x50an, { WC: 1, FIX: 1, VCNT: 10 }),
  vector("MTRRDEF", 0xc06n, { E: 1, FE: 1, TYPE: 6 }),
  vector("MTRR_FIX", 0x0504_0106_0605_0401n, {
    R7: 5,
    R6: 4,
    R5: 1,
    R4: 6,
    R3: 6,
    R2: 5,
    R1: 4,
    R0: 1,
  }),
  vector("MTRR_PHYSBASE", 0xc000_0001n, { PHYSBASE: 0xc0000000, TYPE: 1 }),
  vector("MTRR_PHYSMASK", 0x7f_c000_1800n, { PHYSMASK: 0x7f_c000_1000, V: 1 }),
  vector("PERFCAP", 0x002f_001f_0530_0008n, {
    CS: 2,
    PCCS: 1,
    IOS: 1,
    GFS: 1,
    CWE: 1,
    PTLFS: 1,
    ATFS: 1,
    PASIDFS: 1,
    DIDFS: 1,
    RIDFS: 1,
    EGCNT: 5,
    CW: 48,
    NCNTR: 8,
  }),
  vector("PERFCFGOFF", 0x800n, { CFGO: 0x800 }),
  vector("PERFFRZOFF", 0x500n, { FZO: 0x500 }),
  vector("PERFOVFOFF", 0x540n, { OFO: 0x540 }),
  vector("PERFCNTROFF", 0x2000n, { CNTO: 0x2000 }),
  vector("PERFINTRSTS", 1n, { PIS: 1 }),
  vector("PERFEVNTCAP", 0x6fn, { ES: 0x6f }),
  vector("PERFFRZSTS", 0x81n, { FS: 0x81 }),
  vector("PERFOVFSTS", 0x81n, { OS: 0x81 }),
  vector("PERFCNTRCFG", 0x3_0000_0207n, { ES: 3, EGI: 2, GFO: 1, IO: 1, EN: 1 }),
  filter("RID", 0x10n, { RID: 0x10 }),
  filter("DID", 5n, { DID: 5 }),
  filter("PASID", 0x20_0021n, { PFM: 2, PASID: 0x21 }),
  filter("AT", 0x15n, { AT: 0x15 }),
  filter("PTL", 0x1fn, { PTL: 0x1f }),
  vector("PERFCNTRCAP", 0x1003_3001n, { EGCNT: 1, GFS: 1, IOS: 1, CW: 48, PCC: 1 }),
  vector("PERFCNTREVCAP", 0x2000_0007n, { EGI: 2, ES: 7 }),
  vector("PERFCNTR", 0xff_ffff_ffffn, { CNTR: 0xff_ffff_ffff }),
  vector("ECMD", 0x3_00f0n, { OA: 3, CMD: 0xf0 }),
  vector("ECEO", 0x1234_5678_9abc_def0n, { OB: 0x1234_5678_9abc_def0n }),
  vector("ECRSP", 0x5_0021n, { RSLT: 5, SC: 16, IP: 1 }),
  vector("ECSTS", 0n, {}),
  vector("ECCAP", 0n, {}),
  vector("ECCAP3", 0x0033_0000_0000_0000n, { ECNTS: 1, DCNTS: 1, FCNTS: 1, UFCNTS: 1 }),
  vector("ECCAP3", 0x000c_0000_0000_0000n, { RCFGS: 1, RCNTS: 1 }),
  vector("VCMD", 0x21_0002n, { OA: 0x21, CMD: 2 }),
  vector("VCMD_EO", 7n, { OB: 7 }),
  vector("VCRSP", 0x21_0000n, { RSLT: 0x21 }),
  vector("VCRSP", 0x21n, { SC: 16, IP: 1 }),
  vector("VCCAP", 7n, { FPS: 1, PAS: 1, NS: 1 }),
];
