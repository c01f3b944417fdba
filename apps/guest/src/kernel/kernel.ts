import { probe } from "@viommu/guest-driver";
import type { DriverFault, DriverState, IommuDriver, PciBridges } from "@viommu/guest-driver";
import type { GuestConfig } from "../config/guest-config.ts";
import type { Machine } from "../machine/machine.ts";
import { startDevices } from "./devices.ts";
import type { DrivenDevice } from "./devices.ts";
import { FAULT_VECTOR, PAGE_REQUEST_VECTOR } from "./interrupts.ts";
import type { Interrupts } from "./interrupts.ts";
import { splitMemory } from "./memory-plan.ts";
import { PageFaults } from "./page-faults.ts";
import { Ram } from "./ram.ts";
import type { RamState } from "./ram.ts";

/** Entries in a page of a page request queue (VT-d 11.4.11.3). */
const REQUESTS_OF_A_PAGE = 128;

/** All that a kernel knows and guest memory does not, but for its interrupts. */
export interface KernelState {
  readonly iommu: DriverState | null;
  readonly ram: RamState;
  readonly faults: readonly DriverFault[];
  /** By device. */
  readonly drivers: readonly unknown[];
}

/** The operating system of a guest, up and running. */
export interface Kernel {
  /** Null: the guest has no remapping unit. */
  readonly iommu: IommuDriver | null;
  readonly devices: readonly DrivenDevice[];
  /** Faults that its units have reported. */
  readonly faults: readonly DriverFault[];
  save(): KernelState;
  /** Why a state cannot be that of this kernel; null: it can. */
  obstacle(state: KernelState): string | null;
  restore(state: KernelState): void;
}

/**
 * Starts the kernel: finds units through ACPI and programs them with the guest driver, switches the
 * local APICs on, drives the devices and spreads their interrupts over the vCPUs. Only registers,
 * memory and configuration space are used. Throws ERR_VIOMMU_DRIVER_* where the units can't serve it.
 */
export function bootKernel(machine: Machine, interrupts: Interrupts): Kernel {
  const { config, memory, lapics, firmware } = machine;
  const plan = splitMemory(firmware.usable, config);
  const ram = new Ram(memory, plan.deviceDrivers);
  const pageFaults = new PageFaults();
  const iommu =
    plan.iommuDriver === null ? null : probeUnits(machine, plan.iommuDriver, pageFaults);
  const faults: DriverFault[] = [];
  interrupts.start(lapics, {
    faults: () => {
      if (iommu !== null) faults.push(...nameFaults(config, iommu));
    },
    pageRequests: () => {
      iommu?.servicePageRequests();
    },
  });
  iommu?.start();
  const devices = startDevices(machine, iommu, ram, interrupts, pageFaults);
  return {
    iommu,
    devices,
    faults,
    save: () => ({
      iommu: iommu?.save() ?? null,
      ram: ram.save(),
      faults: [...faults],
      drivers: devices.map(({ driver }) => driver.save()),
    }),
    obstacle: (state) =>
      state.iommu === null || iommu?.fits(state.iommu) === true
        ? null
        : "its kernel has its tables and queues elsewhere",
    restore: (state) => {
      if (state.iommu !== null) iommu?.restore(state.iommu);
      ram.restore(state.ram);
      faults.splice(0, Infinity, ...state.faults);
      devices.forEach(({ driver }, i) => {
        driver.restore(state.drivers[i]);
      });
    },
  };
}

function probeUnits(
  machine: Machine,
  pages: { readonly base: number; readonly size: number },
  pageFaults: PageFaults,
): IommuDriver {
  const { config, memory, bus, firmware, lapics } = machine;
  const { mode, pageRequestQueue } = config.driver;
  return probe({
    bus,
    memory,
    pages,
    acpi: { rsdp: firmware.rsdp },
    pci: bridgesOf(config),
    mode,
    unmapping: config.workload.unmapping,
    pageRequestOrder: Math.log2(pageRequestQueue / REQUESTS_OF_A_PAGE),
    onPageRequest: pageFaults.answer,
    pageRequestEvent: { apicId: lapics.apicId(0), vector: PAGE_REQUEST_VECTOR },
    faultEvent: { apicId: lapics.apicId(0), vector: FAULT_VECTOR },
    poll: () => {
      machine.runPendingWork();
    },
  });
}

/** Reads the fault logs; units go by their names in the configuration. */
function nameFaults(config: GuestConfig, iommu: IommuDriver): DriverFault[] {
  return iommu.serviceFaults().faults.map((fault) => {
    const unit = iommu.topology.units.find(({ name }) => name === fault.unit);
    const named = config.units.find(({ base }) => base === unit?.registerBase);
    return { ...fault, unit: named?.name ?? fault.unit };
  });
}

/** The bus numbers that firmware gave to bridges. */
function bridgesOf({ bridges }: GuestConfig): PciBridges {
  return {
    buses(segment, sourceId) {
      const { first, last } = bridges.find(
        ({ address }) => address.segment === segment && address.sourceId === sourceId,
      )!.buses;
      return { secondary: first, subordinate: last };
    },
  };
}
