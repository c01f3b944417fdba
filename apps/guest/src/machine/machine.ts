import type { MmioBus } from "@viommu/guest-driver";
import { ApicMode, ioapic, lapicBus, lapics } from "@viommu/irq-hooks";
import type { LapicBus, LapicBusOptions } from "@viommu/irq-hooks";
import { createAtcRouter } from "@viommu/memory";
import type { AtcRouter } from "@viommu/memory";
import { assemble, guestMemory, pendingWork, snapshottables } from "@viommu/plugin";
import type { FaultRecord, GuestMemory, Plugin } from "@viommu/plugin";
import { vtd, vtdUnits } from "@viommu/vtd";
import type { VtdUnit } from "@viommu/vtd";
import type { SavedDomain } from "@viommu/xen";
import type { GuestConfig, IoapicConfig, UnitConfig } from "../config/guest-config.ts";
import { isPassedThrough } from "../config/passed-device.ts";
import { devices } from "../devices/device.ts";
import type { Device } from "../devices/device.ts";
import { passedDevicePlugin } from "../devices/passed-plugin.ts";
import { devicePlugin } from "../devices/plugin.ts";
import { acpiPlugin, firmware, firmwarePlugin } from "./firmware.ts";
import type { Firmware } from "./firmware.ts";
import { host, hostMemoryPlugin, hostPlugin } from "./host.ts";
import type { Host } from "./host.ts";
import { domainPages, memoryPlugin } from "./memory.ts";
import { busPlugin, mmioBus } from "./mmio-bus.ts";

/** A machine, switched on: firmware has run, nothing else has. */
export interface Machine {
  readonly config: GuestConfig;
  readonly memory: GuestMemory;
  readonly bus: MmioBus;
  readonly lapics: LapicBus;
  /** In the order of the configuration. */
  readonly units: readonly VtdUnit[];
  readonly devices: readonly Device[];
  readonly firmware: Firmware;
  /** Below it; null: it has no device of a host. */
  readonly host: Host | null;
  /** Its memory and the state of all its parts, to be saved and restored. */
  readonly domain: SavedDomain;
  /** Does what bounded guest accesses have left over. */
  runPendingWork(): void;
}

/** Who looks at what happens in a machine. */
export interface MachineObserver {
  /** A vCPU took an interrupt; called inside the delivery. */
  readonly interrupt?: NonNullable<LapicBusOptions["onInterrupt"]>;
  /** A unit blocked a request. The record is valid during the call. */
  readonly fault?: (unit: string, record: FaultRecord) => void;
  /** A device of the host reached memory that it must not reach. */
  readonly problem?: (text: string) => void;
}

/** Queue descriptors that a unit processes in one go. */
const WORK_BUDGET = 4096;

/** Puts the machine of a configuration together, part by part. */
export function assembleMachine(config: GuestConfig, observer: MachineObserver = {}): Machine {
  // the way from a unit back to the devices with translation caches
  const routers = new Map(config.units.map(({ name }) => [name, createAtcRouter()]));
  const assembly = assemble([
    ...memoryPlugins(config, observer),
    processors(config, observer),
    ...config.units.map((unit) => remappingUnit(unit, routers.get(unit.name)!)),
    ...config.ioapics.map((chip) => interruptController(config, chip)),
    ...config.devices.map((device) =>
      isPassedThrough(device) ? passedDevicePlugin(device) : devicePlugin(device, routers),
    ),
    acpiPlugin(config),
    firmwarePlugin(config.memory),
    busPlugin,
    faultObserver(observer),
  ]);
  const work = assembly.use(pendingWork);
  return {
    config,
    memory: assembly.use(guestMemory),
    bus: assembly.use(mmioBus),
    lapics: assembly.use(lapics),
    units: assembly.use(vtdUnits),
    devices: assembly.use(devices),
    firmware: assembly.use(firmware),
    host: config.host === null ? null : assembly.use(host),
    domain: { parts: assembly.use(snapshottables), pages: assembly.use(domainPages) },
    runPendingWork: () => {
      for (const part of work) if (part.pending) part.run(WORK_BUDGET);
    },
  };
}

/** Memory of its own, or a part of the memory of a host. */
function memoryPlugins(config: GuestConfig, { problem }: MachineObserver): Plugin[] {
  if (config.host === null) return [memoryPlugin(config.memory, config.hostAddressWidth)];
  const below = hostPlugin(config, config.host, problem ?? (() => undefined));
  return [hostMemoryPlugin(config, config.host), below];
}

function processors({ processors: config }: GuestConfig, observer: MachineObserver): Plugin {
  return lapicBus({
    vcpus: config.apicIds.length,
    apicIds: config.apicIds,
    initialMode: config.apicMode === "x2apic" ? ApicMode.X2APIC : ApicMode.XAPIC,
    extendedDestinationId: config.extendedDestinationId,
    ...(observer.interrupt === undefined ? {} : { onInterrupt: observer.interrupt }),
  });
}

function remappingUnit(
  { queueBudget, iotlbSlots, ...unit }: UnitConfig,
  router: AtcRouter,
): Plugin {
  return vtd({
    ...unit,
    deviceTlb: router,
    pageResponses: router,
    ...(queueBudget === undefined ? {} : { queueBudget }),
    ...(iotlbSlots === undefined ? {} : { iotlbSlots }),
  });
}

function interruptController(config: GuestConfig, chip: IoapicConfig): Plugin {
  // remappers stand in the list as their units do in the configuration
  const unit = config.units.findIndex(({ name }) => name === chip.unit);
  return ioapic({
    name: chip.name,
    base: chip.base,
    pins: chip.pins,
    id: chip.id,
    sourceId: chip.address.sourceId,
    segment: chip.address.segment,
    remapper: (all) => all[unit],
  });
}

function faultObserver({ fault }: MachineObserver): Plugin {
  return {
    name: "fault-observer",
    setup(host) {
      if (fault !== undefined) host.on("fault", fault);
    },
  };
}
