import type { GuestIommuCounters } from "@viommu/piommu";
import type { PhysicalMapping } from "@viommu/plugin";
import { busAddressText } from "./config/values.ts";
import type { Host } from "./machine/host.ts";
import { bytes, count, plural } from "./text.ts";

const PAGE = 4096;

/** Pages of tables by their size. */
interface PageCounts {
  readonly "4K": number;
  readonly "2M": number;
  readonly "1G": number;
}

/** A device of the host after a run. */
interface PassedDeviceReport {
  readonly name: string;
  /** In the host. */
  readonly address: string;
  /** Requests that reached host memory; each was compared with the guest's tables and memory map. */
  readonly compared: number;
  /** Requests that reached other memory than these say. */
  readonly wrong: number;
}

/** The host below a guest after a run. What a guest was moved from counts no more. */
export interface HostReport {
  readonly cap: string;
  readonly ecap: string;
  readonly devices: readonly PassedDeviceReport[];
  /** Copies of the guest's tables in use, their pages now, and what they took. */
  readonly shadows: {
    readonly count: number;
    readonly pages: PageCounts;
    readonly made: number;
    readonly synchronisations: number;
    readonly invalidations: number;
    /** Guest tables read and entries written. */
    readonly steps: number;
    /** Times that devices were given other tables. */
    readonly switches: number;
    readonly frames: number;
    readonly mostFrames: number;
    readonly frameQuota: number;
    readonly quotaHits: number;
  };
  /** The tables from guest to host memory, which devices have while the guest does not translate. */
  readonly guestMemory: { readonly pages: PageCounts; readonly frames: number };
  /** Frames of all tables of the unit. */
  readonly tableFrames: { readonly used: number; readonly total: number };
  readonly interrupts: {
    readonly bound: number;
    readonly rebinds: number;
    readonly posted: number;
  };
  /** Blocked requests of devices: told to the guest, and kept from it. */
  readonly faults: { readonly guest: number; readonly host: number };
  /** Bytes of the host's own memory that were written: pages of 4 KiB. */
  readonly strayBytes: number;
}

/** Looks at a host. */
export function hostReportOn(host: Host): HostReport {
  const { driver, unit, memory, devices, descriptors } = host;
  const { counters, ...report } = driver.report();
  const [small, large, huge] = report.shadowPages;
  const hex = (value: bigint): string => `0x${value.toString(16)}`;
  return {
    cap: hex(unit.info.cap),
    ecap: hex(unit.info.ecap),
    devices: devices.map(({ config: { name, hostAddress }, compared: { counters: seen } }) => {
      const address = busAddressText(hostAddress);
      return { name, address, compared: seen.reached, wrong: seen.wrong };
    }),
    shadows: {
      count: report.shadows,
      pages: { "4K": small, "2M": large, "1G": huge },
      ...workOf(counters),
      frames: report.frames,
      mostFrames: report.mostFrames,
      frameQuota: report.frameQuota,
    },
    guestMemory: { pages: pagesOf(host), frames: report.mainFrames },
    tableFrames: { used: memory.frames.used, total: memory.frames.total },
    interrupts: {
      bound: report.interrupts,
      rebinds: counters.interruptRebinds,
      posted: descriptors?.posted ?? 0,
    },
    faults: { guest: counters.guestFaults, host: host.blocked },
    strayBytes: memory.strayPages() * PAGE,
  };
}

function workOf(counters: GuestIommuCounters) {
  const { synchronisations, invalidations, steps, switches, quotaHits, shadowsMade } = counters;
  return { made: shadowsMade, synchronisations, invalidations, steps, switches, quotaHits };
}

/** What the tables from guest to host memory consist of. */
function pagesOf({ driver, memory }: Host): PageCounts {
  const found: PhysicalMapping = { mfn: 0, order: 0, flags: 0 };
  const pages = new Map<number, number>();
  for (const { gfn, count: frames } of memory.p2m.extents) {
    for (let at = gfn; at < gfn + frames; at += 2 ** found.order) {
      if (!driver.main.lookup(at, found)) found.order = 0;
      else pages.set(found.order, (pages.get(found.order) ?? 0) + 1);
    }
  }
  return { "4K": pages.get(0) ?? 0, "2M": pages.get(9) ?? 0, "1G": pages.get(18) ?? 0 };
}

/** The host for people, a paragraph for each line. */
export function hostLines(host: HostReport | null): string[] {
  if (host === null) return [];
  const { devices, shadows, guestMemory, tableFrames, interrupts, faults, strayBytes } = host;
  const compared = devices.reduce((sum, device) => sum + device.compared, 0);
  const wrong = devices.reduce((sum, device) => sum + device.wrong, 0);
  const named = devices.map(({ name, address }) => `${name} is ${address}`).join(", ");
  return [
    `host: ${named === "" ? "no device" : named}; ${plural(compared, "DMA access", "DMA accesses")} ` +
      `compared with the guest's tables, ${wrong === 0 ? "none" : count(wrong).toUpperCase()} elsewhere` +
      (strayBytes === 0 ? "" : `, ${bytes(strayBytes)} OF THE HOST WRITTEN`),
    `  ${plural(shadows.count, "shadow")} with ${pagesText(shadows.pages)} in ${count(shadows.frames)} ` +
      `frames (at most ${count(shadows.mostFrames)}, quota ${count(shadows.frameQuota)}); ` +
      `${plural(shadows.synchronisations, "synchronisation")} in ${plural(shadows.steps, "step")}, ` +
      `${plural(shadows.switches, "switch", "switches")} of tables`,
    `  guest to host memory: ${pagesText(guestMemory.pages)} in ${count(guestMemory.frames)} frames; ` +
      `all tables: ${count(tableFrames.used)} of ${count(tableFrames.total)} frames`,
    `  interrupts: ${count(interrupts.bound)} bound, ${count(interrupts.rebinds)} times anew, ` +
      `${count(interrupts.posted)} posted; faults: ${count(faults.guest)} told to the guest, ` +
      `${count(faults.host)} of the host`,
  ];
}

/** "12 pages of 4 KiB and 2 of 2 MiB". */
function pagesText(pages: PageCounts): string {
  const large = [
    ...(pages["2M"] > 0 ? [`${count(pages["2M"])} of 2 MiB`] : []),
    ...(pages["1G"] > 0 ? [`${count(pages["1G"])} of 1 GiB`] : []),
  ];
  return [`${plural(pages["4K"], "page")} of 4 KiB`, ...large].join(" and ");
}
