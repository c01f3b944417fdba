import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  CC_INV_DSC,
  CONTEXT_ENTRY,
  DEV_TLB_INV_DSC,
  encode,
  FS_PAGE_1G,
  FS_PAGE_2M,
  FS_PAGE_4K,
  FS_TABLE,
  FS_UPPER,
  HPT_INV_DSC,
  IEC_INV_DSC,
  INV_WAIT_DSC,
  IOTLB_INV_DSC,
  IRTE_POSTED,
  IRTE_REMAPPED,
  IRTE_REMAPPED_XAPIC,
  P_DEV_TLB_INV_DSC,
  P_IOTLB_INV_DSC,
  PAGE_GRP_RESP_DSC,
  PASID_DIR_ENTRY,
  PASID_ENTRY,
  PC_INV_DSC,
  POSTED_INTERRUPT_DESCRIPTOR,
  POSTED_INTERRUPT_DESCRIPTOR_XAPIC,
  reservedMask,
  ROOT_ENTRY,
  SM_CONTEXT_ENTRY,
  SM_ROOT_ENTRY,
  SS_PAGE_1G,
  SS_PAGE_2M,
  SS_PAGE_4K,
  SS_TABLE,
  SS_UPPER,
  toQwords,
  type Capabilities,
  type Layout,
} from "../src/index.ts";
import { EVERYTHING, LAYOUTS, offering, PROPERTY } from "./layouts.ts";

const ALL = 0xffff_ffff_ffff_ffffn;

function mask(layout: Layout, capabilities: Capabilities, hostAddressWidth = 39): string[] {
  const qwords = toQwords(reservedMask(layout, capabilities, hostAddressWidth));
  return qwords.map((qword) => qword.toString(16));
}

const hex = (...qwords: bigint[]): string[] => qwords.map((qword) => qword.toString(16));

describe("VT-d 9.1-9.6 tables of DMA remapping, 39-bit host", () => {
  it("root entries", () => {
    expect(mask(ROOT_ENTRY, offering({}))).toEqual(hex(0xffff_ff80_0000_0ffen, ALL));
    expect(mask(SM_ROOT_ENTRY, offering({}))).toEqual(
      hex(0xffff_ff80_0000_0ffen, 0xffff_ff80_0000_0ffen),
    );
  });

  it("a context entry has the domain-id width of the unit", () => {
    expect(mask(CONTEXT_ENTRY, offering({ ND: 6 }))).toEqual(
      hex(0xffff_ff80_0000_0ff0n, 0xffff_ffff_ff00_0080n),
    );
    expect(mask(CONTEXT_ENTRY, offering({ ND: 2 }))).toEqual(
      hex(0xffff_ff80_0000_0ff0n, 0xffff_ffff_ffff_0080n),
    );
  });

  it("a scalable-mode context entry has what is offered", () => {
    // QEMU without HPTS, PTRS; with RPRIVS its mask of the second quadword is the same.
    expect(
      mask(SM_CONTEXT_ENTRY, offering({ DT: 1, PASID: 1, PRS: 1, RPS: 1, RPRIVS: 1 })),
    ).toEqual(hex(0xffff_ff80_0000_01e0n, 0xffff_ffff_ffe0_0000n, ALL, ALL));
    expect(mask(SM_CONTEXT_ENTRY, offering({}))).toEqual(
      hex(0xffff_ff80_0000_01fcn, ALL, ALL, ALL),
    );
    expect(mask(SM_CONTEXT_ENTRY, EVERYTHING)[0]).toBe(0xffff_ff80_0000_0180n.toString(16));
  });

  it("PASID tables", () => {
    expect(mask(PASID_DIR_ENTRY, offering({}))).toEqual(hex(0xffff_ff80_0000_0ffcn));
    expect(mask(PASID_ENTRY, EVERYTHING)).toEqual(
      hex(
        0xffff_ff80_0000_0c20n,
        0x0000_0000_f87f_0000n,
        0xffff_ff80_0000_0f02n,
        ALL,
        0xffff_ff80_0000_0ff8n,
        0xffff_ffff_ffff_0000n,
        ALL,
        ALL,
      ),
    );
  });

  it("a PASID entry of a unit with first stage only", () => {
    expect(mask(PASID_ENTRY, offering({ ND: 6, FSTS: 1 }))).toEqual(
      hex(ALL & ~0x1c3n, ALL & ~0xffffn, 0xffff_ff80_0000_0f83n, ALL, ALL, ALL, ALL, ALL),
    );
  });

  it("SSADE needs both of its capabilities", () => {
    const ssade = 1n << 9n;
    const first = (capabilities: Capabilities): bigint =>
      BigInt(`0x${mask(PASID_ENTRY, capabilities)[0]!}`) & ssade;
    expect(first(offering({ SSTS: 1 }))).toBe(ssade);
    expect(first(offering({ SSADS: 1 }))).toBe(ssade);
    expect(first(offering({ SSTS: 1, SSADS: 1 }))).toBe(0n);
  });
});

