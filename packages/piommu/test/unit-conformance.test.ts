import { physicalIommuConformance } from "@viommu/conformance";
import { describe, expect, it } from "vitest";
import { FULL, LEGACY } from "./support/unit-host.ts";
import { unitHarness } from "./support/unit-harness.ts";

describe.each([
  ["scalable mode", FULL],
  ["scalable mode, few domain ids, 4 KiB pages", { ...FULL, domainIdBits: 6, pageSizes: ["4K"] }],
  ["scalable mode, three levels", { ...FULL, addressWidths: [39] }],
  ["legacy mode", LEGACY],
  ["scalable mode, devices that cache", { ...FULL, noWriteFlag: true, pageRequests: true }, true],
  ["legacy mode, devices that cache", LEGACY, true],
  ["legacy mode, 8-bit APIC ids, no page-selective invalidation", { eim: false, pageSelectiveInvalidation: false, maxAddressMask: 0 }], // prettier-ignore
] as const)(
  "the model of a unit keeps the contract of PhysicalIommu: %s",
  (_name, profile, ats?: boolean) => {
    const checks = physicalIommuConformance(() => unitHarness(profile, {}, ats));
    for (const check of checks) it(check.name, check.run);

    it("in all checks that its abilities call for", () => {
      expect(checks.length).toBeGreaterThan(18);
    });
  },
);
