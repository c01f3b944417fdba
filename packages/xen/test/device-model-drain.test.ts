/** In-flight DMA of a device model: no invalidation is complete before it has ended. */
import { createDmaPort } from "@viommu/memory";
import { Access } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { DummyViommu, Errno } from "../src/index.ts";
import { Gcmd, GuestTables, iotlbPage, Reg } from "./guest-tables.ts";
import { BASE, DOM0, GUEST, L2_IR, readRegister, XenHost } from "./xen-host.ts";

const NIC = 0x0010;

function draining() {
  const host = new XenHost();
  const guest = host.guestWithUnit();
  const dummy = new DummyViommu({ client: host.client, domid: GUEST });
  guest.domain.connect(DOM0, dummy);
  const tables = new GuestTables(guest.unit, guest.memory).start();
  tables.mapPage(NIC, 0x1000, 0x80_0000);
  const port = createDmaPort({ memory: guest.memory, remapper: dummy, sourceId: NIC });
  return { host, dummy, tables, port, ...guest };
}

describe("drain", () => {
  it("a wait descriptor completes when the transfer that began before it has ended", () => {
    const { host, tables, port, memory, domain } = draining();
    const transfer = port.segments(0x1000, 16, Access.WRITE);
    tables.unmapPage(NIC, 0x1000);
    const calls = host.client.hypercalls;
    const complete = tables.flush(iotlbPage(0x1000));
    expect(complete()).toBe(false);
    transfer.views[0]!.fill(7);
    transfer.release();
    expect(complete()).toBe(true);
    expect(memory.read32(0x80_0000)).toBe(0x0707_0707);
    expect(host.client.hypercalls - calls).toBe(1);
    expect(domain.counters.drains).toBe(1);
    expect(port.segments(0x1000, 16, Access.WRITE).result).toBe(5);
  });

  it("costs no hypercall while nothing is in flight", () => {
    const { host, tables, domain } = draining();
    const calls = host.client.hypercalls;
    for (let i = 0; i < 100; i += 1) expect(tables.sync()()).toBe(true);
    expect([host.client.hypercalls - calls, domain.counters.drains]).toEqual([0, 0]);
  });

  it("a hundred invalidations during one transfer wait for it with one hypercall", () => {
    const { host, dummy, tables, domain } = draining();
    const ticket = dummy.enter();
    const before = host.client.hypercalls;
    const first = tables.sync();
    for (let i = 0; i < 100; i += 1) tables.submit(iotlbPage(0x1000));
    expect([first(), domain.counters.drains]).toEqual([false, 1]);
    dummy.leave(ticket);
    expect([first(), host.client.hypercalls - before]).toEqual([true, 1]);
    expect(tables.sync()()).toBe(true);
  });

  it("what begins after an invalidation does not hold it up", () => {
    const { dummy, tables } = draining();
    const before = dummy.enter();
    const complete = tables.sync();
    dummy.enter();
    dummy.leave(before);
    expect(complete()).toBe(true);
  });

  it("holds for every command that reports completion: IVT, TE, SRTP", () => {
    const { dummy, tables, unit } = draining();
    const ticket = dummy.enter();
    tables.command(Gcmd.TE, false);
    expect(readRegister(unit, Reg.GSTS) & Gcmd.TE).not.toBe(0);
    dummy.leave(ticket);
    expect(readRegister(unit, Reg.GSTS) & Gcmd.TE).toBe(0);

    tables.command(Gcmd.QIE, false);
    const next = dummy.enter();
    unit.write(Reg.IOTLB, 8, 0, (1 << 31) | (1 << 28));
    expect(readRegister(unit, Reg.IOTLB + 4) >>> 31).toBe(1);
    dummy.leave(next);
    expect(readRegister(unit, Reg.IOTLB + 4) >>> 31).toBe(0);

    const last = dummy.enter();
    tables.command(Gcmd.SRTP);
    expect(readRegister(unit, Reg.GSTS) & Gcmd.SRTP).toBe(0);
    dummy.leave(last);
    expect(readRegister(unit, Reg.GSTS) & Gcmd.SRTP).not.toBe(0);
  });

  it("each of two vIOMMUs waits for itself", () => {
    const { host, dummy, tables, units, memory } = draining();
    host.client.create(GUEST, { base: BASE + 0x1000, capabilities: L2_IR, segment: 1 });
    const other = new GuestTables(units[1]!, memory, 0xa0_0000 - 0x20_0000).start();
    const ticket = dummy.enter();
    const [first, second] = [tables.sync(), other.sync()];
    expect([first(), second()]).toEqual([false, false]);
    dummy.leave(ticket);
    expect([first(), second()]).toEqual([true, true]);
  });

  it("tickets that nobody waits for are refused, those of another caller too (ENOENT)", () => {
    const { host, dummy, tables } = draining();
    expect(host.client.drained(GUEST, 0, 1)).toBe(-Errno.ENOENT);
    const ticket = dummy.enter();
    const complete = tables.sync();
    host.addGuest({ domid: 9, control: true });
    expect(host.clientOf(9).drained(GUEST, 0, 1)).toBe(-Errno.ENOENT);
    expect(host.client.drained(GUEST, 5, 1)).toBe(-Errno.ENOENT);
    expect(complete()).toBe(false);
    dummy.leave(ticket);
    expect(complete()).toBe(true);
    expect(() => {
      dummy.leave(ticket);
    }).toThrow("no access with ticket");
  });

  it("a model that is connected in the middle of an access is waited for, too", () => {
    const { host, tables, domain } = draining();
    const late = new DummyViommu({ client: host.client, domid: GUEST });
    const ticket = late.enter();
    domain.connect(DOM0, late);
    const complete = tables.sync();
    expect(complete()).toBe(false);
    late.leave(ticket);
    expect(complete()).toBe(true);
  });

  it("a vIOMMU is not destroyed while a model has an access in flight (EBUSY)", () => {
    const host = new XenHost();
    const { domain } = host.guestWithUnit();
    const dummy = new DummyViommu({ client: host.client, domid: GUEST });
    domain.connect(DOM0, dummy);
    const ticket = dummy.enter();
    expect(host.client.destroy(GUEST, 0)).toBe(-Errno.EBUSY);
    expect(host.client.destroy(GUEST, 0)).toBe(-Errno.EBUSY);
    dummy.leave(ticket);
    expect(host.client.destroy(GUEST, 0)).toBe(0);
  });

  it("a domain may end while one waits", () => {
    const { host, dummy, tables } = draining();
    const ticket = dummy.enter();
    tables.sync();
    host.registry.removeDomain(GUEST);
    dummy.leave(ticket); // the hypercall is refused, and that is all
    expect(host.client.query(GUEST)).toBe(-Errno.ESRCH);
  });
});
