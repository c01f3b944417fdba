import {
  CC_INV_DSC,
  DEV_TLB_INV_DSC,
  HPT_INV_DSC,
  IEC_INV_DSC,
  INV_WAIT_DSC,
  INVALIDATION_DESCRIPTORS,
  IOTLB_INV_DSC,
  P_DEV_TLB_INV_DSC,
  P_IOTLB_INV_DSC,
  PAGE_GRP_RESP_DSC,
  PAGE_REQ_DSC,
  PC_INV_DSC,
} from "../../src/index.ts";
import type { Vector } from "./vector.ts";

/** Types of 16 and up, in bits 11:9 above bits 3:0. */
const HIGH_TYPES = INVALIDATION_DESCRIPTORS.map((layout) => ({
  what: "with the upper part of the type",
  layout,
  qwords: [0xe0fn, ...new Array<bigint>(layout.bits / 64 - 1).fill(0n)],
  fields: { TYPE: 15, TYPE_HIGH: 7 },
}));

export const INVALIDATION: readonly Vector[] = [
  ...HIGH_TYPES,
  { what: "global", layout: CC_INV_DSC, qwords: [0x11n, 0n], fields: { TYPE: 1, G: 1 } },
  {
    what: "domain 5",
    layout: CC_INV_DSC,
    qwords: [0x50021n, 0n],
    fields: { TYPE: 1, G: 2, DID: 5 },
  },
  {
    what: "device 0x10 in domain 5, all its functions",
    layout: CC_INV_DSC,
    qwords: [0x3_0010_0005_0031n, 0n],
    fields: { TYPE: 1, G: 3, DID: 5, SID: 0x10, FM: 3 },
  },
  { what: "global", layout: IOTLB_INV_DSC, qwords: [0x12n, 0n], fields: { TYPE: 2, G: 1 } },
  {
    what: "global, draining",
    layout: IOTLB_INV_DSC,
    qwords: [0xd2n, 0n],
    fields: { TYPE: 2, G: 1, DW: 1, DR: 1 },
  },
  {
    what: "domain 5",
    layout: IOTLB_INV_DSC,
    qwords: [0x500e2n, 0n],
    fields: { TYPE: 2, G: 2, DW: 1, DR: 1, DID: 5 },
  },
  {
    what: "2 MByte at 0x200000 of domain 5, leaf entries only",
    layout: IOTLB_INV_DSC,
    qwords: [0x500f2n, 0x200049n],
    fields: { TYPE: 2, G: 3, DW: 1, DR: 1, DID: 5, AM: 9, IH: 1, ADDR: 0x200000 },
  },
  {
    what: "everything of device 0x10",
    layout: DEV_TLB_INV_DSC,
    qwords: [0x10_0000_0003n, 0x7fff_ffff_ffff_f001n],
    fields: { TYPE: 3, SID: 0x10, S: 1, ADDR: 0x7fff_ffff_ffff_f000n },
  },
  {
    what: "2 MByte at 0x200000, throttled for function 0x123",
    layout: DEV_TLB_INV_DSC,
    qwords: [0x0120_0010_0005_3003n, 0x2ff001n],
    fields: { TYPE: 3, SID: 0x10, MIP: 5, PFSID: 3, PFSID_HIGH: 0x12, S: 1, ADDR: 0x2ff000 },
  },
  { what: "global", layout: IEC_INV_DSC, qwords: [0x4n, 0n], fields: { TYPE: 4 } },
  {
    what: "index 12h",
    layout: IEC_INV_DSC,
    qwords: [0x12_0000_0014n, 0n],
    fields: { TYPE: 4, G: 1, IIDX: 0x12 },
  },
  {
    what: "4 entries at 10h",
    layout: IEC_INV_DSC,
    qwords: [0x10_1000_0014n, 0n],
    fields: { TYPE: 4, G: 1, IM: 2, IIDX: 0x10 },
  },
  {
    what: "status write, as Linux writes it",
    layout: INV_WAIT_DSC,
    qwords: [0x2_0000_0025n, 0x1234_5678n],
    fields: { TYPE: 5, SW: 1, SDATA: 2, SADDR: 0x12345678 },
  },
  {
    what: "the same with page-request drain",
    layout: INV_WAIT_DSC,
    qwords: [0x2_0000_00a5n, 0x1234_5678n],
    fields: { TYPE: 5, SW: 1, PD: 1, SDATA: 2, SADDR: 0x12345678 },
  },
  {
    what: "fence",
    layout: INV_WAIT_DSC,
    qwords: [0x2_0000_0045n, 0n],
    fields: { TYPE: 5, FN: 1, SDATA: 2 },
  },
  { what: "interrupt", layout: INV_WAIT_DSC, qwords: [0x15n, 0n], fields: { TYPE: 5, IF: 1 } },
  {
    what: "PASID 0x21 of domain 5",
    layout: P_IOTLB_INV_DSC,
    qwords: [0x21_0005_0026n, 0n, 0n, 0n],
    fields: { TYPE: 6, G: 2, DID: 5, PASID: 0x21 },
  },
  {
    what: "2 MByte at 0x200000 of it, leaf entries only",
    layout: P_IOTLB_INV_DSC,
    qwords: [0x21_0005_0036n, 0x200049n, 0n, 0n],
    fields: { TYPE: 6, G: 3, DID: 5, PASID: 0x21, AM: 9, IH: 1, ADDR: 0x200000 },
  },
  {
    what: "domain 5",
    layout: PC_INV_DSC,
    qwords: [0x50007n, 0n, 0n, 0n],
    fields: { TYPE: 7, DID: 5 },
  },
  {
    what: "PASID 0x21 of domain 5",
    layout: PC_INV_DSC,
    qwords: [0x21_0005_0017n, 0n, 0n, 0n],
    fields: { TYPE: 7, G: 1, DID: 5, PASID: 0x21 },
  },
  { what: "global", layout: PC_INV_DSC, qwords: [0x37n, 0n, 0n, 0n], fields: { TYPE: 7, G: 3 } },
  {
    what: "everything of PASID 0x21 in device 0x10",
    layout: P_DEV_TLB_INV_DSC,
    qwords: [0x21_0010_0008n, 0x7fff_ffff_ffff_f800n, 0n, 0n],
    fields: { TYPE: 8, SID: 0x10, PASID: 0x21, S: 1, ADDR: 0x7fff_ffff_ffff_f000n },
  },
  {
    what: "every PASID, throttled for function 0x123",
    layout: P_DEV_TLB_INV_DSC,
    qwords: [0x0120_0021_0010_3058n, 0x2ff801n, 0n, 0n],
    fields: {
      TYPE: 8,
      MIP: 5,
      PFSID: 3,
      PFSID_HIGH: 0x12,
      SID: 0x10,
      PASID: 0x21,
      GI: 1,
      S: 1,
      ADDR: 0x2ff000,
    },
  },
  {
    what: "2 MByte at 0x200000 of HPT domain 9, all levels",
    layout: HPT_INV_DSC,
    qwords: [0x9003an, 0x2000c9n, 0n, 0n],
    fields: { TYPE: 10, G: 3, HPTDID: 9, AM: 9, IH: 3, ADDR: 0x200000 },
  },
];

