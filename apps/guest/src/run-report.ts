import type { Guest } from "./guest.ts";
import type { ConfigNotice } from "./config/guest-config.ts";
import { busAddressText } from "./config/values.ts";
import type { BlockedRequest } from "./guest.ts";
import { hostReportOn } from "./host-report.ts";
import type { HostReport } from "./host-report.ts";
import type { MoveReport } from "./move.ts";
import { pagingReports } from "./paging-report.ts";
import type { PagingReport } from "./paging-report.ts";

/** A unit after a run. */
export interface UnitReport {
  readonly name: string;
  readonly segment: number;
  readonly base: string;
  readonly cap: string;
  readonly ecap: string;
  /** What the guest has switched on. */
  readonly dmaRemapping: boolean;
  readonly interruptRemapping: boolean;
  readonly devices: number;
  readonly walks: number;
  readonly invalidations: number;
  readonly faults: number;
}

/** A device after a run. */
export interface DeviceReport {
  readonly name: string;
  readonly kind: string;
  readonly address: string;
  readonly unit: string | null;
  /** "4 MSI-X vectors", "ioapic0 pin 4, level". */
  readonly interruptsBy: string;
  readonly interrupts: number;
  readonly transfers: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
}

/** Interrupts by vCPU. */
interface ProcessorReport {
  readonly count: number;
  readonly highestApicId: number;
  readonly apicMode: string;
  /** vCPUs that got an interrupt. */
  readonly reached: number;
  readonly least: number;
  readonly most: number;
  readonly mean: number;
  /** Interrupts that went to APIC ids above 254, and the vCPUs that have them. */
  readonly above254: { readonly vcpus: number; readonly interrupts: number };
}

/** What became of a run: members but `time` and `memory` are the same for the same seed. */
export interface RunReport {
  readonly ok: boolean;
  readonly name: string;
  /** What the configuration says, and the machine has not. */
  readonly notices: readonly ConfigNotice[];
  readonly seed: number;
  readonly vcpus: ProcessorReport;
  readonly units: readonly UnitReport[];
  readonly devices: readonly DeviceReport[];
  readonly interrupts: {
    readonly sent: number;
    readonly delivered: number;
    readonly served: number;
    readonly moved: number;
  };
  readonly transfers: { readonly done: number; readonly bytesChecked: number };
  readonly driver: Readonly<Record<string, number>> | null;
  /** The host of devices that are passed through; null: there are none. */
  readonly host: HostReport | null;
  /** Accelerators. */
  readonly paging: readonly PagingReport[];
  /** Requests that units have blocked; the first ones in detail. */
  readonly faults: { readonly count: number; readonly first: readonly BlockedRequest[] };
  /** What was not as it should be; empty when all is well. */
  readonly problems: { readonly count: number; readonly first: readonly string[] };
  /** How the guest was moved while it ran; null: it was not. */
  readonly migration: MoveReport | null;
  /** Tells the sequence of interrupts of one run from another. */
  readonly digest: string;
  readonly time: RunTimes & { readonly interruptsPerSecond: number };
  readonly memory: RunMemory;
}

/** Milliseconds. */
export interface RunTimes {
  readonly assemble: number;
  readonly boot: number;
  readonly workload: number;
}

/** Bytes. */
export interface RunMemory {
  readonly guest: number;
  /** Of this process, at its largest. */
  readonly resident: number;
}

