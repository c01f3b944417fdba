import { NO_PASID } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { FULL, LEGACY, RW, TABLE_FRAMES, unitHost } from "./support/unit-host.ts";

/** Frames in the order in which a unit takes them. */
const INTERRUPTS = TABLE_FRAMES;
const ROOT = TABLE_FRAMES + 1;

const at = (frame: number, entry = 0): number => frame * 4096 + entry * 8;

describe("tables in host memory, as literal words", () => {
  it("legacy mode: root, context and second-stage entries (VT-d 9.1, 9.3, 9.8)", () => {
    const { memory, unit } = unitHost({ ...LEGACY, addressWidths: [48] });
    const space = unit.createPagingSpace({ frameQuota: 10 }); // root table 2002h, domain 2
    space.map(0x40_0201, 0x12_3456, 0, RW | 4);
    space.map(0x8_0000, 0x4_0000, 18, 1);
    unit.attach(0x0010, NO_PASID, space);
    const context = Number(memory.read64(at(ROOT)) >> 12n);
    expect(memory.read64(at(ROOT))).toBe(0x200_6001n);
    expect(memory.read64(at(context, 0x20))).toBe(0x200_2001n);
    expect(memory.read64(at(context, 0x21))).toBe(0x202n);
    expect(memory.read64(at(0x2002))).toBe(0x200_5003n);
    const level3 = 0x2005;
    expect(memory.read64(at(level3, 2))).toBe(0x4000_0081n); // 1 GiB, read-only
    const level2 = Number(memory.read64(at(level3, 16)) >> 12n);
    expect(memory.read64(at(level3, 16)) & 0xfffn).toBe(3n);
    const level1 = Number(memory.read64(at(level2, 1)) >> 12n);
    expect(memory.read64(at(level1, 1))).toBe(0x1_2345_6803n); // read, write, SNP
    unit.attach(0x0010, NO_PASID, unit.identity);
    expect(memory.read64(at(context, 0x20))).toBe(0x9n);
    expect(memory.read64(at(context, 0x21))).toBe(0x102n);
    unit.attach(0x0010, NO_PASID, unit.blocking);
    expect(memory.read64(at(ROOT))).toBe(0n);
  });

  it("scalable mode: context, directory and PASID entries (VT-d 9.2, 9.4 to 9.6)", () => {
    const { memory, unit } = unitHost({ ...FULL, addressWidths: [48] });
    const parent = unit.createPagingSpace({ frameQuota: 10, nestingParent: true });
    const nested = unit.createNestedSpace(parent, {
      rootFrame: 0x4444,
      levels: 5,
      supervisor: true,
      writeProtect: true,
      extendedAccessed: true,
    });
    const entry = (sourceId: number, pasid: number): bigint[] => {
      const half = (sourceId >>> 8) * 2 + ((sourceId >>> 7) & 1);
      const context = Number(memory.read64(at(ROOT, half)) >> 12n);
      const directory = Number(memory.read64(at(context, (sourceId & 0x7f) * 4)) >> 12n);
      const link = memory.read64(at(directory, pasid >>> 6));
      expect(link & 0xfffn).toBe(1n);
      const table = Number(link >> 12n);
      return Array.from({ length: 8 }, (_, i) => memory.read64(at(table, (pasid & 63) * 8 + i)));
    };
    unit.attach(0x01f8, NO_PASID, parent);
    const root = memory.read64(at(ROOT, 3));
    expect(root & 0xfffn).toBe(1n);
    const context = Number(root >> 12n);
    expect(memory.read64(at(context, 0x78 * 4)) & 0xfffn).toBe(0x409n); // PDTS 2, PASIDE, P
    expect(memory.read64(at(context, 0x78 * 4 + 1))).toBe(0n); // RID_PASID 0
    const none = [0n, 0n, 0n, 0n, 0n];
    const ssRoot = BigInt(TABLE_FRAMES + 3) << 12n;
    expect(entry(0x01f8, 0)).toEqual([ssRoot | 0x89n, 0x80_0002n, 0n, ...none]);
    unit.attach(0x01f8, 0x21, nested);
    expect(entry(0x01f8, 0x21)).toEqual([ssRoot | 0xc9n, 0x80_0003n, 0x444_4095n, ...none]);
    unit.attach(0x01f8, 0x21, unit.identity);
    expect(entry(0x01f8, 0x21)).toEqual([0x101n, 0x80_0001n, 0n, ...none]);
    parent.setDirtyTracking(true);
    expect(entry(0x01f8, 0)).toEqual([ssRoot | 0x289n, 0x80_0002n, 0n, ...none]);
    unit.attach(0x01f8, 0xf_ffff, parent);
    expect(memory.read64(at(context, 0x78 * 4)) & 0xfffn).toBe(0xe09n); // PDTS 7
  });

  it("what a device may do itself: TT, DTE and PRE (VT-d 9.3, 9.4)", () => {
    const ats = [
      { sourceId: 0x0010, ats: true },
      { sourceId: 0x0018, ats: true, pri: true },
      { sourceId: 0x0020, pri: true },
    ];
    for (const [profile, size, expected] of [
      [{ ...FULL, pageRequests: true }, 4, [0x40dn, 0x41dn, 0x409n]],
      [FULL, 4, [0x40dn, 0x40dn, 0x409n]],
      [LEGACY, 2, [0x5n, 0x5n, 0x1n]],
    ] as const) {
      const { memory, unit } = unitHost({ deviceTlb: true, ...profile }, { devices: ats });
      const space = unit.createPagingSpace({ frameQuota: 10 });
      for (const { sourceId } of ats) unit.attach(sourceId, NO_PASID, space);
      const context = Number(memory.read64(at(ROOT)) >> 12n);
      const flags = ats.map(({ sourceId }) => memory.read64(at(context, sourceId * size)) & 0xfffn);
      expect(flags).toEqual(expected);
    }
  });

  it("interrupt entries (VT-d 9.9, 9.10)", () => {
    const { memory, unit } = unitHost(FULL, {
      devices: [
        { sourceId: 0x0010, aliases: [0x0014, 0x0012] },
        { sourceId: 0x0218, aliases: [0x0500] },
      ],
    });
    const words = (handle: number): bigint[] => [
      memory.read64(at(INTERRUPTS, handle * 2)),
      memory.read64(at(INTERRUPTS, handle * 2 + 1)),
    ];
    const [one, phantom, bridge] = [0x0020, 0x0010, 0x0218].map((sourceId) =>
      unit.interrupts.allocate(sourceId),
    );
    expect(words(one!)).toEqual([0n, 0n]);
    unit.interrupts.program(one!, {
      kind: "remapped",
      vector: 0x31,
      destination: 0x1_0020,
      logical: true,
      redirectionHint: true,
      deliveryMode: 0,
      levelTriggered: false,
    });
    expect(words(one!)).toEqual([0x0001_0020_0031_000dn, 0x4_0020n]);
    const descriptor = 0x1_2345_6780 / 64;
    unit.interrupts.program(phantom!, { kind: "posted", vector: 0x31, descriptor, urgent: true });
    expect(words(phantom!)).toEqual([0x2345_6780_0031_c001n, 0x1_0006_0010n]); // SQ 2
    unit.interrupts.program(bridge!, { kind: "posted", vector: 0x31, descriptor, urgent: false });
    expect(words(bridge!)).toEqual([0x2345_6780_0031_8001n, 0x1_0008_0205n]); // buses 2 to 5
    unit.interrupts.free(phantom!);
    expect(words(phantom!)).toEqual([0n, 0n]);
  });
});
