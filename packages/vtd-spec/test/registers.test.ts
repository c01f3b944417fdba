import { describe, expect, it } from "vitest";
import {
  accessMask,
  CAP,
  CCMD,
  ECAP,
  FECTL,
  FRCD,
  FSTS,
  GCMD,
  GSTS,
  ICS,
  IECTL,
  INVALIDATION_DESCRIPTORS,
  IOTLB,
  IQERCD,
  MOVABLE_REGISTERS,
  Offset,
  PECTL,
  PMEN,
  PRS,
  REGISTERS,
  reservedMask,
  toQwords,
  type Access,
  type RegisterLayout,
} from "../src/index.ts";
import { EVERYTHING } from "./layouts.ts";

const end = ({ offset, bits, count = 1, stride = 0 }: RegisterLayout): number =>
  offset + (count - 1) * stride + bits / 8;

const byName = (name: string): RegisterLayout | undefined =>
  REGISTERS.find((register) => register.name === name);

const mask = (register: RegisterLayout, access: Access): bigint[] =>
  toQwords(accessMask(register, access));

describe("VT-d 11.4 register map", () => {
  it("gives each register the offset of its name", () => {
    const arrays = ["MTRR_FIX", "MTRR_PHYSBASE", "MTRR_PHYSMASK", "PERFEVNTCAP", "ECSTS", "ECCAP"];
    for (const { name, offset } of REGISTERS) {
      if (!arrays.includes(name))
        expect([name, Offset]).toEqual([name, { ...Offset, [name]: offset }]);
    }
  });

  it("has the elements of arrays where the names say", () => {
    const at = (name: string, index: number): number | undefined => {
      const register = byName(name);
      return register && register.offset + index * (register.stride ?? 0);
    };
    expect(at("MTRR_FIX", 0)).toBe(Offset.MTRR_FIX64K_00000);
    expect(at("MTRR_FIX", 1)).toBe(Offset.MTRR_FIX16K_80000);
    expect(at("MTRR_FIX", 2)).toBe(Offset.MTRR_FIX16K_A0000);
    expect(at("MTRR_FIX", 10)).toBe(Offset.MTRR_FIX4K_F8000);
    expect(at("MTRR_PHYSBASE", 0)).toBe(Offset.MTRR_PHYSBASE0);
    expect(at("MTRR_PHYSBASE", 9)).toBe(0x210);
    expect(at("MTRR_PHYSMASK", 0)).toBe(Offset.MTRR_PHYSMASK0);
    expect(at("MTRR_PHYSMASK", 9)).toBe(0x218);
    expect(at("PERFEVNTCAP", 0)).toBe(Offset.PERFEVNTCAP0);
    expect(at("PERFEVNTCAP", 15)).toBe(0x3f8);
    expect(at("ECSTS", 1)).toBe(Offset.ECSTS1);
    expect(at("ECCAP", 2)).toBe(Offset.ECCAP2);
  });

  it("names every offset of a register", () => {
    const offsets = new Set(
      REGISTERS.flatMap(({ offset, count = 1, stride = 0 }) =>
        Array.from({ length: count }, (_, i) => offset + i * stride),
      ),
    );
    expect(Object.entries(Offset).filter(([, offset]) => !offsets.has(offset))).toEqual([]);
  });

  it("is in the order of offsets, naturally aligned, without overlaps", () => {
    const used = new Map<number, string>();
    for (const register of REGISTERS) {
      const { name, offset, bits, count = 1, stride = 0 } = register;
      for (let i = 0; i < count; i++) {
        const start = offset + i * stride;
        expect(start % (bits / 8)).toBe(0);
        for (let byte = start; byte < start + bits / 8; byte++) {
          expect([name, byte, used.get(byte)]).toEqual([name, byte, undefined]);
          used.set(byte, name);
        }
      }
    }
    const offsets = REGISTERS.map((register) => register.offset);
    expect(offsets).toEqual([...offsets].sort((a, b) => a - b));
    expect(Math.max(...REGISTERS.map(end))).toBeLessThanOrEqual(0x1000);
  });

  it("has movable registers on a base, in arrays that don't overlap", () => {
    for (const { name, base, bits, offset, stride } of MOVABLE_REGISTERS) {
      expect([name, base]).not.toEqual([name, undefined]);
      expect(offset % (bits / 8)).toBe(0);
      if (stride !== undefined) expect(stride).toBeGreaterThanOrEqual(bits / 8);
    }
  });
});

