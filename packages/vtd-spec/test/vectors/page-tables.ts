import {
  FS_PAGE_1G,
  FS_PAGE_2M,
  FS_PAGE_4K,
  FS_TABLE,
  FS_UPPER,
  HPTL1E,
  HPTL2E,
  HPTL3E,
  HPTL4E,
  SS_PAGE_1G,
  SS_PAGE_2M,
  SS_PAGE_4K,
  SS_TABLE,
  SS_UPPER,
} from "../../src/index.ts";
import type { Vector } from "./vector.ts";

/** All bits of a large second-stage leaf: permissions, EMT 6, IPAT, PS, A, D, SNP, IR, IW. */
const SS_LARGE = {
  R: 1,
  W: 1,
  EMT: 6,
  IPAT: 1,
  PS: 1,
  A: 1,
  D: 1,
  SNP: 1,
  IR: 1,
  IW: 1,
};

export const SECOND_STAGE: readonly Vector[] = [
  {
    what: "level 4",
    layout: SS_UPPER,
    qwords: [0x6666003n],
    fields: { R: 1, W: 1, ADDR: 0x6666000 },
  },
  {
    what: "level 4, accessed, with I/O permissions",
    layout: SS_UPPER,
    qwords: [0x6000_0000_0666_6100n],
    fields: { A: 1, IR: 1, IW: 1, ADDR: 0x6666000 },
  },
  {
    what: "level 4 with bit 7, which is reserved",
    layout: SS_UPPER,
    qwords: [0x6666083n],
    fields: { R: 1, W: 1, RSVD_7: 1, ADDR: 0x6666000 },
  },
  {
    what: "level 2, accessed",
    layout: SS_TABLE,
    qwords: [0x6666103n],
    fields: { R: 1, W: 1, A: 1, ADDR: 0x6666000 },
  },
  {
    what: "level 2, with I/O permissions, and PS as if it were a leaf",
    layout: SS_TABLE,
    qwords: [0x6000_0000_0666_6080n],
    fields: { PS: 1, IR: 1, IW: 1, ADDR: 0x6666000 },
  },
  {
    what: "1 GByte",
    layout: SS_PAGE_1G,
    qwords: [0x40000083n],
    fields: { R: 1, W: 1, PS: 1, ADDR: 0x40000000 },
  },
  {
    what: "1 GByte with all its bits",
    layout: SS_PAGE_1G,
    qwords: [0x6000_0000_4000_0bf3n],
    fields: { ...SS_LARGE, ADDR: 0x40000000 },
  },
  {
    what: "2 MByte",
    layout: SS_PAGE_2M,
    qwords: [0x40000083n],
    fields: { R: 1, W: 1, PS: 1, ADDR: 0x40000000 },
  },
  {
    what: "2 MByte with all its bits",
    layout: SS_PAGE_2M,
    qwords: [0x6000_0000_4020_0bf3n],
    fields: { ...SS_LARGE, ADDR: 0x40200000 },
  },
  {
    what: "4 KByte",
    layout: SS_PAGE_4K,
    qwords: [0x12345003n],
    fields: { R: 1, W: 1, ADDR: 0x12345000 },
  },
  {
    what: "4 KByte with snoop",
    layout: SS_PAGE_4K,
    qwords: [0x12345803n],
    fields: { R: 1, W: 1, SNP: 1, ADDR: 0x12345000 },
  },
  {
    what: "4 KByte, accessed and dirty, write-back, PAT ignored",
    layout: SS_PAGE_4K,
    qwords: [0x12345373n],
    fields: { R: 1, W: 1, EMT: 6, IPAT: 1, A: 1, D: 1, ADDR: 0x12345000 },
  },
  {
    what: "4 KByte with I/O permissions",
    layout: SS_PAGE_4K,
    qwords: [0x6000_0000_1234_5000n],
    fields: { IR: 1, IW: 1, ADDR: 0x12345000 },
  },
];

