import { createMemory } from "@viommu/memory";
import type { ChunkedMemory } from "@viommu/memory";
import { DmaRequest, hiFromNumber, loFromNumber } from "@viommu/plugin";
import type { GuestMemory } from "@viommu/plugin";
import type { VtdUnit } from "@viommu/vtd";
import { ViommuCapability, ViommuClient, ViommuRegistry } from "../src/index.ts";
import type { DomainMachine, XenDomain } from "../src/index.ts";

export const MIB = 2 ** 20;
export const BASE = 0xfed9_0000;
export const { L1_TRANSLATION, L2_TRANSLATION, INTERRUPT_REMAPPING } = ViommuCapability;
export const L2_IR: number = L2_TRANSLATION | INTERRUPT_REMAPPING;

/** Numbers of the domains of {@link XenHost}. */
export const DOM0 = 0;
export const GUEST = 1;

/** Messages that reached a guest: `[upper, address, data]`, unsigned. */
type Messages = [number, number, number][];

/** A guest's side of one domain. */
export interface TestGuest {
  readonly domain: XenDomain;
  readonly memory: ChunkedMemory;
  readonly messages: Messages;
  /** On the MMIO bus now. */
  readonly units: VtdUnit[];
}

/** A host with a control domain, which runs the device models, and guests. */
export class XenHost {
  readonly registry = new ViommuRegistry();
  readonly control: TestGuest;
  readonly client: ViommuClient;

  constructor() {
    this.control = this.addGuest({ domid: DOM0, control: true });
    this.client = this.clientOf(DOM0);
  }

  /** A domain with 16 MiB of memory from address 0, whose device model is in domain 0. */
  addGuest(
    machine: Partial<DomainMachine> = {},
    wrap: (memory: ChunkedMemory) => GuestMemory = (memory) => memory,
  ): TestGuest {
    const memory = createMemory({ regions: [{ base: 0, size: 16 * MIB }] });
    const messages: Messages = [];
    const units: VtdUnit[] = [];
    const domain = this.registry.addDomain({
      domid: GUEST,
      memory: wrap(memory),
      sink: {
        deliver: (upper, address, data) => {
          messages.push([upper >>> 0, address >>> 0, data >>> 0]);
        },
      },
      deviceModel: DOM0,
      attach: (unit) => {
        units.push(unit);
      },
      detach: (unit) => {
        units.splice(units.indexOf(unit), 1);
      },
      ...machine,
    });
    return { domain, memory, messages, units };
  }

  /** A client of a domain, with a buffer of 64 KiB. */
  clientOf(domid: number, lo = 8 * MIB): ViommuClient {
    const { memory } = this.registry.domain(domid)!.machine;
    return new ViommuClient({
      invoke: (hi, address) => this.registry.viommuOp(domid, hi, address),
      memory,
      buffer: { hi: 0, lo, bytes: 65536 },
    });
  }

  /** A guest with one vIOMMU for all its devices. */
  guestWithUnit(
    capabilities: number = L2_IR,
    machine: Partial<DomainMachine> = {},
    wrap?: (memory: ChunkedMemory) => GuestMemory,
  ): TestGuest & { unit: VtdUnit } {
    const guest = this.addGuest(machine, wrap);
    const id = this.client.create(guest.domain.domid, { base: BASE, capabilities });
    if (id < 0) throw new Error(`create: ${id}`);
    return { ...guest, unit: guest.units[0]! };
  }
}

/** A request of a device without PASID. */
export function dmaRequest(sourceId: number, address: number, access: number): DmaRequest {
  const request = new DmaRequest();
  request.sourceId = sourceId;
  request.hi = hiFromNumber(address);
  request.lo = loFromNumber(address);
  request.access = access;
  return request;
}

/** `[hi, lo]` of an answer as one number. */
export function addressOf({ outHi, outLo }: DmaRequest): number {
  return outHi * 2 ** 30 + outLo;
}

/** A 32-bit register. */
export function readRegister(unit: VtdUnit, offset: number): number {
  const out = new Int32Array(2);
  unit.read(offset, 4, out);
  return out[0]! >>> 0;
}
