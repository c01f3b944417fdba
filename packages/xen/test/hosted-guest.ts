import { createMmioBus, probe } from "@viommu/guest-driver";
import type { IommuDriver } from "@viommu/guest-driver";
import { ApicMode, LapicBus, LapicRegisters } from "@viommu/irq-hooks";
import { MIB, XenHost } from "./xen-host.ts";
import type { TestGuest } from "./xen-host.ts";
import type { DomainMachine } from "../src/index.ts";

/** Requester of the I/O APIC in these guests, as their DMAR table tells. */
export const IOAPIC = { id: 1, sourceId: 0xff00 };

/** A guest with local APICs whose vIOMMUs are made by hypercall and found by a driver through DMAR. */
export class HostedGuest {
  readonly host = new XenHost();
  readonly lapics: LapicBus;
  readonly guest: TestGuest;

  constructor(vcpus = 1, machine: Partial<DomainMachine> = {}) {
    this.lapics = new LapicBus({ vcpus, initialMode: ApicMode.X2APIC });
    const registers = new LapicRegisters(this.lapics);
    for (let vcpu = 0; vcpu < vcpus; vcpu += 1) registers.writeMsr(vcpu, 0x80f, 0x1ff, 0); // SVR
    this.guest = this.host.addGuest({ ioApics: [IOAPIC], sink: this.lapics, ...machine });
  }

  /** The guest's driver, started; its pages lie from 1 MiB to 8 MiB. */
  boot(options: Partial<Parameters<typeof probe>[0]> = {}): IommuDriver {
    const { domain, memory, units } = this.guest;
    const driver = probe({
      bus: createMmioBus(units),
      memory,
      pages: { base: MIB, size: 7 * MIB },
      acpi: { dmar: domain.acpiTables()[0]!.build() },
      ...options,
    });
    driver.start();
    return driver;
  }
}
