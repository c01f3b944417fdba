import { describe, expect, it } from "vitest";
import { InFlight } from "@viommu/plugin";
import { Bench } from "./support/machine.ts";

describe("VT-d 6.5.4, accesses in flight", () => {
  it("a fence waits for what began before it, and for nothing else", () => {
    const { inFlight } = new Bench().engine;
    const early = inFlight.enter();
    const fence = inFlight.mark();
    const late = inFlight.enter();
    expect(inFlight.drained(fence)).toBe(false);
    inFlight.leave(early);
    expect(inFlight.drained(fence)).toBe(true);
    inFlight.leave(late);
  });

  it("a fence without accesses before it is drained at once", () => {
    const inFlight = new InFlight();
    expect(inFlight.drained(inFlight.mark())).toBe(true);
    const ticket = inFlight.enter();
    const fence = inFlight.mark();
    expect(inFlight.mark()).toBe(fence); // nothing began between them
    inFlight.leave(ticket);
    expect(inFlight.drained(fence)).toBe(true);
  });

  it("several accesses, ended in any order", () => {
    const inFlight = new InFlight();
    const tickets = [inFlight.enter(), inFlight.enter()];
    const first = inFlight.mark();
    tickets.push(inFlight.enter());
    const second = inFlight.mark();
    inFlight.leave(tickets[2]!);
    expect([inFlight.drained(first), inFlight.drained(second)]).toEqual([false, false]);
    inFlight.leave(tickets[0]!);
    expect(inFlight.drained(first)).toBe(false);
    inFlight.leave(tickets[1]!);
    expect([inFlight.drained(first), inFlight.drained(second)]).toEqual([true, true]);
  });

  it("tells when the oldest have ended", () => {
    const { engine } = new Bench();
    let told = 0;
    engine.inFlight.onDrained = () => {
      told += 1;
    };
    const [a, b] = [engine.enter(), engine.enter()];
    engine.inFlight.mark();
    const c = engine.enter();
    engine.leave(c);
    expect(told).toBe(0);
    engine.leave(a);
    expect(told).toBe(0);
    engine.leave(b);
    expect(told).toBe(1);
  });

  it("refuses a ticket that is not in use", () => {
    const { engine } = new Bench();
    const ticket = engine.enter();
    engine.leave(ticket);
    expect(() => {
      engine.leave(ticket);
    }).toThrow(expect.objectContaining({ code: "ERR_VIOMMU_TICKET" }) as Error);
  });
});
