import { ViommuError } from "@viommu/plugin";
import type { XlConfig, XlDisk, XlDomain, XlPci, XlPosition, XlValue, XlVif } from "@viommu/xen";
import { busAddressText } from "./values.ts";

/** Where a value of a configuration comes from. */
export interface XlOrigin extends XlPosition {
  /** "vcpus", "disk[2]". */
  readonly key: string;
  /** As it stands there; empty for lists. */
  readonly text: string;
}

/** A setting that makes no part of the machine. */
interface XlNotice extends XlPosition {
  readonly key: string;
  readonly text: string;
}

/** A machine as a YAML file would describe it. */
export interface XlMachine {
  readonly content: Record<string, unknown>;
  /** By path, its steps joined by "/". */
  readonly origins: ReadonlyMap<string, XlOrigin>;
  readonly notices: readonly XlNotice[];
}

const MIB = 2 ** 20;
const LOW_MEMORY_END = 0xc000_0000;
const FOUR_GIB = 2 ** 32;

/** Without 32-bit ids, messages reach APIC ids up to 254. */
const MOST_WITHOUT_EIM = 255;

/** As Xen's: 48 pins, and the id and place that its DMAR table tells. */
const IOAPIC = { name: "ioapic0", id: 1, base: 0xfec0_0000, pins: 48, address: "ff:00.0" };

/** Below are the host bridge, the south bridge, the platform device and the graphics card. */
const FIRST_SLOT = 4;
const LAST_SLOT = 31;
/** Of a device that interrupts by MSI-X. */
const VECTORS = 4;

/** What an unconfigured run does. */
const WORKLOAD = { interrupts: 10_000, transfers: 10_000, affinityChanges: 1_000 };

const MSI_X_CARDS = /^(?:virtio|e1000e$|vmxnet3$|igb$)/;
/** Disk names with an index; a number behind it would be a partition. */
const VDEV = /^(hd|xvd|sd)([a-z]{1,2})$/;
/** An emulated IDE controller has four. */
const IDE_DISKS = /^[a-d]$/;

/**
 * The machine that libxl and the device model make of a domain: one I/O APIC, emulated devices on
 * bus 0, and a unit above them all when `viommu` asks for it. `vcpus` replaces the number of the file.
 * Throws ERR_VIOMMU_CONFIG_RULE for what has no machine here.
 */
export function machineOf(config: XlConfig, domain: XlDomain, vcpus?: number): XlMachine {
  return new MachineBuilder(config, domain).build(vcpus);
}

class MachineBuilder {
  readonly #config: XlConfig;
  readonly #domain: XlDomain;
  readonly #origins = new Map<string, XlOrigin>();
  readonly #notices: XlNotice[] = [];
  readonly #devices: unknown[] = [];
  readonly #slots = new Set<number>();

  constructor(config: XlConfig, domain: XlDomain) {
    this.#config = config;
    this.#domain = domain;
  }

