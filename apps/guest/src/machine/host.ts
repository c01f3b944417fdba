import { createDmaPort, createMemory } from "@viommu/memory";
import type { DmaPort } from "@viommu/memory";
import { createGuestIommu, createPhysicalDevice, createPhysicalUnit } from "@viommu/piommu";
import type { GuestIommu, GuestUnit, PhysicalDevice, PhysicalUnit } from "@viommu/piommu";
import { capability, guestMemory, interruptSink, pendingWork } from "@viommu/plugin";
import type { Capability, GuestMemory, InterruptSink, Plugin } from "@viommu/plugin";
import { vtdUnits } from "@viommu/vtd";
import { DomainPages } from "@viommu/xen";
import type { LoggedMemory } from "@viommu/xen";
import type { GuestConfig } from "../config/guest-config.ts";
import type { HostConfig } from "../config/host-config.ts";
import type { PassedDeviceConfig } from "../config/passed-device.ts";
import { ComparedDma } from "./compared-dma.ts";
import { HostMemory, hostMemory } from "./host-memory.ts";
import { domainPages } from "./memory.ts";
import { noUnit } from "./no-unit.ts";
import { PostedDescriptors } from "./posted-descriptors.ts";

const PAGE = 4096;

/** The key of the host below a guest with passed-through devices. */
export const host: Capability<Host> = capability("host");

/** A device of the host in the hands of the guest. */
export interface PassedDevice {
  readonly config: PassedDeviceConfig;
  readonly physical: PhysicalDevice;
  /** Its DMA, every request of which is compared. */
  readonly dma: DmaPort;
  readonly compared: ComparedDma;
}

/** What a {@link Host} is made of. */
export interface HostOptions {
  readonly config: GuestConfig;
  readonly host: HostConfig;
  readonly memory: HostMemory;
  readonly guestMemory: GuestMemory;
  readonly units: readonly GuestUnit[];
  /** The guest's local APICs. */
  readonly sink: InterruptSink;
  /** A device reached what it must not. */
  readonly problem: (text: string) => void;
}

/**
 * The host: one physical unit above its devices, and the driver that puts the guest's devices behind
 * it. The hypervisor, as far as passed-through devices see it.
 */
export class Host {
  readonly config: HostConfig;
  readonly memory: HostMemory;
  readonly unit: PhysicalUnit;
  readonly driver: GuestIommu;
  /** Null: the unit cannot post interrupts. */
  readonly descriptors: PostedDescriptors | null;
  readonly devices: PassedDevice[] = [];
  /** Blocked requests that are no business of the guest. */
  blocked = 0;
  readonly #options: HostOptions;
  readonly #noUnit: GuestUnit;

  constructor(options: HostOptions) {
    const { config, memory, sink } = options;
    const { profile, frameQuota, interruptEntriesLog2 } = options.host;
    const { capabilities, cap, ecap, hostAddressWidth } = profile;
    const { apicIds, extendedDestinationId } = config.processors;
    this.#options = options;
    this.config = options.host;
    this.memory = memory;
    this.#noUnit = noUnit(config.hostAddressWidth, extendedDestinationId);
    const posts = capabilities.PI !== 0 && capabilities.EIM !== 0;
    this.descriptors = posts ? new PostedDescriptors(memory.frames, apicIds, sink) : null;
    this.unit = createPhysicalUnit({
      name: "host",
      memory: memory.memory,
      frames: memory.frames,
      interruptEntriesLog2,
      ...{ cap, ecap, hostAddressWidth },
      sink: this.descriptors ?? sink,
    });
    const postedTarget = this.descriptors?.lookup;
    this.driver = createGuestIommu({
      name: config.name,
      physical: this.unit,
      memory: options.guestMemory,
      p2m: memory.p2m,
      units: config.units.length === 0 ? [this.#noUnit] : options.units,
      frameQuota,
      ...(postedTarget === undefined ? {} : { postedTarget }),
    });
    this.unit.faultListener = (fault) => {
      const before = this.driver.counters.guestFaults;
      this.driver.fault(fault);
      if (this.driver.counters.guestFaults === before) this.blocked += 1;
    };
    if (this.tracksWrites) this.driver.setDirtyTracking(true);
  }

  /** The unit tells which pages devices have written: a guest can be moved with them. */
  get tracksWrites(): boolean {
    return this.unit.info.dirtyTracking;
  }

  /** Takes a device out of the host and gives it to the guest. */
  assign(config: PassedDeviceConfig): PassedDevice {
    const { problem } = this.#options;
    const { sourceId: virtualSourceId } = config.address;
    const { sourceId } = config.hostAddress;
    const above = this.#options.units.find(({ name }) => name === config.unit);
    const unit = above ?? this.#noUnit;
    this.driver.assign({ sourceId, virtualSourceId, unit });
    const { dmaRemapper, interruptRemapper, memory, sink } = this.unit;
    const known = { name: config.name, unit, virtualSourceId };
    const compared = new ComparedDma(dmaRemapper, known, this.memory.p2m, problem);
    const interrupts = { remapper: interruptRemapper, sink };
    const dma = createDmaPort({ memory, remapper: compared, sourceId, interrupts });
    const physical = createPhysicalDevice(this.unit, sourceId);
    const device = { config, physical, dma, compared };
    this.devices.push(device);
    return device;
  }

  /** What was written: by the guest and its virtual devices, and by the devices of the host. */
  logOf(memory: LoggedMemory): LoggedMemory {
    const { driver } = this;
    return {
      readBytes: memory.readBytes.bind(memory),
      writeBytes: memory.writeBytes.bind(memory),
      dirtyPages: (base, size) => {
        const pages = memory.dirtyPages(base, size);
        driver.readAndClearDirty(base / PAGE, size / PAGE, (gfn) => pages.push(gfn * PAGE));
        return pages;
      },
    };
  }
}

/** Guest memory in the memory of a host. */
export function hostMemoryPlugin(
  config: GuestConfig,
  { profile, tableFrames }: HostConfig,
): Plugin {
  return {
    name: "memory",
    provides: [guestMemory, hostMemory],
    setup(parts) {
      const memory = new HostMemory(config.memory, tableFrames, profile.hostAddressWidth);
      const regions = memory.guestRegions;
      const addressWidth = config.hostAddressWidth;
      parts.provide(hostMemory, memory);
      parts.provide(guestMemory, createMemory({ regions, addressWidth, dirtyLog: true }));
    },
  };
}

/** The host below the units of a guest, which tell it what the guest does. */
export function hostPlugin(
  config: GuestConfig,
  hostConfig: HostConfig,
  problem: (text: string) => void,
): Plugin {
  return {
    name: "host",
    needs: [guestMemory, hostMemory, vtdUnits, interruptSink],
    provides: [host, domainPages, pendingWork],
    setup(parts) {
      const memory = parts.use(guestMemory);
      const made = new Host({
        config,
        host: hostConfig,
        memory: parts.use(hostMemory),
        guestMemory: memory,
        units: parts.use(vtdUnits),
        sink: parts.use(interruptSink),
        problem,
      });
      const { invalidate, modeChange } = made.driver.hooks;
      parts.on("invalidate", invalidate);
      parts.on("modeChange", modeChange);
      parts.provide(host, made);
      parts.provide(pendingWork, made.driver);
      const logged = made.logOf(memory as GuestMemory & LoggedMemory);
      parts.provide(domainPages, new DomainPages(logged, config.memory));
    },
  };
}
