import { ViommuError } from "@viommu/plugin";
import { CAPABILITY_RULES, encodeCapabilities } from "@viommu/vtd-spec";
import { describe, expect, it } from "vitest";
import { createProfile, profileFromRegisters } from "../src/index.ts";
import type { ProfileOptions } from "../src/index.ts";

const refusal = (make: () => unknown): string => {
  try {
    make();
  } catch (error) {
    expect(error).toBeInstanceOf(ViommuError);
    expect((error as ViommuError).code).toBe("ERR_VIOMMU_PROFILE");
    return (error as ViommuError).message;
  }
  throw new Error("it was not refused");
};

describe("createProfile", () => {
  it("makes the words that QEMU 10 shows, out of its options", () => {
    const qemu: ProfileOptions = {
      faultRecords: 1,
      coherentTables: false,
      zeroLengthRead: false,
      snoopControl: false,
      eim: false,
      enhancedSetInterruptPointer: false,
    };
    expect(createProfile(qemu)).toMatchObject({
      version: 0x10,
      cap: 0x80d2_008c_222f_0606n,
      ecap: 0xf0_0f4an,
      hostAddressWidth: 48,
    });
    expect(createProfile({ ...qemu, addressWidths: [39], hostAddressWidth: 39 }).cap).toBe(
      0x80d2_008c_2226_0206n,
    );
    expect(createProfile({ ...qemu, eim: true }).ecap).toBe(0xf0_0f5an);
    expect(createProfile({ ...qemu, deviceTlb: true }).ecap).toBe(0xf0_0f4en);
    expect(createProfile({ ...qemu, cachingMode: true }).cap).toBe(0x80d2_008c_222f_0686n);
  });

  it.each<[string, ProfileOptions, Record<string, number>]>([
    ["57 bits", { addressWidths: [57] }, { SAGAW: 8, MGAW: 56 }],
    ["interrupt remapping alone", { addressWidths: [] }, { SAGAW: 0, MGAW: 47, IR: 1 }],
    ["16 domains", { domainIdBits: 4 }, { ND: 0 }],
    ["256 records", { faultRecords: 256 }, { NFR: 255 }],
    ["4 KiB pages", { pageSizes: ["4K"] }, { SSLPS: 0 }],
    ["2 MiB pages", { pageSizes: ["4K", "2M"] }, { SSLPS: 1 }],
    ["no queue", { queuedInvalidation: false }, { QI: 0, IR: 0, EIM: 0, MHMV: 0, ESIRTPS: 0 }],
    [
      "scalable mode",
      { scalableMode: true },
      { SMTS: 1, FSTS: 1, FS1GP: 1, SSTS: 1, NEST: 1, PASID: 1, PSS: 19, RPS: 1, SMPWCS: 1 },
    ],
    ["16-bit PASIDs", { scalableMode: true, pasidBits: 16 }, { PASID: 1, PSS: 15 }],
    ["no PASIDs", { scalableMode: true, pasidBits: 0 }, { PASID: 0, PSS: 0 }],
    ["first stage only", { scalableMode: true, secondStage: false }, { SSTS: 0, NEST: 0 }],
    ["posting", { postedInterrupts: true }, { PI: 1 }],
    ["protected memory", { protectedMemory: true }, { PLMR: 1, PHMR: 1 }],
    ["memory types", { scalableMode: true, memoryTypes: true }, { MTS: 1 }],
    [
      "page requests",
      { scalableMode: true, deviceTlb: true, pageRequests: true },
      { PRS: 1, PDS: 1, SMS: 1, DT: 1 },
    ],
  ])("offers %s", (_name, options, capabilities) => {
    const profile = createProfile(options);
    expect(profile.capabilities).toMatchObject(capabilities);
    expect(encodeCapabilities(profile.capabilities)).toEqual({
      cap: profile.cap,
      ecap: profile.ecap,
    });
  });

  it.each<[string, ProfileOptions, RegExp]>([
    [
      "posting without remapping",
      { interruptRemapping: false, eim: false, postedInterrupts: true },
      /PI is 1 and IR is 0.*PI must be 0 unless IR is set \(VT-d 11\.4\.2\); set IR or clear PI/,
    ],
    ["EIM without remapping", { interruptRemapping: false, eim: true }, /EIM is 1 and IR is 0/],
    ["scalable mode without a queue", { queuedInvalidation: false, scalableMode: true }, /SMTS/],
    ["first stage in legacy mode", { firstStage: true }, /set SMTS or clear (FSTS|FS1GP)/],
    [
      "nesting without second stage",
      { scalableMode: true, secondStage: false, nested: true },
      /NEST is 1 and SSTS is 0/,
    ],
    ["page requests without device-TLBs", { scalableMode: true, pageRequests: true }, /DT is 0/],
    [
      "write-buffer flush in scalable mode",
      { scalableMode: true, writeBufferFlush: true },
      /RWBF is 1 and SMTS is 1/,
    ],
    ["1 GiB pages without 2 MiB pages", { pageSizes: ["4K", "1G"] }, /SSLPS is 2/],
    ["an odd domain-id width", { domainIdBits: 7 }, /domainIdBits is 7.*give 8/],
    ["a domain-id width of 18", { domainIdBits: 18 }, /domainIdBits is 18.*4 to 16/],
    ["no fault record", { faultRecords: 0 }, /faultRecords is 0.*1 to 256/],
    ["257 fault records", { faultRecords: 257 }, /faultRecords is 257/],
    ["half a fault record", { faultRecords: 1.5 }, /faultRecords is 1.5/],
    ["a width of 30 bits", { addressWidths: [30 as 39] }, /addressWidths has 30/],
    ["21-bit PASIDs", { scalableMode: true, pasidBits: 21 }, /pasidBits is 21/],
    [
      "a host wider than the guest",
      { addressWidths: [39], maxGuestAddressWidth: 39 },
      /hostAddressWidth is 48.*raise MGAW/,
    ],
    [
      "a host address of 64 bits",
      { hostAddressWidth: 64, maxGuestAddressWidth: 57 },
      /hostAddressWidth is 64/,
    ],
    ["fault records over the queue registers", { faultRecordOffset: 0x80 }, /reaches into it/],
    ["IOTLB registers over fault records", { iotlbRegisterOffset: 0x230 }, /FRO.*IRO/],
    [
      "IOTLB registers over those of page requests, also without them",
      { iotlbRegisterOffset: 0xd0 },
      /PQA at 0xd0|IVA at 0xd0/,
    ],
    ["memory types in legacy mode", { memoryTypes: true }, /MTS is 1 and SMTS is 0/],
    [
      "11 variable MTRRs",
      { scalableMode: true, memoryTypes: true, variableMtrrs: 11 },
      /variableMtrrs is 11.*0 to 10/,
    ],
    [
      "MTRRs without memory types",
      { scalableMode: true, variableMtrrs: 8 },
      /MTRRCAP is 0x8 and MTS is 0.*set MTS or clear MTRRCAP/,
    ],
    [
      "fault records over the last MTRR",
      { scalableMode: true, memoryTypes: true, variableMtrrs: 4, faultRecordOffset: 0x210 },
      /FRCD at 0x210|MTRR_PHYSBASE/,
    ],
    [
      "IOTLB registers over a fixed MTRR",
      { scalableMode: true, memoryTypes: true, iotlbRegisterOffset: 0x170 },
      /IVA|MTRR_FIX/,
    ],
    ["a crooked offset", { faultRecordOffset: 0x228 }, /faultRecordOffset is 552.*multiple of 16/],
    ["major version 0", { version: 0x05 }, /VER is 0x5/],
    ["major version 9", { version: 0x90 }, /VER is 0x90/],
    ["widths without second stage from version 6 on", { version: 0x60 }, /SAGAW is 6/],
  ])("refuses %s", (_name, options, reason) => {
    expect(refusal(() => createProfile(options))).toMatch(reason);
  });
});

