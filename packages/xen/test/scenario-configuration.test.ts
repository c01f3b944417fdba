/** Acceptance scenario 12: mistakes are refused with a clear text, and DMAR is there only when asked for. */
import { describe, expect, it } from "vitest";
import { Errno, parseXlConfig, readXlDomain } from "../src/index.ts";
import { BASE, GUEST, L2_IR, XenHost } from "./xen-host.ts";

const config = (viommu: string): string => `name = "g"\ntype = "hvm"\nviommu = [ ${viommu} ]\n`;

describe("12. configuration", () => {
  it.each([
    ["'type=amd_vi'"],
    ["'intremap=1'"],
    ["'type=intel_vtd,intremap=maybe'"],
    ["'type=intel_vtd', 'type=intel_vtd'"],
    ["'type=intel_vtd,intrmap=1'"],
  ])("%s is refused with line and column", (viommu) => {
    expect(() => readXlDomain(parseXlConfig(config(viommu), "guest.cfg"))).toThrow(
      /^guest\.cfg:3:\d+: /,
    );
  });

  it("what the toolstack makes of it is checked again by the hypercall", () => {
    const host = new XenHost();
    const { domain } = host.addGuest();
    expect(host.client.create(GUEST, { base: BASE + 1, capabilities: L2_IR })).toBe(-Errno.EINVAL);
    expect(domain.acpiTables()).toEqual([]);
  });

  it("a domain gets a DMAR with its vIOMMU, and none without", () => {
    const asked = readXlDomain(parseXlConfig(config("'type=intel_vtd'")));
    const plain = readXlDomain(parseXlConfig(`name = "g"\ntype = "hvm"\n`));
    const tables = [asked, plain].map(({ viommu }) => {
      const host = new XenHost();
      const { domain } = host.addGuest();
      if (viommu !== null) {
        expect(host.client.create(GUEST, { base: viommu.base, capabilities: L2_IR })).toBe(0);
      }
      return domain.acpiTables().map(({ signature }) => signature);
    });
    expect(tables).toEqual([["DMAR"], []]);
  });
});
