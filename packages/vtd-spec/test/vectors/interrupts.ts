import {
  COMPATIBILITY_REQUEST,
  EVENT_MESSAGE,
  EVENT_MESSAGE_XAPIC,
  IOAPIC_RTE_COMPATIBILITY,
  IOAPIC_RTE_REMAPPABLE,
  IRTE_POSTED,
  IRTE_REMAPPED,
  IRTE_REMAPPED_XAPIC,
  POSTED_INTERRUPT_DESCRIPTOR,
  POSTED_INTERRUPT_DESCRIPTOR_XAPIC,
  REMAPPABLE_REQUEST,
  REMAPPABLE_REQUEST_SHV,
} from "../../src/index.ts";
import type { Vector } from "./vector.ts";

export const IRTES: readonly Vector[] = [
  {
    what: "x2APIC id 5, physical",
    layout: IRTE_REMAPPED,
    qwords: [0x0000_0005_0031_0009n, 0x40010n],
    fields: { P: 1, RH: 1, V: 0x31, DST: 5, SID: 0x10, SVT: 1 },
  },
  {
    what: "x2APIC cluster 1, logical",
    layout: IRTE_REMAPPED,
    qwords: [0x0001_0020_0031_000dn, 0x40010n],
    fields: { P: 1, DM: 1, RH: 1, V: 0x31, DST: 0x10020, SID: 0x10, SVT: 1 },
  },
  {
    what: "of an I/O APIC at f0:1f.0",
    layout: IRTE_REMAPPED,
    qwords: [0x0000_0000_0030_0009n, 0x4f0f8n],
    fields: { P: 1, RH: 1, V: 0x30, SID: 0xf0f8, SVT: 1 },
  },
  {
    what: "of an HPET, function not compared",
    layout: IRTE_REMAPPED,
    qwords: [0x0000_0000_0032_0009n, 0x7f0f0n],
    fields: { P: 1, RH: 1, V: 0x32, SID: 0xf0f0, SQ: 3, SVT: 1 },
  },
  {
    what: "buses 05 to 06",
    layout: IRTE_REMAPPED,
    qwords: [0x0000_0123_0050_0009n, 0x80506n],
    fields: { P: 1, RH: 1, V: 0x50, DST: 0x123, SID: 0x0506, SVT: 2 },
  },
  {
    what: "NMI, level, for software's use, faults silent",
    layout: IRTE_REMAPPED,
    qwords: [0x0000_0000_0000_0f93n, 0n],
    fields: { P: 1, FPD: 1, TM: 1, DLM: 4, AVAIL: 15 },
  },
  {
    what: "xAPIC id 5, logical",
    layout: IRTE_REMAPPED_XAPIC,
    qwords: [0x0000_0500_0031_000dn, 0x40010n],
    fields: { P: 1, DM: 1, RH: 1, V: 0x31, DST: 5, SID: 0x10, SVT: 1 },
  },
  {
    what: "xAPIC with an id where it is reserved",
    layout: IRTE_REMAPPED_XAPIC,
    qwords: [0x0000_0005_0031_0009n, 0x40010n],
    fields: { P: 1, RH: 1, V: 0x31, RSVD_39_32: 5, SID: 0x10, SVT: 1 },
  },
  {
    what: "xAPIC, NMI, level, function not compared, faults silent",
    layout: IRTE_REMAPPED_XAPIC,
    qwords: [0x0000_ff00_0000_0093n, 0x7f0f0n],
    fields: { P: 1, FPD: 1, TM: 1, DLM: 4, DST: 0xff, SID: 0xf0f0, SQ: 3, SVT: 1 },
  },
  {
    what: "posted form read as remapped: IM set",
    layout: IRTE_REMAPPED,
    qwords: [0x8001n, 0n],
    fields: { P: 1, IM: 1 },
  },
  {
    what: "posted form read as remapped: IM set",
    layout: IRTE_REMAPPED_XAPIC,
    qwords: [0x8001n, 0n],
    fields: { P: 1, IM: 1 },
  },
  {
    what: "posted, function not compared, faults silent",
    layout: IRTE_POSTED,
    qwords: [0x8003n, 0x7f0f0n],
    fields: { P: 1, FPD: 1, IM: 1, SID: 0xf0f0, SQ: 3, SVT: 1 },
  },
  {
    what: "posted to 0x123456780",
    layout: IRTE_POSTED,
    qwords: [0x2345_6780_0031_8001n, 0x0000_0001_0004_0010n],
    fields: { P: 1, IM: 1, VV: 0x31, PDAL: 0x23456780, PDAH: 0x1_0000_0000, SID: 0x10, SVT: 1 },
  },
  {
    what: "posted, urgent",
    layout: IRTE_POSTED,
    qwords: [0x2345_6780_0031_c001n, 0x0000_0001_0004_0010n],
    fields: {
      P: 1,
      URG: 1,
      IM: 1,
      VV: 0x31,
      PDAL: 0x23456780,
      PDAH: 0x1_0000_0000,
      SID: 0x10,
      SVT: 1,
    },
  },
];

