/**
 * A hostile domain beside a well-behaved one, in a round-robin scheduler that gives each turn the
 * same work: what the hostile one makes its host do must come out of its own turns. Work is counted
 * in operations: exits, requests of devices, messages, and accesses of units to guest memory.
 */
import { SecondStageTable } from "@viommu/conformance";
import { createDmaPort } from "@viommu/memory";
import type { ChunkedMemory } from "@viommu/memory";
import { Access, InterruptRequest } from "@viommu/plugin";
import type { VtdUnit } from "@viommu/vtd";
import { describe, expect, it } from "vitest";
import { DummyViommu } from "../src/index.ts";
import type { BudgetLimits, XenDomain } from "../src/index.ts";
import { CountingMemory } from "./counting-memory.ts";
import { Gcmd, GuestTables, iotlbPage, Reg } from "./guest-tables.ts";
import { dmaRequest, DOM0, L2_IR, readRegister, XenHost } from "./xen-host.ts";

const NIC = 0x0010;
const ROUNDS = 60;
/** Work of one turn. */
const QUANTUM = 2000;
const UNBOUNDED: Partial<BudgetLimits> = {
  descriptorsPerExit: 1 << 20,
  descriptorsPerTurn: 1 << 20,
  faultEventsPerSecond: 1 << 30,
};

/** One domain under the scheduler: a guest that does one thing after the other. */
abstract class Tenant {
  readonly domain: XenDomain;
  readonly unit: VtdUnit;
  readonly memory: ChunkedMemory;
  readonly tables: GuestTables;
  readonly dummy: DummyViommu;
  /** Exits and requests of devices. */
  operations = 0;
  readonly #counting: CountingMemory;
  readonly #messages: unknown[];

  constructor(host: XenHost, domid: number, budget: Partial<BudgetLimits>) {
    let counting: CountingMemory | undefined;
    const wrap = (memory: ChunkedMemory): CountingMemory => (counting = new CountingMemory(memory));
    const { domain, unit, memory, messages } = host.guestWithUnit(L2_IR, { domid, budget }, wrap);
    this.domain = domain;
    this.unit = unit;
    this.memory = memory;
    this.#counting = counting!;
    this.#messages = messages;
    this.dummy = new DummyViommu({ client: host.client, domid });
    domain.connect(DOM0, this.dummy);
    this.tables = new GuestTables(unit, memory).start();
  }

  /** What the domain has cost its host so far. */
  get work(): number {
    return this.#counting.accesses + this.#messages.length + this.operations;
  }

  abstract step(): void;
}

/** Maps, lets its device write, takes an interrupt, unmaps, invalidates, and waits for completion. */
class GoodTenant extends Tenant {
  /** Packets that arrived. */
  packets = 0;
  readonly #port = createDmaPort({ memory: this.memory, remapper: this.dummy, sourceId: NIC });
  readonly #interrupt = new InterruptRequest();
  #complete: () => boolean = () => true;

