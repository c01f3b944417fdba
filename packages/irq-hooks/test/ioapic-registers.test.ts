import { describe, expect, it } from "vitest";
import { GuestIoapic } from "./ioapic-machine.ts";

describe("the register window (82093AA, 3.1)", () => {
  it("selects with the byte at 00h and shows the dword at 10h", () => {
    const { chip } = new GuestIoapic();
    const out = new Int32Array(2);
    chip.write(0x00, 1, 0x101);
    chip.read(0x00, 4, out);
    expect(out[0]).toBe(0x01);
    chip.read(0x10, 4, out);
    expect(out[0]).toBe(0x0017_0020);
  });

  it("takes only dwords at 10h, and nothing wider or elsewhere", () => {
    const guest = new GuestIoapic();
    const out = new Int32Array([7, 7]);
    guest.chip.write(0x00, 4, 0x10);
    guest.chip.write(0x10, 1, 0x31);
    guest.chip.write(0x10, 8, 0x31);
    guest.chip.write(0x14, 4, 0x31);
    expect(guest.read(0x10)).toBe(0x0001_0000);
    for (const [offset, size] of [
      [0x10, 8],
      [0x10, 2],
      [0x20, 4],
      [0x40, 4],
      [0xffc, 4],
    ] as const) {
      guest.chip.read(offset, size, out);
      expect([...out]).toEqual([0, 0]);
    }
  });
});

describe("identification, version and arbitration (82093AA, 3.2.1 to 3.2.3)", () => {
  it("has the version of an 82093AA with 24 entries: 00170011h", () => {
    expect(new GuestIoapic({ version: 0x11 }).read(1)).toBe(0x0017_0011);
  });

  it.each([
    [24, 0x0017_0020],
    [120, 0x0077_0020],
    [240, 0x00ef_0020],
  ])("tells %i pins in the version", (pins, version) => {
    expect(new GuestIoapic({ pins }).read(1)).toBe(version);
  });

  it("keeps bits 27:24 of the id, which arbitration takes over", () => {
    const guest = new GuestIoapic({ id: 2 });
    expect(guest.read(0)).toBe(0x0200_0000);
    guest.write(0, 0xffff_ffff);
    expect(guest.read(0)).toBe(0x0f00_0000);
    expect(guest.read(2)).toBe(0x0f00_0000);
    guest.write(1, 0);
    guest.write(2, 0);
    expect(guest.read(1)).toBe(0x0017_0020);
    expect(guest.read(2)).toBe(0x0f00_0000);
  });

  it("reads 0 where there is no register", () => {
    const guest = new GuestIoapic();
    expect(guest.read(3)).toBe(0);
    expect(guest.read(0x0f)).toBe(0);
    expect(guest.read(0x40)).toBe(0);
    guest.write(0x40, 0);
    expect(guest.read(0x40)).toBe(0);
  });
});

describe("redirection entries (82093AA, 3.2.4)", () => {
  it("are masked after power-on", () => {
    const guest = new GuestIoapic();
    for (let pin = 0; pin < 24; pin += 1) expect(guest.entry(pin)).toEqual([0, 0x0001_0000]);
  });

  it("keep bits 63:48, 16, 15, 13 and 11:0; status and remote IRR are read-only", () => {
    const guest = new GuestIoapic();
    guest.program(23, 0xffff_ffff, 0xffff_ffff);
    expect(guest.entry(23)).toEqual([0xffff_0000, 0x0001_afff]);
  });

  it("keep bits 63:56 of the high half only in an 82093AA", () => {
    const guest = new GuestIoapic({ version: 0x11 });
    guest.program(0, 0xffff_ffff, 0x0001_0000);
    expect(guest.entry(0)).toEqual([0xff00_0000, 0x0001_0000]);
  });

  it("hold what Linux writes for a remapped pin", () => {
    const guest = new GuestIoapic();
    guest.program(9, 0x0007_0000, 0x0001_a009);
    expect(guest.entry(9)).toEqual([0x0007_0000, 0x0001_a009]);
  });

  it("reach the last of 240 through a 9-bit index", () => {
    const guest = new GuestIoapic({ pins: 240 });
    guest.program(239, 0x1200_0000, 0x0001_0031);
    expect(guest.entry(239)).toEqual([0x1200_0000, 0x0001_0031]);
    expect(guest.entry(111)).toEqual([0, 0x0001_0000]);
  });

  it("go back to power-on state with a reset", () => {
    const guest = new GuestIoapic({ id: 3 });
    guest.write(0, 0x0500_0000);
    guest.program(4, 0x0100_0000, 0x31);
    guest.chip.reset();
    expect(guest.entry(4)).toEqual([0, 0x0001_0000]);
    expect(guest.read(0)).toBe(0x0300_0000);
  });
});

describe("the host's mistakes", () => {
  it.each([
    [{ pins: 0 }, "ERR_VIOMMU_IOAPIC"],
    [{ pins: 241 }, "ERR_VIOMMU_IOAPIC"],
    [{ id: 16 }, "ERR_VIOMMU_IOAPIC"],
    [{ version: 0x90 }, "ERR_VIOMMU_IOAPIC"],
    [{ lowActive: [24] }, "ERR_VIOMMU_IOAPIC"],
  ])("%o is refused", (options, code) => {
    expect(() => new GuestIoapic(options)).toThrow(expect.objectContaining({ code }));
  });

  it("refuses a pin that is not there, by name", () => {
    const { chip } = new GuestIoapic();
    expect(() => {
      chip.setPin(24, true);
    }).toThrow(/"ioapic" has no pin 24; its pins are 0 to 23/);
  });
});
