/** query, create and destroy: who may, what is refused, and that a refusal changes nothing. */
import { parseDmar } from "@viommu/acpi";
import { describe, expect, it } from "vitest";
import { Errno, ViommuCapability } from "../src/index.ts";
import type { CreateRequest } from "../src/index.ts";
import {
  BASE,
  DOM0,
  GUEST,
  INTERRUPT_REMAPPING,
  L1_TRANSLATION,
  L2_IR,
  L2_TRANSLATION,
  readRegister,
  XenHost,
} from "./xen-host.ts";

const ALL = 0x1f;
const request: CreateRequest = { base: BASE, capabilities: L2_IR };

describe("query_capabilities", () => {
  it("tells what create takes, and the limits", () => {
    const host = new XenHost();
    host.addGuest({ budget: { viommus: 3, translationsPerCall: 7 } });
    const info = { capabilities: ALL, viommus: 3, translationsPerCall: 7 };
    expect(host.client.query(GUEST)).toEqual(info);
  });
});

describe("create", () => {
  it("places a real unit and returns its id", () => {
    const host = new XenHost();
    const { units, domain } = host.addGuest();
    expect(host.client.create(GUEST, request)).toBe(0);
    expect(units.map(({ base, name }) => [base, name])).toEqual([[BASE, "dom1-viommu0"]]);
    expect(readRegister(units[0]!, 0)).toBe(0x10); // VER
    expect(domain.unitAbove(0, 0x0010)).toBe(units[0]);
    expect(domain.unitAbove(1, 0x0010)).toBeNull();
  });

  it.each([
    ["l2 and interrupt remapping", L2_IR, { SAGAW: 6, IR: 1, EIM: 1, SMTS: 0 }],
    ["l2 alone", L2_TRANSLATION, { SAGAW: 6, IR: 0 }],
    ["interrupt remapping alone", INTERRUPT_REMAPPING, { SAGAW: 0, IR: 1, EIM: 1, PT: 0 }],
    ["l1", L1_TRANSLATION, { SMTS: 1, FSTS: 1, SSTS: 0, NEST: 0 }],
    ["l1 and l2", L1_TRANSLATION | L2_TRANSLATION, { FSTS: 1, SSTS: 1, NEST: 1 }],
    ["everything", ALL, { CM: 1, PI: 1, IR: 1, NEST: 1 }],
  ])("%s", (_, capabilities, expected) => {
    const { unit } = new XenHost().guestWithUnit(capabilities);
    expect(unit.profile.capabilities).toMatchObject(expected);
  });

  it("D28: widths follow the guest's addresses", () => {
    for (const [addressWidth, sagaw] of [
      [39, 6],
      [48, 6],
      [52, 14],
    ] as const) {
      const { unit } = new XenHost().guestWithUnit(L2_IR, { addressWidth });
      expect(unit.profile.hostAddressWidth).toBe(addressWidth);
      expect(unit.profile.capabilities.SAGAW).toBe(sagaw);
    }
  });

  it("accepts any capability bits that make a unit, and throws for none", () => {
    const host = new XenHost();
    const { domain } = host.addGuest();
    for (let capabilities = 0; capabilities < 64; capabilities += 1) {
      const id = host.client.create(GUEST, { base: BASE, capabilities });
      expect([0, -Errno.EINVAL]).toContain(id);
      if (id === 0) expect(host.client.destroy(GUEST, 0)).toBe(0);
    }
    expect(domain.frames.used).toBe(0);
  });

  it.each<[string, Partial<CreateRequest>, number]>([
    ["no capability", { capabilities: 0 }, -Errno.EINVAL],
    ["a capability that is none", { capabilities: 0x20 }, -Errno.EINVAL],
    ["caching mode of nothing", { capabilities: 0x0c }, -Errno.EINVAL],
    ["posting without remapping", { capabilities: 0x12 }, -Errno.EINVAL],
    ["a base inside a page", { base: BASE + 0x800 }, -Errno.EINVAL],
    ["a base in memory", { base: 0x1000 }, -Errno.EINVAL],
    ["a base beyond the guest's addresses", { base: 2 ** 48 }, -Errno.EINVAL],
    ["a base where interrupts go", { base: 0xfee0_0000 }, -Errno.EINVAL],
    ["an empty list of devices", { devices: [] }, -Errno.EINVAL],
    ["a device twice in the list", { devices: [8, 8] }, -Errno.EINVAL],
    ["too many devices", { devices: Array.from({ length: 257 }, (_, i) => i) }, -Errno.E2BIG],
  ])("refuses %s", (_, part, errno) => {
    const host = new XenHost();
    const { units, domain } = host.addGuest();
    expect(host.client.create(GUEST, { ...request, ...part })).toBe(errno);
    expect([units.length, domain.frames.used, domain.acpiTables().length]).toEqual([0, 0, 0]);
    expect(host.client.create(GUEST, request)).toBe(0);
  });

  it("refuses a place or a device that is taken (EBUSY)", () => {
    const host = new XenHost();
    const { domain } = host.addGuest();
    const { client } = host;
    expect(client.create(GUEST, { ...request, devices: [0x10, 0x18] })).toBe(0);
    expect(client.create(GUEST, { ...request, devices: [0x20] })).toBe(-Errno.EBUSY);
    const next = BASE + 0x1000;
    expect(client.create(GUEST, { ...request, base: next, devices: [0x18] })).toBe(-Errno.EBUSY);
    expect(client.create(GUEST, { ...request, base: next, segment: 1, devices: [0x18] })).toBe(1);
    expect(client.create(GUEST, { ...request, base: BASE + 0x2000 })).toBe(2);
    expect(client.create(GUEST, { ...request, base: BASE + 0x3000 })).toBe(-Errno.EBUSY);
    expect(domain.units.map(({ id }) => id)).toEqual([0, 1, 2]);
  });

  it("refuses one more vIOMMU than the domain may have (E2BIG)", () => {
    const host = new XenHost();
    host.addGuest({ budget: { viommus: 2 } });
    for (const [segment, result] of [
      [0, 0],
      [1, 1],
      [2, -Errno.E2BIG],
    ] as const) {
      const base = BASE + segment * 0x1000;
      expect(host.client.create(GUEST, { ...request, base, segment })).toBe(result);
    }
  });

  it("D17: without memory it is -ENOMEM, a negative number, and nothing is there", () => {
    const host = new XenHost();
    const { units, domain } = host.addGuest({ budget: { frames: 63 } });
    expect(host.client.create(GUEST, request)).toBe(-12);
    expect([units.length, domain.units.length, domain.frames.used]).toEqual([0, 0, 0]);
    expect(domain.unitAbove(0, 0x10)).toBeNull();
  });

  it("D22: without a vIOMMU there is no DMAR, with one it names its registers", () => {
    const host = new XenHost();
    const ioApics = [{ id: 1, sourceId: 0xff00 }];
    const { domain } = host.addGuest({ ioApics });
    expect(domain.acpiTables()).toEqual([]);
    host.client.create(GUEST, { ...request, base: BASE + 0x1000, devices: [0x10] });
    host.client.create(GUEST, request);
    const [table, ...more] = domain.acpiTables();
    expect([table!.signature, more]).toEqual(["DMAR", []]);
    const { table: dmar, problems } = parseDmar(table!.build());
    expect(problems).toEqual([]);
    expect(dmar.hostAddressWidth).toBe(48);
    expect(dmar.structures).toMatchObject([
      { registerBase: BASE + 0x1000, flags: [], scopes: [{ type: "PCI_ENDPOINT" }] },
      {
        registerBase: BASE,
        flags: ["INCLUDE_PCI_ALL"],
        scopes: [{ type: "IOAPIC", enumerationId: 1, startBus: 0xff }],
      },
    ]);
    host.client.destroy(GUEST, 0);
    host.client.destroy(GUEST, 1);
    expect(domain.acpiTables()).toEqual([]);
  });

  it("D27: a domain without vIOMMUs refuses every operation instead of succeeding", () => {
    const host = new XenHost();
    host.addGuest({ budget: { viommus: 0 } });
    expect(host.client.query(GUEST)).toBe(-Errno.ENOSYS);
    expect(host.client.create(GUEST, request)).toBe(-Errno.ENOSYS);
    expect(host.client.destroy(GUEST, 0)).toBe(-Errno.ENOSYS);
    expect(host.client.drained(GUEST, 0, 1)).toBe(-Errno.ENOSYS);
  });
});