export const PAGE_REQUESTS: readonly Vector[] = [
  {
    what: "success for group 3, with bit 66 as Linux sets it",
    layout: PAGE_GRP_RESP_DSC,
    qwords: [0x21_0010_0019n, 0x1cn, 0n, 0n],
    fields: { TYPE: 9, PP: 1, RID: 0x10, PASID: 0x21, IGN_66: 1, PRGI: 3 },
  },
  {
    what: "invalid request",
    layout: PAGE_GRP_RESP_DSC,
    qwords: [0x21_0010_1019n, 0n, 0n, 0n],
    fields: { TYPE: 9, PP: 1, RC: 1, RID: 0x10, PASID: 0x21 },
  },
  {
    what: "failure",
    layout: PAGE_GRP_RESP_DSC,
    qwords: [0x21_0010_f019n, 0n, 0n, 0n],
    fields: { TYPE: 9, PP: 1, RC: 15, RID: 0x10, PASID: 0x21 },
  },
  {
    what: "read at 0x12345000, last of group 3",
    layout: PAGE_REQ_DSC,
    qwords: [0x21_0010_0101n, 0x1234_501dn, 0n, 0n],
    fields: { TYPE: 1, PP: 1, RID: 0x10, PASID: 0x21, RDR: 1, LPIG: 1, PRGI: 3, ADDR: 0x12345000 },
  },
  {
    what: "stop marker",
    layout: PAGE_REQ_DSC,
    qwords: [0x21_0010_0101n, 0x4n, 0n, 0n],
    fields: { TYPE: 1, PP: 1, RID: 0x10, PASID: 0x21, LPIG: 1 },
  },
  {
    what: "write and execute, supervisor",
    layout: PAGE_REQ_DSC,
    qwords: [0x30_0021_0010_0101n, 0x1234_5002n, 0n, 0n],
    fields: { TYPE: 1, PP: 1, RID: 0x10, PASID: 0x21, EXR: 1, PMR: 1, WRR: 1, ADDR: 0x12345000 },
  },
];