export const POSTED_INTERRUPT_DESCRIPTORS: readonly Vector[] = [
  {
    what: "vector 31h posted, notification f2h to x2APIC id 0x105 outstanding",
    layout: POSTED_INTERRUPT_DESCRIPTOR,
    qwords: [0x2_0000_0000_0000n, 0n, 0n, 0n, 0x0000_0105_00f2_0001n, 0n, 0n, 0n],
    fields: { PIR: 1n << 0x31n, ON: 1, NV: 0xf2, NDST: 0x105 },
  },
  {
    what: "suppressed and outstanding",
    layout: POSTED_INTERRUPT_DESCRIPTOR,
    qwords: [0n, 0n, 0n, 0n, 3n, 0n, 0n, 0n],
    fields: { ON: 1, SN: 1 },
  },
  {
    what: "suppressed and outstanding",
    layout: POSTED_INTERRUPT_DESCRIPTOR_XAPIC,
    qwords: [0n, 0n, 0n, 0n, 3n, 0n, 0n, 0n],
    fields: { ON: 1, SN: 1 },
  },
  {
    what: "vector ffh posted, notification f2h to xAPIC id 5 suppressed",
    layout: POSTED_INTERRUPT_DESCRIPTOR_XAPIC,
    qwords: [0n, 0n, 0n, 0x8000_0000_0000_0000n, 0x0000_0500_00f2_0002n, 0n, 0n, 0n],
    fields: { PIR: 1n << 0xffn, SN: 1, NV: 0xf2, NDST: 5 },
  },
];

export const MESSAGES: readonly Vector[] = [
  {
    what: "fee0500ch, c131h",
    layout: COMPATIBILITY_REQUEST,
    qwords: [0x0000_c131_fee0_500cn],
    fields: { FEE: 0xfee, DST: 5, RH: 1, DM: 1, V: 0x31, DLM: 1, LEVEL: 1, TM: 1 },
  },
  {
    what: "fee00258h, 0: index 12h, as Linux writes it",
    layout: REMAPPABLE_REQUEST_SHV,
    qwords: [0xfee0_0258n],
    fields: { FEE: 0xfee, HANDLE: 0x12, IF: 1, SHV: 1 },
  },
  {
    what: "fee00258h, 3: index 15h",
    layout: REMAPPABLE_REQUEST_SHV,
    qwords: [0x0000_0003_fee0_0258n],
    fields: { FEE: 0xfee, HANDLE: 0x12, IF: 1, SHV: 1, SUBHANDLE: 3 },
  },
  {
    what: "fee0003ch, 0: index 8001h",
    layout: REMAPPABLE_REQUEST_SHV,
    qwords: [0xfee0_003cn],
    fields: { FEE: 0xfee, HANDLE: 1, IF: 1, SHV: 1, HANDLE_15: 1 },
  },
  {
    what: "fee00258h, 10000h: reserved data bit",
    layout: REMAPPABLE_REQUEST_SHV,
    qwords: [0x0001_0000_fee0_0258n],
    fields: { FEE: 0xfee, HANDLE: 0x12, IF: 1, SHV: 1, RSVD_63_48: 1 },
  },
  {
    what: "fee000b0h, 7: index 5, data ignored",
    layout: REMAPPABLE_REQUEST,
    qwords: [0x0000_0007_fee0_00b0n],
    fields: { FEE: 0xfee, HANDLE: 5, IF: 1, IGN_63_32: 7 },
  },
  {
    what: "fee000bch: SHV and index bit 15",
    layout: REMAPPABLE_REQUEST,
    qwords: [0xfee0_00bcn],
    fields: { FEE: 0xfee, HANDLE: 5, IF: 1, SHV: 1, HANDLE_15: 1 },
  },
  {
    what: "fee00010h: remappable after all",
    layout: COMPATIBILITY_REQUEST,
    qwords: [0xfee0_0010n],
    fields: { FEE: 0xfee, IF: 1 },
  },
  {
    what: "x2APIC id 0x105",
    layout: EVENT_MESSAGE,
    qwords: [0xfee0_500c_0000_0131n, 0x100n],
    fields: { FEE: 0xfee, DST: 5, DST_HIGH: 1, RH: 1, DM: 1, DLM: 1, V: 0x31 },
  },
  {
    what: "xAPIC id 5",
    layout: EVENT_MESSAGE_XAPIC,
    qwords: [0xfee0_500c_0000_0131n, 0n],
    fields: { FEE: 0xfee, DST: 5, RH: 1, DM: 1, DLM: 1, V: 0x31 },
  },
  {
    what: "index 12h, edge",
    layout: IOAPIC_RTE_REMAPPABLE,
    qwords: [0x0025_0000_0000_0030n],
    fields: { INDEX: 0x12, IF: 1, V: 0x30 },
  },
  {
    what: "index 3, level, low, masked",
    layout: IOAPIC_RTE_REMAPPABLE,
    qwords: [0x0007_0000_0001_a009n],
    fields: { INDEX: 3, IF: 1, MASK: 1, TM: 1, POLARITY: 1, V: 9 },
  },
  {
    what: "index 8001h, being delivered, EOI to come",
    layout: IOAPIC_RTE_REMAPPABLE,
    qwords: [0x0003_0000_0000_5830n],
    fields: { INDEX: 1, INDEX_15: 1, IF: 1, REMOTE_IRR: 1, STATUS: 1, V: 0x30 },
  },
  {
    what: "APIC 5, logical, lowest priority, level, low, masked",
    layout: IOAPIC_RTE_COMPATIBILITY,
    qwords: [0x0500_0000_0001_a931n],
    fields: { DST: 5, MASK: 1, TM: 1, POLARITY: 1, DM: 1, DLM: 1, V: 0x31 },
  },
  {
    what: "being delivered, EOI to come; with the bit of the other format",
    layout: IOAPIC_RTE_COMPATIBILITY,
    qwords: [0x0001_0000_0000_5000n],
    fields: { IF: 1, REMOTE_IRR: 1, STATUS: 1 },
  },
];
