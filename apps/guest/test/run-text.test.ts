import { describe, expect, it } from "vitest";
import { Guest } from "../src/guest.ts";
import { reportOn } from "../src/run-report.ts";
import { runText } from "../src/run-text.ts";
import { guestConfig } from "./guests.ts";

/** The report on a guest in which this has happened. */
function reportAfter(happen: (guest: Guest) => void): string {
  const guest = new Guest(guestConfig(["interrupts: 500, affinityChanges: 50", "interrupts: 0"]));
  guest.boot();
  happen(guest);
  const report = reportOn(
    guest,
    { assemble: 1, boot: 2, workload: 0 },
    { guest: 2 ** 26, resident: 3e8 },
  );
  return runText(report, 100);
}

describe("the report on a run that failed", () => {
  it("names what went wrong, and how much there is of it", () => {
    const text = reportAfter(({ problems }) => {
      for (let i = 1; i <= 25; i += 1) problems.add(`problem ${i}`);
    });
    expect(text).toContain("\n  PROBLEM: problem 1\n");
    expect(text).toContain(
      "\n  PROBLEM: problem 20\n  and 5 more problems\nFAILED: see above (seed 7;",
    );
  });

  it("names blocked requests", () => {
    const text = reportAfter(({ kernel, machine }) => {
      const { sourceId } = kernel.devices[0]!.device.config.address;
      const { dma } = machine.units[0]!;
      for (let i = 0; i < 6; i += 1) dma.translateNumber(sourceId, 0x1000, 1);
    });
    expect(text).toMatch(/ {2}FAULTS: 6 requests blocked: 00:02\.0 by dmar0 \(6h READ_DENIED\), /);
    expect(text).toMatch(/, …\nFAILED/);
  });

  it("and one without, that all is well", () => {
    const text = reportAfter(() => undefined);
    expect(text).toContain("  faults: none\nOK: ");
  });
});