  build(vcpus?: number): XlMachine {
    const { name, type, memory, maxvcpus, viommu } = this.#domain;
    if (type === "pv") {
      const remedy = 'write type = "hvm" or type = "pvh"';
      const text = "makes a PV guest, which has no ACPI tables and no PCI bus";
      this.#refuse(this.#setting("type"), text, remedy);
    }
    const count = vcpus ?? maxvcpus;
    this.#checkReach(count);
    this.#settingOf("vcpus/count", this.#config.settings.has("maxvcpus") ? "maxvcpus" : "vcpus");
    this.#settingOf("memory", "memory");
    this.#settingOf("name", "name");
    this.#settingOf("host", "pci");
    if (viommu !== null) this.#origins.set("units", this.#entry("viommu", 0));
    this.#addPassedThrough();
    this.#domain.vifs.forEach((vif, i) => {
      this.#addCard(vif, i);
    });
    this.#domain.disks.forEach((disk, i) => {
      this.#addDisk(disk, i);
    });
    for (const { name: key, reason, line, column } of this.#domain.ignored) {
      this.#notices.push({ line, column, key, text: IGNORED[reason] });
    }
    const busy = this.#devices.length > 0;
    const { affinityChanges } = WORKLOAD;
    return {
      content: {
        name: nameOf(name),
        vcpus: { count, apicMode: "x2apic" },
        memory: memory * MIB,
        hostAddressWidth: Math.min(52, this.#addressWidth()),
        units: viommu === null ? [] : [this.#unit()],
        ioapics: [IOAPIC],
        devices: this.#devices,
        workload: busy
          ? { ...WORKLOAD, affinityChanges: count > 1 ? affinityChanges : 0 }
          : { interrupts: 0 },
      },
      origins: this.#origins,
      notices: this.#notices.sort((a, b) => a.line - b.line || a.column - b.column),
    };
  }

  #unit(): unknown {
    const { intremap, dmaremap, eim, cachingMode, base } = this.#domain.viommu!;
    const width = this.#addressWidth();
    const addressWidths = dmaremap ? [39, 48, 57].filter((known) => known <= width) : [];
    return {
      ...{ name: "viommu0", base, includeAll: true, scope: [IOAPIC.name] },
      options: { addressWidths, interruptRemapping: intremap, eim, cachingMode },
    };
  }

  /** 39 bits, as in the Xen series, unless the memory of the guest needs more. */
  #addressWidth(): number {
    const { memory, viommu } = this.#domain;
    const bytes = memory * MIB;
    const end = bytes <= LOW_MEMORY_END ? bytes : FOUR_GIB + bytes - LOW_MEMORY_END;
    const needed = [39, 48, 57].find((width) => end <= 2 ** width) ?? 57;
    const given = viommu?.addressWidth ?? needed;
    if (given < needed) {
      const text = `has ${given} bits of address, and ${memory} MiB of memory need ${needed}`;
      this.#refuse(
        this.#entry("viommu", 0),
        text,
        `write address_width=${needed}, or leave it out`,
      );
    }
    return given;
  }

  #checkReach(count: number): void {
    const { viommu } = this.#domain;
    if (count <= MOST_WITHOUT_EIM || viommu?.eim === true) return;
    const text = `asks for ${count} vCPUs, and without 32-bit ids interrupts reach ${MOST_WITHOUT_EIM}`;
    const key = this.#config.settings.has("maxvcpus") ? "maxvcpus" : "vcpus";
    const remedy = "write viommu = [ 'type=intel_vtd,intremap=1,eim=1' ]";
    this.#refuse(this.#setting(key), text, remedy);
  }

  /** Devices of the host: network cards all of them. Slots that are asked for are kept for them. */
  #addPassedThrough(): void {
    const { pci } = this.#domain;
    pci.forEach(({ slot }, i) => {
      if (slot === null) return;
      if (slot < FIRST_SLOT || this.#slots.has(slot)) {
        const text = `asks for slot ${slot.toString(16)}, which is taken`;
        this.#refuse(this.#entry("pci", i), text, "give a free one from 4 to 1f, or none");
      }
      this.#slots.add(slot);
    });
    pci.forEach((device, i) => {
      this.#addHostDevice(device, i);
    });
  }

  #addHostDevice({ address, slot }: XlPci, i: number): void {
    if (address === null) {
      this.#leaveOut("pci", i, "a device by its name in a host, and this host has no names");
      return;
    }
    if (address.segment !== 0) {
      this.#leaveOut("pci", i, "in another segment, and this host has one");
      return;
    }
    const { viommu } = this.#domain;
    if (viommu?.dmaremap === true && !viommu.cachingMode) {
      const text = "has no caching mode, and without it the guest does not tell of new mappings";
      const remedy = "write caching_mode=1, for the devices in pci";
      this.#refuse(this.#entry("viommu", 0), text, remedy);
    }
    const { bus, device, function: fn } = address;
    // of all functions the first one
    const sourceId = (bus << 8) | (device << 3) | (fn ?? 0);
    const passthrough = busAddressText({ segment: 0, sourceId });
    this.#addDevice("pci", i, { name: `pci${i}`, kind: "nic", passthrough }, true, slot);
  }

  #addCard({ type, model }: XlVif, i: number): void {
    if (this.#domain.type === "pvh" || type === "vif") {
      this.#leaveOut("vif", i, "paravirtual, and so not behind an IOMMU");
      return;
    }
    this.#addDevice("vif", i, { name: `vif${i}`, kind: "nic" }, MSI_X_CARDS.test(model));
  }

  #addDisk({ vdev, cdrom, specification }: XlDisk, i: number): void {
    const [, family, index = ""] = VDEV.exec(vdev) ?? [];
    const virtio = specification === "virtio";
    const emulated = family === "sd" || (family !== undefined && IDE_DISKS.test(index));
    if (cdrom) {
      this.#leaveOut("disk", i, "a CD drive, and this machine has none");
    } else if (family === undefined || (!virtio && (this.#domain.type === "pvh" || !emulated))) {
      this.#leaveOut("disk", i, "paravirtual, and so not behind an IOMMU");
    } else {
      this.#checkTwice(vdev, i);
      this.#addDevice("disk", i, { name: vdev, kind: "block" }, virtio);
    }
  }

  #checkTwice(vdev: string, i: number): void {
    const first = this.#domain.disks.findIndex((disk) => disk.vdev === vdev);
    if (first === i) return;
    this.#refuse(this.#entry("disk", i), `is ${vdev}, as disk[${first}]`, "give each its own vdev");
  }

  /** In the next free slot unless one is kept for it, with a pin of its own unless it has MSI-X. */
  #addDevice(
    list: "disk" | "pci" | "vif",
    i: number,
    device: { name: string; kind: "nic" | "block"; passthrough?: string },
    msiX: boolean,
    wanted: number | null = null,
  ): void {
    let slot = wanted ?? FIRST_SLOT;
    while (wanted === null && this.#slots.has(slot)) slot += 1;
    if (slot > LAST_SLOT) {
      const text = `has no slot: a bus has ${LAST_SLOT - FIRST_SLOT + 1} for devices`;
      this.#refuse(this.#entry(list, i), text, "leave some out");
    }
    this.#slots.add(slot);
    this.#origins.set(`devices/${this.#devices.length}`, this.#entry(list, i));
    this.#devices.push({
      ...device,
      address: busAddressText({ segment: 0, sourceId: slot << 3 }),
      ...(msiX
        ? { vectors: VECTORS }
        : { pin: { ioapic: IOAPIC.name, number: pinOf(slot), trigger: "level" } }),
    });
  }

  #leaveOut(list: "disk" | "pci" | "vif", i: number, text: string): void {
    const { key, line, column } = this.#entry(list, i);
    this.#notices.push({ key, line, column, text });
  }

  #settingOf(path: string, name: string): void {
    if (this.#config.settings.has(name)) this.#origins.set(path, this.#setting(name));
  }

  /** The value of a setting; the beginning of the file when it is not there. */
  #setting(key: string): XlOrigin {
    const value = this.#config.settings.get(key)?.value;
    if (value === undefined) return { key, text: "", line: 1, column: 1 };
    return { key, ...originOf(value) };
  }

  #entry(list: "disk" | "pci" | "vif" | "viommu", i: number): XlOrigin {
    const value = this.#config.settings.get(list)!.value;
    const item = value.kind === "list" ? value.items[i]! : value;
    return { key: `${list}[${i}]`, ...originOf(item) };
  }

  #refuse({ key, text: value, line, column }: XlOrigin, text: string, remedy: string): never {
    const subject = value === "" ? key : `${key} (${value})`;
    const place = `${this.#config.fileName}:${line}:${column}`;
    throw new ViommuError("ERR_VIOMMU_CONFIG_RULE", `${place}: ${subject} ${text}; ${remedy}`);
  }
}

const IGNORED = {
  "no effect": "no part of this machine",
  unknown: "no key of xl",
  replaced: "given again further down",
} as const;

function originOf(value: XlValue): Omit<XlOrigin, "key"> {
  const { kind, line, column } = value;
  if (kind === "list") return { text: "", line, column };
  return { text: kind === "number" ? value.text : JSON.stringify(value.text), line, column };
}

/** The I/O APIC pin of INTA# of a slot on bus 0, as Xen wires them. */
function pinOf(slot: number): number {
  return 16 + (((slot << 2) + (slot >> 3)) & 31);
}

/** Names of guests are freer in xl. */
function nameOf(name: string): string {
  const plain = name.replaceAll(/[^A-Za-z0-9_-]/g, "-").slice(0, 32);
  return /^[A-Za-z]/.test(plain) ? plain : `guest-${plain}`.slice(0, 32);
}
