import Table from "cli-table3";
import type { BlockedRequest } from "./guest.ts";
import { hostLines } from "./host-report.ts";
import { pagingLines } from "./paging-report.ts";
import type { DeviceReport, RunReport, UnitReport } from "./run-report.ts";
import { bytes, count, plural, wrap } from "./text.ts";

const PLAIN_STYLE = { head: [], border: [], compact: true };

/** The report on a run, for people. */
export function runText(report: RunReport, columns: number): string {
  const { interrupts, transfers, problems } = report;
  const lines = [
    headline(report),
    ...noticeLines(report).map((line) => wrap(line, columns, "  ")),
    ...(report.units.length === 0 ? [] : [unitTable(report.units)]),
    deviceTable(report.devices),
    wrap(processorLine(report), columns, "  "),
    wrap(
      `interrupts: ${count(interrupts.sent)} sent, ${count(interrupts.delivered)} delivered, ` +
        `${count(interrupts.served)} served; ${plural(interrupts.moved, "change")} of affinity`,
      columns,
      "  ",
    ),
    `  data: ${plural(transfers.done, "packet or request", "packets and requests")}, ${bytes(transfers.bytesChecked)} compared`,
    ...report.paging.flatMap(pagingLines).map((line) => wrap(line, columns, "  ")),
    wrap(faultLine(report), columns, "  "),
    ...hostLines(report.host).map((line) => wrap(line, columns, "  ")),
    ...migrationLines(report).map((line) => wrap(line, columns, "  ")),
    ...problems.first.map((problem) => wrap(`PROBLEM: ${problem}`, columns, "  ")),
    ...(problems.count > problems.first.length
      ? [`  and ${plural(problems.count - problems.first.length, "more problem")}`]
      : []),
    verdict(report),
  ];
  return `${lines.join("\n")}\n`;
}

function headline({ name, vcpus, units, devices, memory }: RunReport): string {
  const parts = [
    `${plural(vcpus.count, "vCPU")} (${vcpus.apicMode}, APIC ids up to ${vcpus.highestApicId})`,
    units.length === 0 ? "no remapping unit" : plural(units.length, "remapping unit"),
    plural(devices.length, "device"),
    `${bytes(memory.guest)} of memory`,
  ];
  return `${name}: ${parts.join(", ")}`;
}

/** Notices that say the same stand on one line. */
function noticeLines({ notices }: RunReport): string[] {
  const keys = new Map<string, string[]>();
  for (const { key, text } of notices) keys.set(text, [...(keys.get(text) ?? []), key]);
  return [...keys].map(([text, named]) => `left out: ${named.join(", ")}: ${text}`);
}

function unitTable(units: readonly UnitReport[]): string {
  const table = new Table({
    head: ["unit", "at", "segment", "remaps", "devices", "walks", "invalidations", "faults"],
    colAligns: ["left", "left", "right", "left", "right", "right", "right", "right"],
    style: PLAIN_STYLE,
  });
  for (const unit of units) {
    const remaps = [
      ...(unit.dmaRemapping ? ["DMA"] : []),
      ...(unit.interruptRemapping ? ["interrupts"] : []),
    ];
    table.push([
      unit.name,
      unit.base,
      unit.segment,
      remaps.join(", "),
      ...[unit.devices, unit.walks, unit.invalidations, unit.faults].map(count),
    ]);
  }
  return table.toString();
}

function deviceTable(devices: readonly DeviceReport[]): string {
  const table = new Table({
    head: ["device", "kind", "address", "unit", "by", "interrupts", "transfers", "read", "written"],
    colAligns: ["left", "left", "left", "left", "left", "right", "right", "right", "right"],
    style: PLAIN_STYLE,
  });
  for (const device of devices) {
    table.push([
      ...[device.name, device.kind, device.address, device.unit ?? "-", device.interruptsBy],
      ...[count(device.interrupts), count(device.transfers)],
      ...[bytes(device.bytesRead), bytes(device.bytesWritten)],
    ]);
  }
  return table.toString();
}

function processorLine({ vcpus }: RunReport): string {
  const { count: all, reached, least, most, mean, above254 } = vcpus;
  const spread = `${count(least)} to ${count(most)} each, ${count(mean)} on average`;
  const line = `vCPUs: ${count(reached)} of ${count(all)} got interrupts, ${spread}`;
  if (above254.vcpus === 0) return line;
  const beyond = `${plural(above254.vcpus, "vCPU")} with APIC ids above 254`;
  return `${line}; ${count(above254.interrupts)} went to ${beyond}`;
}

function faultLine({ faults }: RunReport): string {
  if (faults.count === 0) return "faults: none";
  const told = faults.first.slice(0, 5).map(faultText).join(", ");
  return `FAULTS: ${plural(faults.count, "request")} blocked: ${told}${faults.count > 5 ? ", …" : ""}`;
}

const faultText = ({ unit, requester, reason, name }: BlockedRequest): string =>
  `${requester} by ${unit} (${reason.toString(16)}h ${name})`;

/** Why the guest was stopped, in words. */
const STOPPED = {
  converged: "few were left",
  "no progress": "they did not become fewer",
  end: "its workload was over",
  "round limit": "of the limit of rounds",
} as const;

function migrationLines({ migration }: RunReport): string[] {
  if (migration === null) return [];
  const { step, file, rounds, stoppedBy, lastPages, stateBytes, stepsMeanwhile } = migration;
  const where = file === null ? "to a second machine" : `through ${file} to another process`;
  return [
    `migration: after ${plural(step, "step")} ${where}, ${bytes(migration.bytes)}: ` +
      `${plural(rounds.length, "round")} of ${rounds.map(count).join(", ")} pages while it did ` +
      `${plural(stepsMeanwhile, "step")}; stopped because ${STOPPED[stoppedBy]}; ${plural(lastPages, "page")} and ` +
      `${bytes(stateBytes)} of state followed in a downtime of ${plural(migration.downtimeSteps, "step")}`,
  ];
}

function verdict({ ok, seed, time, memory }: RunReport): string {
  const seconds = ((time.assemble + time.boot + time.workload) / 1000).toFixed(1);
  const cost = `${seconds} s, ${count(time.interruptsPerSecond)} interrupts per second, ${bytes(memory.resident)}`;
  const text = ok
    ? "OK: every interrupt came once, at its vCPU and vector, and every byte is right"
    : "FAILED: see above";
  return `${text} (seed ${seed}; ${cost})`;
}
