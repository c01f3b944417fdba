/**
 * A device does not answer an invalidation of its translations (VT-d 4.3, 6.5.2.11): the unit times
 * out, the driver sees ITE, and the queue goes on; an answer that comes after all is the error ICE.
 */
import { createAtcRouter } from "@viommu/memory";
import { Access } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { CopyDevice } from "./support/copy-device.ts";
import { Reg } from "./support/guest.ts";
import { deviceTlb, ScalableGuest } from "./support/scalable-guest.ts";

const DEVICE = 0x18;
const GONE = 0x20;
const PASID = 1;
const [ICE, ITE] = [0x20, 0x40];

function setUp() {
  const devices = createAtcRouter();
  const guest = new ScalableGuest({ devices });
  const device = new CopyDevice(guest, devices, DEVICE);
  guest.addDevice(DEVICE);
  const tables = guest.firstStage().map(0x5000n, guest.alloc());
  guest.bind(PASID, tables, 1);
  return { guest, device, tables };
}

describe("a device-TLB that does not answer", () => {
  it("times out; its wait is never completed, and the driver goes on after ITE", () => {
    const { guest, device } = setUp();
    const stuck = device.port(PASID).segments(0x5000, 64, Access.READ);
    const wait = guest.flushLater(deviceTlb(DEVICE, BigInt(PASID)));
    expect(guest.hasCompleted(wait)).toBe(false);
    // the host has the clock
    guest.unit.deviceTlbTimedOut(DEVICE);
    expect(guest.read32(Reg.FSTS)).toBe(ITE);
    expect((guest.read64(Reg.IQERCD) >> 32n) & 0xffffn).toBe(BigInt(DEVICE));
    guest.write32(Reg.FSTS, ITE);
    expect(guest.hasCompleted(wait)).toBe(false);

    stuck.release();
    expect(guest.read32(Reg.FSTS)).toBe(ICE);
    expect(guest.read64(Reg.IQERCD) >> 48n).toBe(BigInt(DEVICE));
    guest.write32(Reg.FSTS, ICE);
    expect(guest.flush(deviceTlb(DEVICE, BigInt(PASID)))).toBe(true);
    expect(guest.read32(Reg.FSTS)).toBe(0);
  });

  it("times out at once where no device is", () => {
    const { guest } = setUp();
    expect(guest.flush(deviceTlb(GONE, BigInt(PASID)))).toBe(false);
    expect(guest.read32(Reg.FSTS)).toBe(ITE);
    guest.write32(Reg.FSTS, ITE);
    // the wait behind the descriptor was not fetched yet
    expect(guest.flush()).toBe(true);
  });
});