describe("VT-d 11.4.4 global command", () => {
  it("tells levels from one-shots", () => {
    expect(mask(GCMD, "wo")).toEqual([0x8680_0000n]);
    expect(mask(GCMD, "one-shot")).toEqual([0x4900_0000n]);
    // VT-d asks software to keep 96FFFFFFh of GSTS: without the one-shots, and SFL (bit 29) of old.
    expect(~0x96ff_ffff >>> 0).toBe(0x4900_0000 | 0x2000_0000);
  });

  it("has a status bit for each command bit", () => {
    const bitsOf = (register: RegisterLayout): string[] =>
      register.fields.filter((f) => f.kind === undefined).map((f) => `${f.high} ${f.name}`);
    expect(bitsOf(GSTS)).toEqual(
      bitsOf(GCMD).map((bit) => `${bit}S`.replace("SRTPS", "RTPS").replace("SIRTPS", "IRTPS")),
    );
    expect(mask(GSTS, "ro")).toEqual([0xcf80_0000n]);
  });
});

describe("access to registers", () => {
  it("VT-d 11.4.6 starts a command with one bit, and reports in read-only ones", () => {
    expect(mask(CCMD, "start")).toEqual([1n << 63n]);
    expect(mask(CCMD, "ro")).toEqual([3n << 59n]);
    expect(mask(CCMD, "wo")).toEqual([0x3_ffff_0000n]);
    expect(mask(CCMD, "rw")).toEqual([0x6000_0000_0000_ffffn]);
    expect(mask(IOTLB, "start")).toEqual([1n << 63n]);
    expect(mask(IOTLB, "ro")).toEqual([3n << 57n]);
    expect(mask(IOTLB, "rw")).toEqual([0x3003_ffff_0000_0000n]);
  });

  it("VT-d 11.4.7 clears faults by writing 1", () => {
    expect(mask(FSTS, "rw1c")).toEqual([0x71n]);
    expect(mask(FSTS, "ro")).toEqual([0xff02n]);
    expect(mask(FRCD, "rw1c")).toEqual([0n, 1n << 63n]);
    expect(mask(PRS, "rw1c")).toEqual([3n]);
    expect(mask(ICS, "rw1c")).toEqual([1n]);
  });

  it("VT-d 11.4.8 reports protected memory in a read-only bit", () => {
    expect([mask(PMEN, "rw"), mask(PMEN, "ro")]).toEqual([[0x8000_0000n], [1n]]);
  });

  it("masks events after reset", () => {
    for (const control of [FECTL, IECTL, PECTL, byName("PERFINTRCTL")!]) {
      expect(control.reset).toBe(0x8000_0000);
      expect([mask(control, "rw"), mask(control, "ro")]).toEqual([[0x8000_0000n], [0x4000_0000n]]);
    }
  });

  it("keeps status over an ordinary reset", () => {
    const sticky = [...REGISTERS, ...MOVABLE_REGISTERS].filter((r) => r.sticky === true);
    expect(sticky).toEqual([FSTS, ICS, IQERCD, PRS, FRCD]);
  });
});