describe("destroy", () => {
  it("takes the unit off the bus; its id and place are free again", () => {
    const host = new XenHost();
    const { units } = host.addGuest();
    host.client.create(GUEST, request);
    expect(host.client.destroy(GUEST, 0)).toBe(0);
    expect(units).toEqual([]);
    expect(host.client.destroy(GUEST, 0)).toBe(-Errno.ENOENT);
    expect(host.client.create(GUEST, request)).toBe(0);
  });

  it("leaves a unit that its guest uses (EBUSY), until the domain ends", () => {
    const host = new XenHost();
    const { unit, units } = host.guestWithUnit();
    unit.write(0x18, 4, 1 << 26, 0); // QIE
    expect(host.client.destroy(GUEST, 0)).toBe(-Errno.EBUSY);
    unit.write(0x18, 4, 0, 0);
    const ticket = unit.dma.enter();
    expect(host.client.destroy(GUEST, 0)).toBe(-Errno.EBUSY);
    unit.dma.leave(ticket);
    unit.write(0x18, 4, 1 << 26, 0);
    host.registry.removeDomain(GUEST);
    expect(units).toEqual([]);
    expect(host.client.query(GUEST)).toBe(-Errno.ESRCH);
  });

  it("D19: needs no memory and leaks none, however often", () => {
    const host = new XenHost();
    const { domain } = host.addGuest({ budget: { frames: 64 } });
    for (let round = 0; round < 200; round += 1) {
      expect(host.client.create(GUEST, request)).toBe(0);
      expect(domain.frames.free).toBe(0);
      expect(host.client.destroy(GUEST, 0)).toBe(0);
      expect(domain.frames.used).toBe(0);
    }
  });
});

