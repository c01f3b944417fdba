import { ioapics } from "@viommu/irq-hooks";
import { mmioRegions, snapshottables } from "@viommu/plugin";
import type { Plugin } from "@viommu/plugin";
import type { PassedDeviceConfig } from "../config/passed-device.ts";
import { host } from "../machine/host.ts";
import { devices } from "./device.ts";
import { PassedVectors } from "./passed-interrupts.ts";
import { interruptsOf, MODELS, provideDevice } from "./plugin.ts";

/**
 * A device of the host as a part of a guest's machine. Its DMA and its messages go through the
 * physical unit; a pin is the business of the hypervisor, which drives the guest's I/O APIC.
 */
export function passedDevicePlugin(config: PassedDeviceConfig): Plugin {
  return {
    name: config.name,
    needs: [host, ioapics],
    provides: [devices, mmioRegions, snapshottables],
    setup(parts) {
      const below = parts.use(host);
      const passed = below.assign(config);
      const vectors = new PassedVectors(below, passed);
      const interrupts = interruptsOf(config, vectors.route, parts.use(ioapics));
      if (interrupts.msix !== null) vectors.trap(interrupts.msix);
      provideDevice(parts, new MODELS[config.kind](config, passed.dma, interrupts), () => {
        vectors.restored();
      });
    },
  };
}
