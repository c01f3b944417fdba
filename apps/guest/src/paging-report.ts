import { Accelerator } from "./devices/accelerator.ts";
import type { ProcessAccessCounters } from "./devices/process-access.ts";
import { AcceleratorDriver } from "./kernel/accelerator-driver.ts";
import type { Kernel } from "./kernel/kernel.ts";
import type { PagerCounters } from "./kernel/pager.ts";
import type { Problems } from "./kernel/problems.ts";
import { count, plural } from "./text.ts";

/** An accelerator after a run, and the processes that shared their memory with it. */
export interface PagingReport {
  readonly name: string;
  /** Processes at a time; PASIDs bound and unbound as they began and ended. */
  readonly processes: number;
  readonly bound: number;
  readonly unbound: number;
  /** Copies that were found right, and those whose process ended meanwhile. */
  readonly copies: { readonly done: number; readonly cutShort: number };
  readonly pages: PagerCounters;
  /** A host permission table says what the device may reach by translated requests. */
  readonly hostPermissions: boolean;
  /** Page requests, translation cache and its invalidations, as the device saw them. */
  readonly device: ProcessAccessCounters;
}

/** Looks at the accelerators of a guest. */
export function pagingReports(kernel: Kernel): PagingReport[] {
  return accelerators(kernel).map(({ device, driver }) => {
    const { processes, transfers, cutShort } = driver;
    return {
      name: device.config.name,
      processes: processes.all.length,
      ...processes.counters,
      copies: { done: transfers, cutShort },
      pages: { ...processes.pager.counters },
      hostPermissions: device.config.paging!.hostPermissions,
      device: { ...device.access.counters },
    };
  });
}

/** At the end: each page request that was queued was taken, and each group was answered once. */
export function checkPageRequests(kernel: Kernel, problems: Problems): void {
  let queued = 0;
  for (const { device } of accelerators(kernel)) {
    const { name } = device.config;
    const { counters, outstanding } = device.access;
    const answers = counters.succeeded + counters.refused;
    queued += counters.queued;
    if (counters.groups !== answers || outstanding > 0) {
      problems.add(
        `${name} sent ${counters.groups} groups of page requests, and got ${answers} answers`,
      );
    }
  }
  const taken = kernel.iommu?.counters.pageRequests ?? 0;
  if (queued !== taken) problems.add(`${queued} page requests were queued, and ${taken} taken`);
}

/** A report on paging, for people. */
export function pagingLines(report: PagingReport): string[] {
  const { name, processes, bound, unbound, copies, pages, hostPermissions, device } = report;
  const uses = device.hits + device.misses;
  const hits = uses === 0 ? 0 : Math.round((100 * device.hits) / uses);
  return [
    `${name}: ${plural(processes, "process", "processes")} at a time, ${plural(bound, "PASID")} bound, ` +
      `${count(unbound)} unbound; ${plural(copies.done, "copy", "copies")}, ${count(copies.cutShort)} cut short`,
    `${name}: ${plural(pages.broughtIn, "page")} brought in, ${count(pages.broughtBack)} of them back; ` +
      `${count(pages.reclaimed)} taken away, ${count(pages.stored)} of them changed`,
    `${name}: ${plural(device.pageRequests, "page request")} in ${plural(device.groups, "group")}, ` +
      `${count(device.overflowed)} lost as the queue was full; ` +
      `answers: ${count(device.succeeded)} success, ${count(device.refused)} invalid`,
    `${name}: device-TLB: ${count(device.hits)} hits (${hits} %), ${count(device.misses)} misses, ` +
      plural(device.invalidations, "invalidation"),
    ...(hostPermissions ? [permissionLine(name, device)] : []),
  ];
}

function permissionLine(name: string, device: ProcessAccessCounters): string {
  const { translated, forged, forgedBlocked } = device;
  return (
    `${name}: host permissions: ${plural(translated, "translated request")} let through; ` +
    `${count(forged)} forged, ${count(forgedBlocked)} of them blocked, ` +
    `${count(forged - forgedBlocked)} for pages that it has`
  );
}

/** The accelerators of a guest. */
export function accelerators({ devices }: Kernel) {
  return devices.flatMap(({ device, driver }) =>
    device instanceof Accelerator && driver instanceof AcceleratorDriver
      ? [{ device, driver }]
      : [],
  );
}