describe("VT-d 9.7 first stage, 39-bit host", () => {
  const HIGH = 0x000f_ff80_0000_0000n;

  it("has the reserved bits QEMU checks", () => {
    expect(mask(FS_UPPER, EVERYTHING)).toEqual(hex(HIGH | 0x80n));
    expect(mask(FS_TABLE, EVERYTHING)).toEqual(hex(HIGH));
    expect(mask(FS_PAGE_1G, EVERYTHING)).toEqual(hex(HIGH | 0x3fff_e000n));
    expect(mask(FS_PAGE_2M, EVERYTHING)).toEqual(hex(HIGH | 0x1f_e000n));
    expect(mask(FS_PAGE_4K, EVERYTHING)).toEqual(hex(HIGH));
  });

  it("has PS reserved where 1-GByte pages are not offered", () => {
    expect(mask(FS_PAGE_1G, offering({}))).toEqual(hex(HIGH | 0x3fff_e080n));
    expect(mask(FS_PAGE_2M, offering({}))).toEqual(hex(HIGH | 0x1f_e000n));
  });
});

describe("VT-d 9.8 second stage, 39-bit host", () => {
  /** Without SSIRWS bit 62 is reserved, as in QEMU. */
  const HIGH = 0x400f_ff80_0000_0000n;

  it("has the reserved bits QEMU checks, without snoop control", () => {
    const capabilities = offering({ SSLPS: 3 });
    expect(mask(SS_UPPER, capabilities)).toEqual(hex(HIGH | 0x880n));
    expect(mask(SS_TABLE, capabilities)).toEqual(hex(HIGH | 0x800n));
    expect(mask(SS_PAGE_1G, capabilities)).toEqual(hex(HIGH | 0x3fff_f800n));
    expect(mask(SS_PAGE_2M, capabilities)).toEqual(hex(HIGH | 0x1f_f800n));
    expect(mask(SS_PAGE_4K, capabilities)).toEqual(hex(HIGH | 0x800n));
  });

  it("lets SNP be set in leaves with snoop control", () => {
    const capabilities = offering({ SSLPS: 3, SC: 1 });
    expect(mask(SS_TABLE, capabilities)).toEqual(hex(HIGH | 0x800n));
    expect(mask(SS_PAGE_1G, capabilities)).toEqual(hex(HIGH | 0x3fff_f000n));
    expect(mask(SS_PAGE_4K, capabilities)).toEqual(hex(HIGH));
  });

  it("has PS reserved for the page sizes that are not offered", () => {
    expect(mask(SS_PAGE_1G, offering({ SSLPS: 1 }))).toEqual(hex(HIGH | 0x3fff_f880n));
    expect(mask(SS_PAGE_2M, offering({ SSLPS: 1 }))).toEqual(hex(HIGH | 0x1f_f800n));
    expect(mask(SS_PAGE_2M, offering({}))).toEqual(hex(HIGH | 0x1f_f880n));
  });

  it("lets IW be set with I/O permissions", () => {
    expect(mask(SS_UPPER, offering({ SSIRWS: 1 }))).toEqual(hex(0x000f_ff80_0000_0880n));
  });
});