/** Looks at a guest after its workload. */
export function reportOn(guest: Guest, time: RunTimes, memory: RunMemory): RunReport {
  const { config, interrupts, problems, kernel } = guest;
  const { arrived, served, moved } = interrupts.counters;
  const devices = deviceReports(guest);
  const sum = (member: "interrupts" | "transfers"): number =>
    devices.reduce((total, device) => total + device[member], 0);
  const host = guest.machine.host === null ? null : hostReportOn(guest.machine.host);
  const failed = kernel.devices.reduce((total, { device }) => total + device.counters.failedDma, 0);
  return {
    ok: problems.count === 0 && guest.blockedCount === 0 && failed === 0 && isUntouched(host),
    name: config.name,
    notices: config.notices,
    seed: config.workload.seed,
    vcpus: processorReport(guest),
    units: unitReports(guest),
    devices,
    interrupts: { sent: sum("interrupts"), delivered: arrived, served, moved },
    transfers: {
      done: sum("transfers"),
      bytesChecked: kernel.devices.reduce((total, { driver }) => total + driver.checkedBytes, 0),
    },
    driver: kernel.iommu === null ? null : { ...kernel.iommu.counters },
    paging: pagingReports(kernel),
    host,
    faults: { count: guest.blockedCount, first: guest.blocked },
    problems: { count: problems.count, first: problems.texts },
    migration: null,
    digest: (interrupts.digest >>> 0).toString(16).padStart(8, "0"),
    time: {
      ...time,
      interruptsPerSecond: perSecond(served, time),
    },
    memory,
  };
}

/** No device was stopped by the host, or has reached memory of the host. */
function isUntouched(host: HostReport | null): boolean {
  return host === null || (host.faults.host === 0 && host.strayBytes === 0);
}

/** The report on a guest that was moved; `before` is what it took before it was. */
export function withMove(report: RunReport, migration: MoveReport, before?: RunTimes): RunReport {
  if (before === undefined) return { ...report, migration };
  const time = {
    assemble: before.assemble + report.time.assemble,
    boot: before.boot + report.time.boot,
    workload: before.workload + report.time.workload,
  };
  const interruptsPerSecond = perSecond(report.interrupts.served, time);
  return { ...report, migration, time: { ...time, interruptsPerSecond } };
}

const perSecond = (served: number, { workload }: RunTimes): number =>
  Math.round((served / Math.max(1, workload)) * 1000);

function unitReports({ config, machine, kernel }: Guest): UnitReport[] {
  const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
  return machine.units.map((unit) => {
    const { cap, ecap } = unit.profile;
    const { devices, interrupts } = kernel.iommu!.units.find(
      ({ description }) => description.registerBase === unit.base,
    )!;
    const { walks, invalidations } = unit.dma.counters;
    return {
      name: unit.name,
      segment: unit.segment,
      base: hex(unit.base),
      cap: hex(cap),
      ecap: hex(ecap),
      dmaRemapping: devices !== null,
      interruptRemapping: interrupts !== null,
      devices: config.devices.filter((device) => device.unit === unit.name).length,
      walks,
      invalidations,
      faults: unit.dma.counters.faults,
    };
  });
}

function deviceReports({ kernel }: Guest): DeviceReport[] {
  return kernel.devices.map(({ device, driver }) => {
    const { name, kind, address, unit, interrupt } = device.config;
    const { bytesRead, bytesWritten } = device.counters;
    return {
      name,
      kind,
      address: busAddressText(address),
      unit,
      interruptsBy:
        interrupt.kind === "pin"
          ? `${interrupt.ioapic} pin ${interrupt.pin}, ${interrupt.trigger}`
          : `${interrupt.vectors} MSI-X`,
      interrupts: device.interrupts.sent.reduce((total, sent) => total + sent, 0),
      transfers: driver.transfers,
      bytesRead,
      bytesWritten,
    };
  });
}

function processorReport({ config, machine }: Guest): ProcessorReport {
  const { apicIds, apicMode } = config.processors;
  const { accepted } = machine.lapics.lapics;
  let reached = 0;
  let least = Infinity;
  let most = 0;
  let total = 0;
  const above254 = { vcpus: 0, interrupts: 0 };
  accepted.forEach((count, vcpu) => {
    reached += count > 0 ? 1 : 0;
    least = Math.min(least, count);
    most = Math.max(most, count);
    total += count;
    if (apicIds[vcpu]! <= 254) return;
    above254.vcpus += 1;
    above254.interrupts += count;
  });
  return {
    count: apicIds.length,
    highestApicId: apicIds.reduce((highest, id) => Math.max(highest, id), 0),
    apicMode,
    reached,
    least,
    most,
    mean: Math.round((total / apicIds.length) * 10) / 10,
    above254,
  };
}
