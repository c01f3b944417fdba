import type { IommuDriver } from "@viommu/guest-driver";
import type { DeviceConfig, GuestConfig } from "../config/guest-config.ts";
import type { Device } from "../devices/device.ts";
import { DeviceRegister } from "../devices/layout.ts";
import { Timer } from "../devices/timer.ts";
import type { Machine } from "../machine/machine.ts";
import { mix } from "../random.ts";
import { AcceleratorDriver } from "./accelerator-driver.ts";
import { BlockDriver } from "./block-driver.ts";
import type { DeviceDriver, DriverServices } from "./device-driver.ts";
import { dmaSpaceOf } from "./dma-space.ts";
import { msixPath, pinPath } from "./interrupt-routes.ts";
import type { InterruptPath } from "./interrupt-routes.ts";
import type { Interrupt, Interrupts } from "./interrupts.ts";
import { NicDriver } from "./nic-driver.ts";
import type { PageFaults } from "./page-faults.ts";
import type { Ram } from "./ram.ts";
import { TimerDriver } from "./timer-driver.ts";

const MSIX_ENABLE = 0x8000_0000 | 0;

/** A device under the kernel: its driver, and an interrupt for each queue. */
export interface DrivenDevice {
  readonly device: Device;
  readonly driver: DeviceDriver;
  readonly interrupts: readonly Interrupt[];
}

/** Starts the driver of each device, and spreads all interrupts evenly from the first vCPU to the last. */
export function startDevices(
  machine: Machine,
  iommu: IommuDriver | null,
  ram: Ram,
  interrupts: Interrupts,
  faults: PageFaults,
): DrivenDevice[] {
  const { config } = machine;
  const paths = new Paths(machine, iommu);
  const total = machine.devices.reduce((sum, device) => sum + device.interrupts.sent.length, 0);
  let next = 0;
  return machine.devices.map((device, i) => {
    const { name } = device.config;
    const key = mix(config.workload.seed, i);
    const dma = dmaSpaceOf(iommu, device.config, ram);
    const services = { bus: machine.bus, ram, dma, key };
    const driver = startDriver(device, services, iommu, faults);
    device.interrupts.msix?.write(0, MSIX_ENABLE);
    const acknowledge = acknowledgementOf(machine, device);
    const own = Array.from({ length: driver.queues }, (_, queue) => {
      const vcpu = Math.floor(((next++ + 0.5) * interrupts.vcpus) / total);
      return interrupts.add(
        {
          name: `${name}/${queue}`,
          path: paths.create(device, queue),
          sent: () => device.interrupts.sent[queue]!,
          serve: () => {
            acknowledge();
            return driver.finish(queue);
          },
          exclusive: paths.exclusive(device.config),
        },
        vcpu,
      );
    });
    return { device, driver, interrupts: own };
  });
}

function startDriver(
  device: Device,
  services: DriverServices,
  iommu: IommuDriver | null,
  faults: PageFaults,
): DeviceDriver {
  const { config } = device;
  if (device instanceof Timer) {
    return new TimerDriver(config, services, (queue) => {
      device.tick(queue);
    });
  }
  const { address, paging } = config;
  if (iommu !== null && paging !== null) {
    const nestedOn = paging.nested ? iommu.domainOf(address) : null;
    const shared = { config: paging, device: address, iommu, faults, nestedOn };
    return new AcceleratorDriver(config, services, shared);
  }
  const Driver = config.kind === "nic" ? NicDriver : BlockDriver;
  return new Driver(config, services);
}

/** A pin is taken back by reading why it was asserted. */
function acknowledgementOf({ bus }: Machine, { config, interrupts }: Device): () => void {
  if (interrupts.msix !== null) return () => undefined;
  const out = new Int32Array(2);
  return () => {
    bus.read(config.bar + DeviceRegister.CAUSE, 4, out);
  };
}

/** Makes the paths of interrupts: through remapping entries where interrupts are remapped. */
class Paths {
  readonly #config: GuestConfig;
  readonly #machine: Machine;
  readonly #remapper: IommuDriver | null;
  /** Vectors of levels of one I/O APIC, by its name. */
  readonly #levels = new Map<string, Set<number>>();

  constructor(machine: Machine, iommu: IommuDriver | null) {
    this.#machine = machine;
    this.#config = machine.config;
    this.#remapper = iommu?.interruptObstacle === null ? iommu : null;
  }

  create({ config, interrupts }: Device, queue: number): InterruptPath {
    const { bus } = this.#machine;
    if (interrupts.msix !== null) {
      const block = this.#remapper?.requestInterrupts(config.address) ?? null;
      return msixPath(bus, interrupts.msix, queue, block);
    }
    const { chip, pin, trigger } = this.#pinOf(config)!;
    const block = this.#remapper?.requestInterrupts({ ioApic: chip.id }) ?? null;
    return pinPath(bus, { base: chip.base, pin, trigger }, block);
  }

  /** Without remapping, a level ends by its vector: no other level of the I/O APIC may have it. */
  exclusive(config: DeviceConfig): Set<number> | undefined {
    const place = this.#pinOf(config);
    if (place?.trigger !== "level" || this.#remapper !== null) return undefined;
    const { name } = place.chip;
    const vectors = this.#levels.get(name) ?? new Set();
    this.#levels.set(name, vectors);
    return vectors;
  }

  #pinOf({ interrupt }: DeviceConfig) {
    if (interrupt.kind !== "pin") return null;
    const { ioapic, pin, trigger } = interrupt;
    return { chip: this.#config.ioapics.find(({ name }) => name === ioapic)!, pin, trigger };
  }
}