describe("profileFromRegisters", () => {
  it("takes the words of recorded units", () => {
    for (const [cap, ecap] of [
      [0x80d2_008c_222f_0606n, 0xf0_0f4an],
      [0x80d2_008c_2226_0206n, 0xf0_0f4an],
      [0x80d2_008c_222f_0606n, 0x4800_80f0_0f4an],
      [0x81d2_008c_222f_0606n, 0x8800_00f0_0f5an],
      [0x00d2_008c_126f_0606n, 0xf0_10dbn],
    ] as const) {
      const profile = profileFromRegisters({ ver: 0x10, cap, ecap });
      expect(profile).toMatchObject({ version: 0x10, cap, ecap });
      expect(profile.hostAddressWidth).toBe(profile.capabilities.MGAW + 1);
    }
  });

  it("takes MTRRCAP of a unit with memory types, or what units have today", () => {
    const { cap, ecap, mtrrCap } = createProfile({ scalableMode: true, memoryTypes: true });
    expect(mtrrCap).toBe(0x50an);
    expect(profileFromRegisters({ ver: 0x10, cap, ecap }).mtrrCap).toBe(0x50an);
    expect(profileFromRegisters({ ver: 0x10, cap, ecap, mtrrCap: 0x8n }).mtrrCap).toBe(8n);
    const given = { memoryTypes: true, variableMtrrs: 8, fixedMtrrs: true, writeCombining: false };
    expect(createProfile({ scalableMode: true, ...given }).mtrrCap).toBe(0x108n);
    expect(createProfile({ scalableMode: true }).mtrrCap).toBe(0n);
  });

  it.each([
    ["more ranges than a unit has room for", 0x50bn, /MTRRCAP is 0x50b.*room for 10.*lower VCNT/],
    ["SMRR, which a processor may have", 0xd0an, /MTRRCAP is 0xd0a.*bits 63:11 are reserved/],
  ])("refuses MTRRCAP with %s", (_name, mtrrCap, reason) => {
    const { cap, ecap } = createProfile({ scalableMode: true, memoryTypes: true });
    const words = { ver: 0x10, cap, ecap, mtrrCap };
    expect(refusal(() => profileFromRegisters(words))).toMatch(reason);
  });

  it("lets units without memory types have other registers in the place of the MTRRs", () => {
    const places = { faultRecordOffset: 0x200, iotlbRegisterOffset: 0x100 };
    expect(createProfile({ scalableMode: true, ...places }).capabilities.FRO).toBe(0x20);
    expect(
      refusal(() => createProfile({ scalableMode: true, memoryTypes: true, ...places })),
    ).toMatch(/reaches into it/);
  });

  it("takes 52 bits where MGAW is wider, and the width given", () => {
    const { cap, ecap } = createProfile({ addressWidths: [57] });
    expect(profileFromRegisters({ ver: 0x10, cap, ecap }).hostAddressWidth).toBe(52);
    const given = profileFromRegisters({ ver: 0x10, cap, ecap, hostAddressWidth: 46 });
    expect(given.hostAddressWidth).toBe(46);
  });

  it.each([
    ["ECMDS", { ECMDS: 1 }],
    ["PMS", { ECMDS: 1, PMS: 1 }],
    ["VCS", { VCS: 1 }],
    ["RDTS", { RDTS: 1 }],
    ["TDXCS", { TDXCS: 1 }],
  ])("refuses %s, which is not implemented", (_name, more) => {
    const { capabilities } = createProfile({ scalableMode: true });
    const words = encodeCapabilities({ ...capabilities, ...more });
    expect(refusal(() => profileFromRegisters({ ver: 0x10, ...words }))).toMatch(
      /this implementation has no .*; clear/,
    );
  });

  it("refuses reserved bits", () => {
    const { cap, ecap } = createProfile();
    for (const bit of [3n, 13n, 23n, 38n, 58n]) {
      const words = { ver: 0x10, cap: cap | (1n << bit), ecap };
      expect(refusal(() => profileFromRegisters(words))).toMatch(/CAP is 0x.*reserved/);
    }
    for (const bit of [5n, 18n, 24n, 27n, 28n, 30n, 32n, 54n, 63n]) {
      const words = { ver: 0x10, cap, ecap: ecap | (1n << bit) };
      expect(refusal(() => profileFromRegisters(words))).toMatch(/ECAP is 0x.*reserved/);
    }
  });

  it("keeps every dependency of the specification", () => {
    const all = createProfile({
      scalableMode: true,
      deviceTlb: true,
      pageRequests: true,
      supervisorRequests: true,
      ridPrivilege: true,
      fiveLevelFirstStage: true,
      extendedAccessedFlag: true,
      secondStageAccessedDirty: true,
      secondStageIoPermissions: true,
      translatedWithPasid: true,
      postedInterrupts: true,
      deviceTlbThrottle: true,
      noWriteFlag: true,
      interruptRemappingRequired: true,
      eimRequired: true,
      memoryTypes: true,
    }).capabilities;
    for (const { capability, needs = [] } of CAPABILITY_RULES) {
      if (all[capability] === 0) continue;
      for (const need of needs) {
        const words = encodeCapabilities({ ...all, [need]: 0 });
        expect(refusal(() => profileFromRegisters({ ver: 0x10, ...words }))).toContain(
          `${need} is 0`,
        );
      }
    }
  });
});
