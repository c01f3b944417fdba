import { ioapics } from "@viommu/irq-hooks";
import type { Ioapic, InterruptRouteOptions } from "@viommu/irq-hooks";
import { createDmaPort } from "@viommu/memory";
import type { AtcRouter, DmaPort } from "@viommu/memory";
import { guestMemory, interruptSink, mmioRegions, snapshottables } from "@viommu/plugin";
import type { Host, Plugin, SnapshotHeader } from "@viommu/plugin";
import { vtdUnits } from "@viommu/vtd";
import type { DeviceConfig } from "../config/guest-config.ts";
import { directDma } from "../machine/direct-dma.ts";
import { jsonPart } from "../machine/json-part.ts";
import { Accelerator } from "./accelerator.ts";
import { BlockDevice } from "./block.ts";
import { devices } from "./device.ts";
import type { Device, DeviceInterrupts } from "./device.ts";
import { MsixInterrupts, PinInterrupts } from "./interrupts.ts";
import { Nic } from "./nic.ts";
import { ProcessAccess } from "./process-access.ts";
import { Timer } from "./timer.ts";

/** What a device of a kind is made of. */
export const MODELS = { nic: Nic, block: BlockDevice, timer: Timer } as const;

/** By the name of a unit: the way from it to the devices with translation caches. */
type Routers = ReadonlyMap<string, AtcRouter>;

/** A device as a part of a machine, under the unit that has it in its scope. */
export function devicePlugin(config: DeviceConfig, routers: Routers): Plugin {
  return {
    name: config.name,
    needs: [guestMemory, interruptSink, vtdUnits, ioapics],
    provides: [devices, mmioRegions, snapshottables],
    setup(host) {
      const { sourceId, segment } = config.address;
      const unit = host.use(vtdUnits).find(({ name }) => name === config.unit);
      const sink = host.use(interruptSink);
      const port = createDmaPort({
        memory: host.use(guestMemory),
        remapper: unit?.dma ?? directDma(segment),
        sourceId,
        ...(unit === undefined ? {} : { interrupts: { remapper: unit.interrupts, sink } }),
      });
      const route = { sink, remapper: unit?.interrupts, sourceId };
      const interrupts = interruptsOf(config, route, host.use(ioapics));
      const device = createDevice(host, config, port, interrupts, routers);
      provideDevice(host, device);
    },
  };
}

/** Puts a device into its machine. `restored` is told when it has become one that was saved. */
export function provideDevice(host: Host, device: Device, restored?: () => void): void {
  const { config, interrupts } = device;
  host.provide(devices, device);
  for (const region of device.regions) host.provide(mmioRegions, region);
  if (interrupts.msix !== null) host.provide(snapshottables, interrupts.msix);
  host.provide(
    snapshottables,
    jsonPart({
      header: headerOf(config, interrupts),
      save: () => device.save(),
      restore: (state) => {
        device.restore(state);
        restored?.();
      },
    }),
  );
}

function createDevice(
  host: Host,
  config: DeviceConfig,
  port: DmaPort,
  interrupts: DeviceInterrupts,
  routers: Routers,
): Device {
  const { kind, paging, unit: above, address } = config;
  if (kind !== "accelerator") return new MODELS[kind](config, port, interrupts);
  const access = new ProcessAccess({
    memory: host.use(guestMemory),
    unit: host.use(vtdUnits).find(({ name }) => name === above)!,
    router: routers.get(above!)!,
    sourceId: address.sourceId,
    translations: paging!.translations,
    groups: paging!.groups,
  });
  return new Accelerator(config, port, interrupts, access);
}

function headerOf({ name, kind, bar }: DeviceConfig, interrupts: DeviceInterrupts): SnapshotHeader {
  const queues = interrupts.sent.length;
  return { id: name, version: 1, shape: `${kind} at 0x${bar.toString(16)}, ${queues} queues` };
}

/** How a device interrupts: by messages that take a route, or by a pin of one of the I/O APICs. */
export function interruptsOf(
  { name, bar, interrupt }: DeviceConfig,
  route: InterruptRouteOptions,
  chips: readonly Ioapic[],
): DeviceInterrupts {
  if (interrupt.kind === "msi-x") return new MsixInterrupts(name, bar, interrupt.vectors, route);
  const chip = chips.find((ioapic) => ioapic.name === interrupt.ioapic)!;
  return new PinInterrupts(chip, interrupt.pin, interrupt.trigger);
}