export const FIRST_STAGE: readonly Vector[] = [
  {
    what: "level 4",
    layout: FS_UPPER,
    qwords: [0x6666027n],
    fields: { P: 1, RW: 1, US: 1, A: 1, ADDR: 0x6666000 },
  },
  {
    what: "level 2, extended-accessed",
    layout: FS_TABLE,
    qwords: [0x6666427n],
    fields: { P: 1, RW: 1, US: 1, A: 1, EA: 1, ADDR: 0x6666000 },
  },
  {
    what: "level 2 with PS as if it were a leaf",
    layout: FS_TABLE,
    qwords: [0x66660a7n],
    fields: { P: 1, RW: 1, US: 1, A: 1, PS: 1, ADDR: 0x6666000 },
  },
  {
    what: "level 5, extended-accessed",
    layout: FS_UPPER,
    qwords: [0x6666421n],
    fields: { P: 1, A: 1, EA: 1, ADDR: 0x6666000 },
  },
  {
    what: "1 GByte",
    layout: FS_PAGE_1G,
    qwords: [0x400000e7n],
    fields: { P: 1, RW: 1, US: 1, A: 1, D: 1, PS: 1, ADDR: 0x40000000 },
  },
  {
    what: "1 GByte, extended-accessed, with memory type bits",
    layout: FS_PAGE_1G,
    qwords: [0x4000149dn],
    fields: { P: 1, US: 1, PWT: 1, PCD: 1, PS: 1, EA: 1, PAT: 1, ADDR: 0x40000000 },
  },
  {
    what: "2 MByte with memory type bits",
    layout: FS_PAGE_2M,
    qwords: [0x400010ffn],
    fields: { P: 1, RW: 1, US: 1, PWT: 1, PCD: 1, A: 1, D: 1, PS: 1, PAT: 1, ADDR: 0x40000000 },
  },
  {
    what: "2 MByte, extended-accessed",
    layout: FS_PAGE_2M,
    qwords: [0x40200485n],
    fields: { P: 1, US: 1, PS: 1, EA: 1, ADDR: 0x40200000 },
  },
  {
    what: "4 KByte, extended-accessed, uncached",
    layout: FS_PAGE_4K,
    qwords: [0x1234541dn],
    fields: { P: 1, US: 1, PWT: 1, PCD: 1, EA: 1, ADDR: 0x12345000 },
  },
  {
    what: "4 KByte",
    layout: FS_PAGE_4K,
    qwords: [0x12345067n],
    fields: { P: 1, RW: 1, US: 1, A: 1, D: 1, ADDR: 0x12345000 },
  },
  {
    what: "4 KByte, global, with PAT and the execute-disable bit of the processor",
    layout: FS_PAGE_4K,
    qwords: [0x8000_0000_1234_51e7n],
    fields: {
      P: 1,
      RW: 1,
      US: 1,
      A: 1,
      D: 1,
      PAT: 1,
      G: 1,
      ADDR: 0x12345000,
      IGN_63_52: 0x800,
    },
  },
];

/** PP0 is the last digit of the entry. */
const permissions = (digits: string): Record<string, number> =>
  Object.fromEntries(
    Array.from(digits)
      .reverse()
      .map((digit, i) => [`PP${i}`, Number(digit)]),
  );

export const HOST_PERMISSION: readonly Vector[] = [
  {
    what: "level 3 table at 0x7777000",
    layout: HPTL4E,
    qwords: [0n, 0x7777001n],
    fields: { AV: 1, ADDR: 0x7777000 },
  },
  {
    what: "1-GByte pages 0 (read, write) and 7 (read)",
    layout: HPTL3E,
    qwords: [0x1000_0003n, 0n],
    fields: { PP0: 3, PP7: 1 },
  },
  {
    what: "eight 1-GByte pages and a table",
    layout: HPTL3E,
    qwords: [0x1231_2312n, 0x7777001n],
    fields: { ...permissions("12312312"), AV: 1, ADDR: 0x7777000 },
  },
  {
    what: "2-MByte pages 1 (write) and 15 (read)",
    layout: HPTL2E,
    qwords: [0x1000_0000_0000_0020n, 0n],
    fields: { PP1: 2, PP15: 1 },
  },
  {
    what: "sixteen 2-MByte pages and a table",
    layout: HPTL2E,
    qwords: [0x1231_2312_3123_1231n, 0x7777001n],
    fields: { ...permissions("1231231231231231"), AV: 1, ADDR: 0x7777000 },
  },
  {
    what: "4-KByte pages 16 (read, write) and 31 (with a reserved bit)",
    layout: HPTL1E,
    qwords: [0n, 0x4000_0000_0000_0003n],
    fields: { PP16: 3, RSVD_127_126: 1 },
  },
  {
    what: "thirty-two 4-KByte pages",
    layout: HPTL1E,
    qwords: [0x3213_2132_1321_3213n, 0x1231_2312_3123_1231n],
    fields: permissions("12312312312312313213213213213213"),
  },
];
