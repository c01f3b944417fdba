/** What a domain may cost: exits, turns, calls, memory, fault events. */
import { Access } from "@viommu/plugin";
import { describe, expect, it } from "vitest";
import { Errno } from "../src/index.ts";
import type { BudgetLimits } from "../src/index.ts";
import { Gcmd, GuestTables, INTERRUPTS_ALL, Reg } from "./guest-tables.ts";
import { BASE, dmaRequest, GUEST, L2_IR, readRegister, XenHost } from "./xen-host.ts";

const NIC = 0x0010;

function guest(budget: Partial<BudgetLimits>, host = new XenHost(), domid = GUEST) {
  const made = host.guestWithUnit(L2_IR, { budget, domid });
  return { host, tables: new GuestTables(made.unit, made.memory).start(), ...made };
}

const fullQueue = Array.from({ length: 200 }, () => INTERRUPTS_ALL);

describe("descriptors", () => {
  it("D3: an exit processes as many as it may, a turn goes on; counters tell", () => {
    const { host, tables, unit, domain } = guest({
      descriptorsPerExit: 10,
      descriptorsPerTurn: 50,
    });
    const complete = tables.flush(...fullQueue);
    expect(readRegister(unit, Reg.IQH)).toBe(160);
    expect([domain.pending, domain.counters.exitContinuations]).toEqual([true, 1]);
    const turns = [1, 2, 3, 4, 5].map(() => host.registry.run());
    expect(turns).toEqual([50, 50, 50, 41, 0]);
    expect([complete(), domain.pending, domain.counters.descriptorsLater]).toEqual([
      true,
      false,
      191,
    ]);
  });

  it("every domain has its turn, and none is always the first", () => {
    const host = new XenHost();
    const limits = { descriptorsPerExit: 1, descriptorsPerTurn: 20 };
    const guests = [1, 2, 3].map((domid) => guest(limits, host, domid));
    for (const { tables } of guests) tables.flush(...fullQueue);
    const order: number[] = [];
    for (const { domain } of guests) {
      const run = domain.run.bind(domain);
      domain.run = (budget) => {
        order.push(domain.domid);
        return run(budget);
      };
    }
    expect([host.registry.run(), host.registry.run()]).toEqual([60, 60]);
    expect(order.slice(0, 3)).not.toEqual(order.slice(3));
    expect([...order.slice(0, 3)].sort()).toEqual([1, 2, 3]);
    for (const { domain } of guests) expect(domain.counters.descriptorsLater).toBe(40);
  });

  it("the units of one domain share its turn", () => {
    const { host, tables, domain, units, memory } = guest({
      descriptorsPerExit: 1,
      descriptorsPerTurn: 64,
    });
    host.client.create(GUEST, { base: BASE + 0x1000, capabilities: L2_IR, segment: 1 });
    const other = new GuestTables(units[1]!, memory, 0x80_0000).start();
    tables.flush(...fullQueue);
    other.flush(...fullQueue);
    let turns = 0;
    for (; domain.pending; turns += 1) expect(host.registry.run()).toBeLessThanOrEqual(64);
    expect(turns).toBe(Math.ceil(400 / 64));
  });
});

describe("host memory", () => {
  it("is one quota for units and for the shadow tables of passed-through devices", () => {
    const { host, domain } = guest({ frames: 200 });
    expect([domain.frames.used, domain.frames.free]).toEqual([64, 136]);
    // the part of a paging space: PagingSpaceOptions.frameQuota
    expect(domain.frames.take(100)).toBe(true);
    const second = { base: BASE + 0x1000, capabilities: L2_IR, segment: 1 };
    expect(host.client.create(GUEST, second)).toBe(-Errno.ENOMEM);
    expect(domain.frames.take(37)).toBe(false);
    domain.frames.give(100);
    expect(host.client.create(GUEST, second)).toBe(1);
  });

  it("belongs to one domain: another one's is untouched", () => {
    const host = new XenHost();
    const [one, two] = [guest({ frames: 64 }, host, 1), guest({ frames: 128 }, host, 2)];
    expect([one.domain.frames.free, two.domain.frames.free]).toEqual([0, 64]);
  });
});

describe("fault events", () => {
  /** A guest that unmasks its event and takes each record at once, so that every fault raises one. */
  function stormy(perSecond: number, host = new XenHost(), domid = GUEST) {
    const made = guest({ faultEventsPerSecond: perSecond }, host, domid);
    const { unit } = made;
    unit.write(Reg.FECTL + 4, 4, 0x51, 0);
    unit.write(Reg.FECTL + 8, 4, 0xfee0_1000 | 0, 0);
    unit.write(Reg.FECTL + 12, 4, 0x100, 0);
    unit.write(Reg.FECTL, 4, 0, 0);
    const fault = (): void => {
      unit.dma.translate(dmaRequest(NIC, 0x5000, Access.WRITE));
      const record = Reg.FRCD + 16 * ((readRegister(unit, Reg.FSTS) >>> 8) & 0xff);
      unit.write(record + 12, 4, 1 << 31, 0);
    };
    return { ...made, fault };
  }

  it("come as many per second as they may; the rest is merged and comes later", () => {
    const { host, fault, messages, domain } = stormy(10);
    host.registry.advance(0);
    for (let i = 0; i < 1000; i += 1) fault();
    expect([domain.counters.faults, messages.length, domain.faultEvents.held]).toEqual([
      1000, 10, 990,
    ]);
    host.registry.advance(99);
    expect(messages.length).toBe(10);
    host.registry.advance(100);
    expect(messages.length).toBe(11);
    host.registry.advance(10_000);
    expect(messages.length).toBe(11);
    for (let i = 0; i < 1000; i += 1) fault();
    expect(messages.length).toBe(21);
    expect(new Set(messages.map(String))).toEqual(new Set(["256,4276097024,81"]));
  });

  it("a clock that goes back gives nothing", () => {
    const { host, fault, messages } = stormy(2);
    for (let i = 0; i < 10; i += 1) fault();
    for (const now of [0, -5, 0, -1000, 0]) host.registry.advance(now);
    expect(messages.length).toBe(2);
  });

  it("of another domain are not held up, and completion events pass", () => {
    const host = new XenHost();
    const one = stormy(1, host, 1);
    const two = stormy(1, host, 2);
    for (let i = 0; i < 100; i += 1) one.fault();
    two.fault();
    expect([one.messages.length, two.messages.length]).toEqual([1, 1]);
    const { unit, tables } = one;
    unit.write(0xa4, 4, 0x61, 0); // IEDATA
    unit.write(0xa8, 4, 0xfee0_1000 | 0, 0);
    unit.write(0xa0, 4, 0, 0); // IECTL: unmasked
    for (let i = 0; i < 5; i += 1) {
      tables.submit([0x15, 0, 0, 0]); // a wait with IF
      unit.write(0x9c, 4, 1, 0); // ICS.IWC
    }
    expect(one.messages.filter(([, , data]) => data === 0x61).length).toBe(5);
  });

  it("that were put off go away with their unit", () => {
    const { host, fault, messages, unit } = stormy(1);
    for (let i = 0; i < 3; i += 1) fault();
    unit.write(Reg.GCMD, 4, Gcmd.QIE, 0);
    unit.write(Reg.GCMD, 4, 0, 0);
    expect(host.client.destroy(GUEST, 0)).toBe(0);
    host.registry.advance(5000);
    expect(messages.length).toBe(1);
  });
});
