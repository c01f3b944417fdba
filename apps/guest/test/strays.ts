import { createHash } from "node:crypto";
import { Access, DmaRequest, InterruptRequest } from "@viommu/plugin";
import type { Guest } from "../src/guest.ts";
import { mix } from "../src/random.ts";
import type { RunReport } from "../src/run-report.ts";
import { reportOn } from "../src/run-report.ts";

const ENABLE = 0x8000_0000 | 0;
const FUNCTION_MASK = 0x4000_0000;

/**
 * After some steps of the workload something else happens, too: functions that are not there ask for
 * memory and send interrupts that belong to others, and the first device's vectors are masked for two
 * steps. The number of the step decides all of it, so that a guest which has moved meets the same.
 */
export function addStrays(guest: Guest): void {
  const { workload, config, machine } = guest;
  const { seed } = config.workload;
  const request = new DmaRequest();
  const message = new InterruptRequest();
  const chance = (step: number, salt: number): number => mix(mix(seed, step), salt) >>> 0;
  // of one unit: fault events of several would merge, as they share a vector
  const unit = machine.units.at(-1)!;
  // no longer than the shortest way from a device to the vCPU that serves it
  const masks = (step: number): boolean => step % 4 < 2 && chance(step >> 2, 1) % 3 > 0;
  const step = workload.step.bind(workload);
  workload.step = () => {
    const more = step();
    const { steps } = workload;
    // each from a function of its own: faults of one requester collapse (VT-d 7.2.1)
    if (more && chance(steps, 2) % 23 === 0) {
      request.sourceId = 0x4000 | (steps & 0x3fff);
      request.access = Access.READ;
      request.lo = 0x10_0000 + (chance(steps, 3) % 4096) * 4096;
      unit.dma.translate(request);
    }
    if (more && chance(steps, 4) % 31 === 0) {
      message.sourceId = 0x8000 | (steps & 0x3fff);
      message.address = 0xfee0_0010 | ((chance(steps, 5) % 4) << 5);
      unit.interrupts.remap(message);
    }
    const msix = machine.devices[0]!.interrupts.msix!;
    if (masks(steps) && more) msix.write(0, ENABLE | FUNCTION_MASK);
    else if (masks(steps - 1)) msix.write(0, ENABLE);
    return more;
  };
}

/** All that must be the same with and without moves. */
export interface Outcome {
  readonly report: RunReport;
  /** Requests that units have blocked, and faults that the kernel has read. */
  readonly blocked: number;
  readonly faults: Guest["kernel"]["faults"];
  readonly steps: number;
  /** Of all bytes of guest memory. */
  readonly memory: string;
}

/** Looks at a guest at the end of its workload. Table walks depend on caches, which do not move. */
export function outcomeOf(guest: Guest): Outcome {
  guest.checkTotals();
  const times = { assemble: 0, boot: 0, workload: 0 };
  const report = reportOn(guest, times, { guest: 0, resident: 0 });
  const hash = createHash("sha256");
  const page = new Uint8Array(4096);
  const { pages } = guest.domain;
  for (const number of pages.touched()) {
    pages.read(number, page);
    if (page.some((byte) => byte !== 0)) hash.update(String(number)).update(page);
  }
  return {
    report: { ...report, units: report.units.map((unit) => ({ ...unit, walks: 0 })) },
    blocked: guest.blockedCount,
    faults: guest.kernel.faults,
    steps: guest.workload.steps,
    memory: hash.digest("hex"),
  };
}
