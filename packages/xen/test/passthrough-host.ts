import type { Domain, IommuDriver } from "@viommu/guest-driver";
import { createMemory } from "@viommu/memory";
import { createPhysicalDevice, createPhysicalUnit, FrameAllocator, P2m } from "@viommu/piommu";
import type { GuestIommu, PhysicalUnit } from "@viommu/piommu";
import { DmaRequest, hiFromNumber, loFromNumber, NO_PASID } from "@viommu/plugin";
import type { PhysicalFault } from "@viommu/plugin";
import { createProfile } from "@viommu/vtd";
import type { ProfileOptions } from "@viommu/vtd";
import { createDomainIommu, ViommuCapability } from "../src/index.ts";
import type { DomainIommuOptions, DomainMachine } from "../src/index.ts";
import { HostedGuest } from "./hosted-guest.ts";
import { BASE, GUEST, L2_IR, MIB } from "./xen-host.ts";

/** Guest frame g is host frame g + OFFSET, until the host changes it. */
export const OFFSET = 0x2000;
const GUEST_FRAMES = 16 * (MIB / 4096);
/** Source-ids: 03:00.0 of the host is the guest's 00:02.0. */
export const DEVICE = 0x0300;
export const VIRTUAL = 0x0010;

/** Choices of a {@link PassthroughHost}. */
export interface PassthroughOptions {
  readonly capabilities?: number;
  readonly physical?: ProfileOptions;
  readonly iommu?: Partial<DomainIommuOptions>;
  readonly machine?: Partial<DomainMachine>;
}

/** A domain with a vIOMMU made by hypercall, and a device of the host's behind it. */
export class PassthroughHost extends HostedGuest {
  readonly physical: PhysicalUnit;
  readonly p2m = new P2m();
  readonly iommu: GuestIommu;
  /** Faults that are none of the guest's business. */
  readonly hostFaults: PhysicalFault[] = [];
  readonly #request = new DmaRequest();

  constructor(options: PassthroughOptions = {}) {
    super(1, options.machine);
    const { capabilities = L2_IR, iommu, physical = {} } = options;
    const { domain, memory, units } = this.guest;
    // the guest's memory is where it is; the host sees it behind its own
    const { buffer } = memory.chunks[0]!;
    const host = createMemory({
      regions: [
        { base: 0, size: OFFSET * 4096 },
        { base: OFFSET * 4096, size: GUEST_FRAMES * 4096, buffer },
      ],
    });
    this.physical = createPhysicalUnit({
      name: "host",
      memory: host,
      frames: new FrameAllocator({ memory: host, firstFrame: 1, frames: OFFSET - 1 }),
      ...createProfile(physical),
      sink: this.lapics,
    });
    this.p2m.map(0, OFFSET, GUEST_FRAMES, "ram");
    this.host.client.create(GUEST, {
      base: BASE,
      capabilities: capabilities | ViommuCapability.CACHING_MODE,
    });
    this.iommu = createDomainIommu(domain, {
      physical: this.physical,
      p2m: this.p2m,
      hostFault: (fault) => void this.hostFaults.push(fault),
      ...iommu,
    });
    this.physical.faultListener = (fault) => void this.iommu.fault(fault);
    this.iommu.assign({ sourceId: DEVICE, virtualSourceId: VIRTUAL, unit: units[0]! });
    createPhysicalDevice(this.physical, DEVICE);
  }

  /** The host frame that the device reaches at an address; the fault reason, negative, if none. */
  reach(address: number, access = 1, pasid = NO_PASID): number {
    const request = this.#request;
    Object.assign(request, { sourceId: DEVICE, pasid, access });
    request.hi = hiFromNumber(address);
    request.lo = loFromNumber(address);
    const reason = this.physical.dmaRemapper.translate(request);
    return reason === 0 ? request.outHi * 2 ** 18 + (request.outLo >>> 12) : -reason;
  }

  /** The guest's device with its driver, started, in a domain of its own. */
  start(): { readonly driver: IommuDriver; readonly mapping: Domain } {
    const driver = this.boot();
    return { driver, mapping: driver.attach({ sourceId: VIRTUAL }) };
  }
}
