/** Acceptance scenario 9: a domain is saved while the queue of its vIOMMU stands on an error. */
import { describe, expect, it } from "vitest";
import { GuestTables, IOTLB_GLOBAL, Reg } from "./guest-tables.ts";
import { L2_IR, MIB, readRegister, XenHost } from "./xen-host.ts";

const IQE = 0x10;

describe("9. a queue that stands with IQE", () => {
  it("is saved, restored on another host, cleared by the guest, and goes on", () => {
    const source = new XenHost().guestWithUnit(L2_IR);
    const tables = new GuestTables(source.unit, source.memory).start();
    const bad = readRegister(source.unit, Reg.IQT);
    const queue = readRegister(source.unit, Reg.IQA);
    const complete = tables.flush([0x0f, 0, 0, 0]);
    expect([complete(), readRegister(source.unit, Reg.FSTS) & IQE]).toEqual([false, IQE]);

    // the toolstack of the other host creates the same vIOMMU by hypercall, and gives it its state
    const target = new XenHost().guestWithUnit(L2_IR);
    const bytes = new Uint8Array(16 * MIB);
    source.memory.readBytes(0, 0, bytes);
    target.memory.writeBytes(0, 0, bytes);
    target.unit.restore(source.unit.save());
    expect(readRegister(target.unit, Reg.FSTS) & IQE).toBe(IQE);
    expect([readRegister(target.unit, Reg.IQH), target.domain.pending]).toEqual([bad, false]);

    // the guest mends the descriptor and clears the error
    target.memory.writeBytes(0, queue + bad, new Uint8Array(Int32Array.from(IOTLB_GLOBAL).buffer));
    target.unit.write(Reg.FSTS, 4, IQE, 0);
    expect(readRegister(target.unit, Reg.FSTS) & IQE).toBe(0);
    expect(readRegister(target.unit, Reg.IQH)).toBe(readRegister(target.unit, Reg.IQT));
    expect(complete()).toBe(false); // the source has stopped
  });
});