describe("VT-d 9.9-9.11 interrupts, 39-bit host", () => {
  it("IRTEs", () => {
    const plain = offering({});
    const posting = offering({ PI: 1 });
    expect(mask(IRTE_REMAPPED, posting)).toEqual(hex(0xff00_7000n, 0xffff_ffff_fff0_0000n));
    expect(mask(IRTE_REMAPPED, plain)[0]).toBe(0xff00_f000n.toString(16));
    expect(mask(IRTE_REMAPPED_XAPIC, posting)[0]).toBe(0xffff_00ff_ff00_7000n.toString(16));
    expect(mask(IRTE_POSTED, posting)).toEqual(hex(0x0000_003f_ff00_30fcn, 0xffff_ff80_fff0_0000n));
    expect(mask(IRTE_POSTED, plain)[0]).toBe(0x0000_003f_ff00_f0fcn.toString(16));
  });

  it("posted-interrupt descriptors", () => {
    expect(mask(POSTED_INTERRUPT_DESCRIPTOR, offering({}))).toEqual(
      hex(0n, 0n, 0n, 0n, 0xff00_fffcn, ALL, ALL, ALL),
    );
    expect(mask(POSTED_INTERRUPT_DESCRIPTOR_XAPIC, offering({}))[4]).toBe(
      0xffff_00ff_ff00_fffcn.toString(16),
    );
  });
});

describe("VT-d 6.5.2 invalidation descriptors", () => {
  it.each<[Layout, bigint, bigint]>([
    [CC_INV_DSC, 0xfffc_0000_0000_f1c0n, ALL],
    [IOTLB_INV_DSC, 0xffff_ffff_0000_f100n, 0xf80n],
    [DEV_TLB_INV_DSC, 0xffff_0000_ffe0_f1f0n, 0xffen],
    [IEC_INV_DSC, 0xffff_0000_07ff_f1e0n, ALL],
    [INV_WAIT_DSC, 0xffff_f180n, 3n],
    [P_IOTLB_INV_DSC, 0xfff0_0000_0000_f1c0n, 0xf80n],
    [PC_INV_DSC, 0xfff0_0000_0000_f1c0n, ALL],
    [P_DEV_TLB_INV_DSC, 0xfff0_0000_0000_f000n, 0x7fen],
    [PAGE_GRP_RESP_DSC, 0xfff0_0000_0000_01e0n, 0xffff_ffff_ffff_f003n],
    [HPT_INV_DSC, 0xffff_ffff_0000_f1c0n, 0xf00n],
  ])("$name has the reserved bits QEMU checks, without DIT and PDS", (layout, low, high) => {
    const rest = layout.bits === 256 ? [ALL, ALL] : [];
    expect(mask(layout, offering({}))).toEqual(hex(low, high, ...rest));
  });

  it("lets PFSID and PD be set where they are offered", () => {
    expect(mask(DEV_TLB_INV_DSC, offering({ DIT: 1 }))[0]).toBe("f0000ffe001f0");
    expect(mask(P_DEV_TLB_INV_DSC, offering({ DIT: 1 }))[0]).toBe("0");
    expect(mask(INV_WAIT_DSC, offering({ PDS: 1 }))[0]).toBe("fffff100");
  });
});

describe("reservedMask", () => {
  it("lets through what has a meaning when everything is offered, on the widest host", () => {
    fc.assert(
      fc.property(fc.constantFrom(...LAYOUTS), (layout) => {
        const meaning = layout.fields.filter((field) => field.kind !== "reserved");
        let reserved = (1n << BigInt(layout.bits)) - 1n;
        for (const { high, low } of meaning) {
          for (let bit = low; bit <= high; bit++) reserved &= ~(1n << BigInt(bit));
        }
        const qwords = toQwords(reservedMask(layout, EVERYTHING, 64));
        expect(qwords.reduceRight((all, qword) => (all << 64n) | qword, 0n)).toBe(reserved);
      }),
      PROPERTY,
    );
  });

  it("never reserves an address below the host address width, always one above", () => {
    fc.assert(
      fc.property(fc.integer({ min: 32, max: 51 }), (width) => {
        const touches = (address: bigint): boolean => {
          const words = encode(SS_PAGE_4K, { ADDR: address });
          return reservedMask(SS_PAGE_4K, EVERYTHING, width).some((m, i) => (m & words[i]!) !== 0);
        };
        expect(touches(1n << BigInt(width - 1))).toBe(false);
        expect(touches(1n << BigInt(width))).toBe(true);
      }),
      PROPERTY,
    );
  });
});
