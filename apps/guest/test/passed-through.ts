import { Guest } from "../src/guest.ts";
import type { HostReport } from "../src/host-report.ts";
import { runWorkload } from "../src/workload.ts";
import { reportOn } from "../src/run-report.ts";
import type { RunReport } from "../src/run-report.ts";
import { changed } from "./guests.ts";
import type { Change } from "./guests.ts";
import { parseGuest } from "../src/config/load.ts";

/** The network card and the disk are the host's, the timer is emulated; all under one unit. */
const PASSED: readonly Change[] = [
  ["eim: true", "eim: true, cachingMode: true"],
  ["vectors: 4 }", 'vectors: 4, passthrough: "03:00.0" }'],
  ["vectors: 2 }", 'vectors: 2, passthrough: "82:00.1" }'],
];

/** The text of such a guest, with more changes, and `host` as given. */
export function passedText(host: string | null = null, ...changes: readonly Change[]): string {
  const text = changed(...PASSED, ...changes);
  return host === null ? text : `${text}host: ${host}\n`;
}

/** A guest that has booted. */
export function bootedPassed(host: string | null = null, ...changes: readonly Change[]): Guest {
  const guest = new Guest(parseGuest("guest.yaml", passedText(host, ...changes)));
  guest.boot();
  return guest;
}

/** Runs all that is left of a guest's workload. */
export function finished(guest: Guest): RunReport & { readonly host: HostReport } {
  runWorkload(guest.workload, () => undefined);
  guest.checkTotals();
  const times = { assemble: 0, boot: 0, workload: 0 };
  const report = reportOn(guest, times, { guest: 0, resident: 0 });
  return { ...report, host: report.host! };
}
