import { describe, expect, it } from "vitest";
import { InterruptResult } from "@viommu/plugin";
import { createHarness, X2APIC_ENTRY } from "./harness.ts";

const ADDRESS = 0xfee00258; // index 12h
const POSTED = [0x0020004000318001n, 0x40010n] as const;

describe("the hook interruptDelivery", () => {
  it("hears each message to deliver, remapped or passed, and no blocked request", () => {
    const { engine, entry, hooks, send } = createHarness();
    const heard: string[] = [];
    hooks.interruptDelivery = (unit, { sourceId, messageAddress }) => {
      heard.push(`${unit} ${sourceId} ${(messageAddress >>> 0).toString(16)}`);
    };
    entry(0x12, X2APIC_ENTRY);
    send(ADDRESS);
    send(ADDRESS, 1);
    engine.setEnabled(false);
    send(0xfee07000, 0x41, 5);
    expect(heard).toEqual(["unit0 16 fee05008", "unit0 5 fee07000"]);
  });
});

describe("probe", () => {
  it("gives the same answer and nothing else", () => {
    const { engine, entry, hooks, memory, request, send, blocked, delivered } = createHarness({
      capabilities: { PI: 1 },
    });
    let heard = 0;
    entry(0x12, X2APIC_ENTRY);
    entry(0x13, POSTED);
    send(ADDRESS, 2); // reported
    hooks.interruptDelivery = () => {
      heard += 1;
    };
    Object.assign(request, { data: 0 });
    expect(engine.probe(request)).toBe(InterruptResult.DELIVER);
    expect(request.messageAddress >>> 0).toBe(0xfee05008);
    Object.assign(request, { data: 1 });
    expect(engine.probe(request)).toBe(InterruptResult.CONSUMED);
    Object.assign(request, { data: 2 });
    expect(engine.probe(request)).toBe(0x22);
    expect(memory.read64(0x200040)).toBe(0n);
    expect([heard, blocked.length, delivered.length]).toEqual([0, 1, 0]);
  });
});
