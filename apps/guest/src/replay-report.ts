import { COMPARISON_CLASSES, isClean } from "@viommu/trace";
import type { ComparisonClass, TraceHeader, TraceReport } from "@viommu/trace";
import Table from "cli-table3";
import { count, plural, wrap } from "./text.ts";

/** Names of the comparison classes for people. */
const CLASS_NAMES: Readonly<Record<ComparisonClass, string>> = {
  dma: "DMA requests",
  irq: "interrupt requests",
  mmioRead: "register reads",
  memWrite: "memory writes",
  msi: "messages of the unit",
  frcd: "fault records",
  registers: "final registers",
};

const PLAIN_STYLE = { head: [], border: [], compact: true };

/** The report on one trace: what was compared, what was accepted and why. */
export function reportText(header: TraceHeader, report: TraceReport, columns: number): string {
  const { guest, reference } = header;
  const origin = [
    `${guest.os} ${guest.version}`.trim(),
    `${reference.name} ${reference.version}`.trim(),
  ].filter((text) => text !== "");
  const lines = [
    `${report.name}: ${plural(report.events, "event")}${origin.length === 0 ? "" : ` (${origin.join(" on ")})`}`,
    classTable(report),
  ];
  for (const { name, count: times, why } of report.deviations) {
    lines.push(`  accepted ${count(times)} x ${name}`, wrap(why, columns, "    "));
  }
  const { firstDifference: difference, unknownReads } = report;
  if (difference !== undefined) {
    lines.push(
      `  first difference: event ${difference.event} (line ${difference.line}), ${CLASS_NAMES[difference.class]}`,
      wrap(`expected ${difference.expected}`, columns, "    "),
      wrap(`actual   ${difference.actual}`, columns, "    "),
    );
  }
  if (unknownReads !== undefined) {
    const { count: reads, first } = unknownReads;
    const text = `${plural(reads, "read")} of memory that the trace does not tell, the first at ${first}`;
    lines.push(wrap(text, columns, "  "));
  }
  return `${lines.join("\n")}\n`;
}

function classTable(report: TraceReport): string {
  const table = new Table({
    head: ["", "compared", "equal", "accepted", "different"],
    colAligns: ["left", "right", "right", "right", "right"],
    style: PLAIN_STYLE,
  });
  for (const name of COMPARISON_CLASSES) {
    const { total, equal, accepted, different } = report[name];
    if (total > 0) {
      table.push([CLASS_NAMES[name], ...[total, equal, accepted, different].map(count)]);
    }
  }
  return table.toString();
}

/** The verdict on all traces, on one line. */
export function verdictLine(reports: readonly TraceReport[], milliseconds: number): string {
  const sum = (member: "total" | "equal" | "accepted" | "different"): number =>
    reports
      .flatMap((report) => COMPARISON_CLASSES.map((name) => report[name][member]))
      .reduce((left, right) => left + right, 0);
  const word = reports.every(isClean) ? "OK" : "FAILED";
  const numbers = `${plural(sum("total"), "comparison")}: ${count(sum("equal"))} equal, ${count(sum("accepted"))} accepted, ${count(sum("different"))} different`;
  return `${word}: ${plural(reports.length, "recorded guest")}, ${numbers} (${(milliseconds / 1000).toFixed(1)} s)\n`;
}