describe("who may", () => {
  it("the control domain everything, a device model only ask, others nothing (EPERM)", () => {
    const host = new XenHost();
    host.addGuest({ domid: 5 }); // a stub domain
    host.addGuest({ domid: 6, deviceModel: 5 });
    host.addGuest({ domid: 7 });
    const stub = host.clientOf(5);
    expect(stub.query(6)).toMatchObject({ viommus: 8 });
    expect(stub.create(6, request)).toBe(-Errno.EPERM);
    expect(stub.destroy(6, 0)).toBe(-Errno.EPERM);
    for (const target of [7, 5, DOM0, 99]) expect(stub.query(target)).toBe(-Errno.EPERM);
    expect(host.client.query(99)).toBe(-Errno.ESRCH);
    expect(host.client.create(6, request)).toBe(0);
  });

  it("two domains have the same ids and places, and nothing in common", () => {
    const host = new XenHost();
    const one = host.guestWithUnit();
    const two = host.guestWithUnit(INTERRUPT_REMAPPING, { domid: 2 });
    one.unit.write(0x18, 4, 1 << 26, 0);
    expect(readRegister(one.unit, 0x1c)).toBe((1 << 26) >>> 0);
    expect(readRegister(two.unit, 0x1c)).toBe(0);
    expect(ViommuCapability.INTERRUPT_REMAPPING).toBe(4);
  });

  it("a host's own mistakes throw", () => {
    const host = new XenHost();
    const code = expect.objectContaining({ code: "ERR_VIOMMU_XEN_DOMAIN" }) as Error;
    for (const machine of [{ domid: DOM0 }, { domid: -1 }, { domid: 0x7ff0 }, { addressWidth: 31 }])
      expect(() => host.addGuest(machine)).toThrow(code);
    expect(() => host.registry.viommuOp(9, 0, 0)).toThrow(code);
    expect(() => {
      host.registry.removeDomain(9);
    }).toThrow(code);
    expect(() => host.addGuest({ budget: { frames: -1 } })).toThrow("budget frames is -1");
  });
});
