import { describe, expect, it } from "vitest";
import { createPhysicalDevice } from "../src/index.ts";
import { DEVICE, guestHost, VIRTUAL } from "./support/guest-host.ts";
import type { GuestHost, GuestHostOptions } from "./support/guest-host.ts";
import { GuestKernel } from "./support/guest-kernel.ts";

/** IRTE of the guest for vector 31h, APIC id `destination`, from the device alone (VT-d 9.9). */
const entry = (destination: number, vector = 0x31): readonly [bigint, bigint] => [
  (BigInt(destination) << 32n) | BigInt(vector << 16) | 1n,
  0x40000n | BigInt(VIRTUAL),
];
type SetEntry = (this: void, index: number, words: readonly [bigint, bigint]) => void;
const TABLE = 0x300;
/** Remappable, index 12h. */
const MESSAGE = { address: 0xfee00250, upper: 0, data: 0 };

function withRemapping(
  options: GuestHostOptions = {},
): GuestHost & { kernel: GuestKernel; set: SetEntry } {
  const made = guestHost(options);
  const { memory, unit } = made;
  const kernel = new GuestKernel(memory, unit);
  unit.write(0xb8, 8, (TABLE * 4096) | 0x807, 0); // 256 entries, EIME
  unit.write(0x18, 4, (1 << 26) | (1 << 24), 0); // SIRTP
  unit.write(0x18, 4, (1 << 26) | (1 << 25), 0); // IRE
  return {
    ...made,
    kernel,
    set: (index, [low, high]) => {
      memory.write64(TABLE * 4096 + 16 * index + 8, high);
      memory.write64(TABLE * 4096 + 16 * index, low);
    },
  };
}

const entryInvalidation = (index: number): bigint[] => [0x14n | (BigInt(index) << 32n), 0n];

describe("interrupts of a passed-through device", () => {
  it("go where the guest's entry says, with 32 bits of destination", () => {
    const { delivered, device, driver, set } = withRemapping();
    set(0x12, entry(0x12345));
    const handle = driver.bindInterrupt(DEVICE, MESSAGE);
    expect(device.interrupt(handle)).toBe(0);
    expect(delivered).toEqual([[0x12300, 0xfee45000 | 0, 0x4031]]);
  });

  it("follow the guest's entry when the guest invalidates it, and no other", () => {
    const { delivered, device, driver, kernel, set } = withRemapping();
    set(0x12, entry(1));
    set(0x13, entry(2));
    const first = driver.bindInterrupt(DEVICE, MESSAGE);
    const second = driver.bindInterrupt(DEVICE, { ...MESSAGE, address: 0xfee00270 });
    set(0x12, entry(5));
    set(0x13, entry(6));
    kernel.submit(entryInvalidation(0x12));
    expect(driver.counters.interruptRebinds).toBe(1);
    device.interrupt(first);
    device.interrupt(second);
    expect(delivered.map(([, address]) => (address! >>> 12) & 0xff)).toEqual([5, 2]);
    kernel.submit([0x4n, 0n]);
    expect(driver.counters.interruptRebinds).toBe(3);
    device.interrupt(second);
    expect(delivered.at(-1)![1]! >>> 12).toBe(0xfee06);
  });

  it("are blocked where the guest's entry is not for them, and the guest sees why", () => {
    const { delivered, device, driver, hostFaults, kernel, set } = withRemapping();
    set(0x12, [entry(1)[0], 0x40000n | 0x55n]);
    const handle = driver.bindInterrupt(DEVICE, MESSAGE);
    expect(device.interrupt(handle)).not.toBe(0);
    expect(delivered).toEqual([]);
    expect(kernel.faults()).toMatchObject([{ sourceId: VIRTUAL, reason: 0x26 }]);
    expect(hostFaults).toEqual([]);
    set(0x12, entry(3));
    kernel.submit(entryInvalidation(0x12));
    expect(device.interrupt(handle)).toBe(0);
  });

  it("are posted where the host has a descriptor for the destination", () => {
    const asked: (readonly [number, boolean])[] = [];
    const { delivered, device, driver, host, kernel, set } = withRemapping({
      physical: { postedInterrupts: true },
      driver: {
        postedTarget: (destination, logical) => {
          asked.push([destination, logical]);
          return destination === 0x10007 ? { descriptor: 0x40, urgent: true } : null;
        },
      },
    });
    host.write64(0x1020, 0x9_00f1_0000n); // notification vector F1h to APIC id 9
    set(0x12, entry(0x10007, 0x41));
    const handle = driver.bindInterrupt(DEVICE, MESSAGE);
    expect(device.interrupt(handle)).toBe(0);
    expect(asked).toEqual([[0x10007, false]]);
    expect(host.read64(0x1008) & 0xffffn).toBe(2n); // vector 41h is pending
    expect(delivered).toHaveLength(1);
    set(0x12, [entry(0x10007, 0x41)[0] | 0x80n, entry(0)[1]]); // NMI: not by a descriptor
    kernel.submit(entryInvalidation(0x12));
    device.interrupt(handle);
    expect(delivered.at(-1)![2]! & 0x700).toBe(0x400);
  });

  it("are bound anew when remapping is switched, and when the guest writes another message", () => {
    const { delivered, device, driver, unit } = withRemapping();
    const handle = driver.bindInterrupt(DEVICE, { address: 0xfee07000, upper: 0, data: 0x55 });
    expect(device.interrupt(handle)).not.toBe(0); // compatibility format is blocked under EIME
    unit.write(0x18, 4, 1 << 26, 0);
    expect(device.interrupt(handle)).toBe(0);
    driver.changeInterrupt(handle, { address: 0xfee08000, upper: 0, data: 0x56 });
    device.interrupt(handle);
    expect(delivered.map(([, address, data]) => [address! >>> 12, data! & 0xff])).toEqual([
      [0xfee07, 0x55],
      [0xfee08, 0x56],
    ]);
  });

  it("end when the device is taken back", () => {
    const { device, driver, physical, set } = withRemapping();
    set(0x12, entry(1));
    const handle = driver.bindInterrupt(DEVICE, MESSAGE);
    expect(driver.report().interrupts).toBe(1);
    driver.unassign(DEVICE);
    expect(driver.report().interrupts).toBe(0);
    expect(createPhysicalDevice(physical, DEVICE).interrupt(handle)).not.toBe(0);
    expect(device.sourceId).toBe(DEVICE);
    expect(() => {
      driver.unbindInterrupt(handle);
    }).toThrow(expect.objectContaining({ code: "ERR_VIOMMU_ASSIGN" }));
  });
});