describe("VT-d 11.4 reserved bits of registers", () => {
  const RESERVED: Readonly<Record<string, bigint | readonly bigint[]>> = {
    VER: 0xffff_ff00n,
    GCMD: 0x307f_ffffn,
    GSTS: 0x307f_ffffn,
    RTADDR: 0x37fn,
    CCMD: 0x07ff_fffc_0000_0000n,
    FSTS: 0xffff_008cn,
    FECTL: 0x3fff_ffffn,
    FEDATA: 0xffff_0000n,
    FEADDR: 3n,
    FEUADDR: 0n,
    PMEN: 0x7fff_fffen,
    PLMBASE: 0xf_ffffn,
    PLMLIMIT: 0xf_ffffn,
    PHMBASE: 0xf_ffffn,
    PHMLIMIT: 0xf_ffffn,
    IQH: 0xffff_ffff_fff8_000fn,
    IQT: 0xffff_ffff_fff8_000fn,
    IQA: 0x7f8n,
    ICS: 0xffff_fffen,
    IECTL: 0x3fff_ffffn,
    IEDATA: 0xffff_0000n,
    IEADDR: 3n,
    IEUADDR: 0n,
    IQERCD: 0xffff_fff0n,
    IRTA: 0x7f0n,
    PQH: 0xffff_ffff_fff8_001fn,
    PQT: 0xffff_ffff_fff8_001fn,
    PQA: 0xff8n,
    PRS: 0xffff_fffcn,
    PECTL: 0x3fff_ffffn,
    PEDATA: 0xffff_0000n,
    PEADDR: 3n,
    PEUADDR: 0n,
    MTRRCAP: 0xffff_ffff_ffff_fa00n,
    MTRRDEF: 0xffff_ffff_ffff_f300n,
    MTRR_FIX: 0n,
    MTRR_PHYSBASE: 0xf00n,
    MTRR_PHYSMASK: 0x7ffn,
    PERFCAP: 0xff80_ffe0_e080_0000n,
    PERFCFGOFF: 0n,
    PERFFRZOFF: 0n,
    PERFOVFOFF: 0n,
    PERFCNTROFF: 0n,
    PERFINTRSTS: 0xffff_fffen,
    PERFINTRCTL: 0x3fff_ffffn,
    PERFINTRDATA: 0xffff_0000n,
    PERFINTRADDR: 3n,
    PERFINTRUADDR: 0n,
    PERFEVNTCAP: 0xffff_ffff_f000_0000n,
    ECMD: 0xff00n,
    ECEO: 0n,
    ECRSP: 0xff00n,
    ECSTS: 0xffff_ffff_ffff_ffffn,
    ECCAP: 0xffff_ffff_ffff_ffffn,
    ECCAP3: 0xffc0_ffff_ffff_ffffn,
    RDTC: 0xffff_ffe0_ffff_f000n,
    VCMD: 0xff00n,
    VCMD_EO: 0n,
    VCRSP: 0xff00n,
    VCCAP: 0xffff_ffff_ffff_fff8n,
    IVA: 0xf80n,
    IOTLB: 0x49fc_0000_ffff_ffffn,
    FRCD: [0xfffn, 0x0fff_0000n],
    PERFFRZSTS: 0n,
    PERFOVFSTS: 0n,
    PERFCNTRCFG: 0xf000_0000_ffff_f0f8n,
    PERFCNTR_RIDFLTR: 0x7fff_0000n,
    PERFCNTR_DIDFLTR: 0x7fff_0000n,
    PERFCNTR_PASIDFLTR: 0x7fc0_0000n,
    PERFCNTR_ATFLTR: 0x7fff_ffe0n,
    PERFCNTR_PTLFLTR: 0x7fff_ffe0n,
    PERFCNTRCAP: 0x0ffc_00fen,
    PERFCNTREVCAP: 0n,
    PERFCNTR: 0n,
  };

  it.each([...REGISTERS, ...MOVABLE_REGISTERS].filter((r) => r !== CAP && r !== ECAP))(
    "$name",
    (register) => {
      const qwords = toQwords(reservedMask(register, EVERYTHING, 64));
      expect(qwords.map((q) => q.toString(16))).toEqual(
        [RESERVED[register.name]].flat().map((q) => q?.toString(16)),
      );
    },
  );
});

describe("VT-d 6.5.2 types of invalidation descriptors", () => {
  it("are 1 to Ah, those up to 5 with a 128-bit form", () => {
    expect(INVALIDATION_DESCRIPTORS.map((descriptor) => descriptor.type)).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
    ]);
    for (const { type, bits } of INVALIDATION_DESCRIPTORS) expect(bits).toBe(type <= 5 ? 128 : 256);
  });

  it("that depend on a capability: device-TLB, page responses, HPT", () => {
    const needing = INVALIDATION_DESCRIPTORS.filter((d) => d.requires !== undefined);
    expect(needing.map((d) => [d.type, d.requires])).toEqual([
      [3, "DT"],
      [8, "DT"],
      [9, "PRS"],
      [10, "HPTS"],
    ]);
  });
});