  step(): void {
    this.operations += 1;
    if (!this.#complete()) return; // it polls
    const iova = (this.packets % 32) * 4096;
    this.tables.mapPage(NIC, iova, 0x80_0000 + iova);
    const packet = Uint8Array.of(this.packets, 2, 3, 4, 5);
    this.operations += 2;
    if (this.#port.write(iova, packet) !== 0) throw new Error("a packet was lost");
    if ((this.memory.read32(0x80_0000 + iova) & 0xff) !== packet[0])
      throw new Error("a packet went astray");
    this.unit.interrupts.remap(Object.assign(this.#interrupt, { address: 0xfee0_1000 | 0 }));
    this.tables.unmapPage(NIC, iova);
    this.#complete = this.tables.flush(iotlbPage(iova));
    this.packets += 1;
  }
}

const QUEUE = 0x90_0000;
const QUEUE_SIZE = 7; // 32,768 descriptors
const IRT = 0x8a_0000;

/** Full queues, largest masks, tables that lead into themselves, storms of faults and interrupts. */
class HostileTenant extends Tenant {
  #turn = 0;
  readonly #interrupt = new InterruptRequest();

  constructor(host: XenHost, domid: number, budget: Partial<BudgetLimits>) {
    super(host, domid, budget);
    const { unit, memory, tables } = this;
    const kinds = [
      [0x14 | (15 << 27), 0, 0, 0], // interrupt entries, largest mask
      [0x32 | (1 << 16), 0, 18, 0], // IOTLB pages, largest mask
      [0x35, 0x55, 0x8b_0000, 0], // wait: status write and interrupt
      [0x11, 0, 0, 0],
    ];
    const queue = new Int32Array(4 * 32_768);
    for (let i = 0; i < 32_768; i += 1) queue.set(kinds[i % 4]!, i * 4);
    memory.writeBytes(0, QUEUE, new Uint8Array(queue.buffer));
    tables.command(Gcmd.QIE, false);
    unit.write(Reg.IQT, 8, 0, 0);
    unit.write(Reg.IQA, 8, QUEUE | QUEUE_SIZE, 0);
    tables.command(Gcmd.QIE);
    unit.write(Reg.IRTA, 8, IRT | 15 | (1 << 11), 0);
    tables.command(Gcmd.SIRTP);
    tables.command(Gcmd.IRE);
    for (const control of [Reg.FECTL, 0xa0]) {
      unit.write(control + 4, 4, 0x41, 0);
      unit.write(control + 8, 4, 0xfee0_1000 | 0, 0);
      unit.write(control, 4, 0, 0);
    }
    // a device's top table, all of whose entries lead to itself
    const top = new SecondStageTable(tables.space, 4);
    tables.root.attach(NIC, top, 1);
    const loop = new Int32Array(1024);
    for (let i = 0; i < 1024; i += 2) loop[i] = Number(top.root) | 3;
    tables.space.store(top.root, loop);
  }

  step(): void {
    const { unit } = this;
    this.#turn += 1;
    this.operations += 1;
    switch (this.#turn % 6) {
      case 0: {
        // the queue is full: the tail is right behind the head
        const head = readRegister(unit, Reg.IQH);
        unit.write(Reg.IQT, 8, (head - 16) & 0x7_fff0, 0);
        break;
      }
      case 1:
        unit.write(0x9c, 4, 1, 0); // ICS.IWC: the next wait interrupts again
        break;
      case 2:
        // a fault storm: taken at once, so that each one raises an event
        this.dummy.translate(dmaRequest(this.#turn & 0xffff, this.#turn * 4096, Access.WRITE));
        for (let i = 0; i < 8; i += 1) unit.write(Reg.FRCD + 16 * i + 12, 4, 1 << 31, 0);
        this.operations += 8;
        break;
      case 3:
        this.dummy.translate(dmaRequest(NIC, (this.#turn * 0x123_4000) % 2 ** 39, Access.READ));
        break;
      case 4: {
        const address = 0xfee0_0010 | ((this.#turn & 0x7fff) << 5);
        unit.interrupts.remap(Object.assign(this.#interrupt, { sourceId: NIC, address }));
        break;
      }
      default:
        this.tables.command(Gcmd.SRTP);
        this.operations += 1;
    }
  }
}

/** Packets of a well-behaved domain per unit of work of the whole host. */
function share(
  Neighbour: new (host: XenHost, domid: number, budget: Partial<BudgetLimits>) => Tenant,
  budget: Partial<BudgetLimits> = { faultEventsPerSecond: 100 },
): { rate: number; neighbour: Tenant; longestTurn: number } {
  const host = new XenHost();
  const good = new GoodTenant(host, 1, budget);
  const neighbour = new Neighbour(host, 2, budget);
  const tenants = [good, neighbour];
  const atStart = tenants.reduce((sum, { work }) => sum + work, 0);
  let longestTurn = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    host.registry.advance(round);
    const before = tenants.map(({ work }) => work);
    host.registry.run(); // what exits left over is part of the turn
    tenants.forEach((tenant, i) => {
      while (tenant.work - before[i]! < QUANTUM) tenant.step();
      longestTurn = Math.max(longestTurn, tenant.work - before[i]!);
    });
  }
  const total = tenants.reduce((sum, { work }) => sum + work, 0) - atStart;
  return { rate: good.packets / total, neighbour, longestTurn };
}

describe("a hostile domain", () => {
  const fair = share(GoodTenant);
  const attacked = share(HostileTenant);

  it("leaves its neighbour at least 90 % of its operations per unit of work", () => {
    expect(attacked.rate / fair.rate).toBeGreaterThanOrEqual(0.9);
    const { counters, faultEvents } = attacked.neighbour.domain;
    expect(counters.exitContinuations).toBeGreaterThan(100);
    expect(counters.descriptorsLater).toBeGreaterThan(10_000);
    expect(counters.faults).toBeGreaterThan(100);
    expect(faultEvents.held).toBeGreaterThan(0);
    // no turn is longer than its quantum and one exit: 256 descriptors, two accesses each
    expect(attacked.longestTurn).toBeLessThan(QUANTUM + 2 * 256);
  });

  it("would not without a budget: one exit of it takes the work of many turns", () => {
    const unbounded = share(HostileTenant, UNBOUNDED);
    expect(unbounded.rate / fair.rate).toBeLessThan(0.5);
  });
});
