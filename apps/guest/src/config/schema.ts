import type { ProfileOptions } from "@viommu/vtd";
import * as v from "valibot";
import { address, buses, busAddress, bytes, flag, name, numberRange, whole } from "./values.ts";

/** A map with these keys, and no others. */
function keys<const T extends v.ObjectEntries>(entries: T) {
  return v.strictObject(entries, (issue) => {
    if (issue.expected !== "never") {
      return issue.received === "undefined"
        ? "is missing; add it"
        : `is no map; give one with the keys ${Object.keys(entries).join(", ")}`;
    }
    return `is no key here; use one of ${Object.keys(entries).join(", ")}`;
  });
}

function listOf<const T extends v.GenericSchema>(item: T) {
  return v.optional(v.array(item, "is no list; give one, with a - in front of each item"), []);
}

const oneOf = <const T extends readonly string[]>(values: T) =>
  v.picklist(values, `is not known; give ${values.join(" or ")}`);

const vcpus = keys({
  count: v.optional(whole(1, 65_536)),
  /** Given: the APIC ids of the vCPUs in their order; `count` may be left out. */
  apicIds: v.optional(v.array(numberRange, "is no list; give APIC ids and ranges of them")),
  apicMode: v.optional(oneOf(["x2apic", "xapic"]), "x2apic"),
  extendedDestinationId: v.optional(flag, false),
});

const MEMORY_RANGES = v.array(keys({ base: address, size: bytes }));

/** A size, or a list of ranges. */
const memory = v.lazy((given) => (Array.isArray(given) ? MEMORY_RANGES : bytes));

/** All options of a profile but the host address width, which is the machine's. */
const OPTIONS: {
  readonly [K in Exclude<keyof ProfileOptions, "hostAddressWidth">]-?: v.GenericSchema<
    Exclude<ProfileOptions[K], undefined>
  >;
} = {
  version: whole(0x10, 0x8f),
  maxGuestAddressWidth: whole(32, 57),
  addressWidths: v.array(v.picklist([39, 48, 57], "is no width; give 39, 48 or 57")),
  pageSizes: v.array(oneOf(["4K", "2M", "1G"])),
  domainIdBits: whole(4, 16),
  faultRecords: whole(1, 256),
  faultRecordOffset: whole(0, 16_368),
  iotlbRegisterOffset: whole(0, 16_368),
  cachingMode: flag,
  writeBufferFlush: flag,
  zeroLengthRead: flag,
  pageSelectiveInvalidation: flag,
  maxAddressMask: whole(0, 63),
  protectedMemory: flag,
  coherentTables: flag,
  passThrough: flag,
  snoopControl: flag,
  enhancedSetRootPointer: flag,
  enhancedSetInterruptPointer: flag,
  queuedInvalidation: flag,
  interruptRemapping: flag,
  eim: flag,
  eimRequired: flag,
  interruptRemappingRequired: flag,
  postedInterrupts: flag,
  maxInterruptIndexMask: whole(0, 15),
  deviceTlb: flag,
  deviceTlbThrottle: flag,
  noWriteFlag: flag,
  scalableMode: flag,
  firstStage: flag,
  firstStage1GPages: flag,
  fiveLevelFirstStage: flag,
  extendedAccessedFlag: flag,
  secondStage: flag,
  secondStageAccessedDirty: flag,
  secondStageIoPermissions: flag,
  nested: flag,
  pasidBits: whole(0, 20),
  ridPasid: flag,
  supervisorRequests: flag,
  ridPrivilege: flag,
  walkSnoopControl: flag,
  translatedWithPasid: flag,
  hostPermissionTables: flag,
  hostPermission1GPages: flag,
  memoryTypes: flag,
  variableMtrrs: whole(0, 10),
  fixedMtrrs: flag,
  writeCombining: flag,
  abortDma: flag,
  pageRequests: flag,
  pageRequestDrain: flag,
  stopMarkers: flag,
};

const unit = keys({
  name,
  base: address,
  segment: v.optional(whole(0, 0xffff), 0),
  /** All PCI devices of its segment that no other unit has. */
  includeAll: v.optional(flag, false),
  /** Names of devices, bridges and I/O APICs. */
  scope: listOf(name),
  queueBudget: v.optional(whole(1, 2 ** 20)),
  iotlbSlots: v.optional(whole(1, 2 ** 20)),
  options: v.optional(optionsSchema(), {}),
});

const bridge = keys({ name, address: busAddress, buses });

const ioapic = keys({
  name,
  id: whole(0, 15),
  base: address,
  pins: v.optional(whole(1, 240), 24),
  /** Requester id of its interrupts. */
  address: busAddress,
});

const pin = keys({
  ioapic: name,
  number: whole(0, 239),
  trigger: v.optional(oneOf(["edge", "level"]), "edge"),
});

/** Processes that share their memory with an accelerator. */
const paging = keys({
  processes: v.optional(whole(1, 1024), 4),
  /** Pages of each that are copied from. */
  pages: v.optional(whole(16, 2 ** 20), 512),
  /** Page frames for all of them together: fewer than pages, and some are taken away again. */
  frames: v.optional(whole(64, 2 ** 20), 1024),
  /** A process ends after so many page faults; 0: never. */
  lifetime: v.optional(whole(0, 2 ** 31), 0),
  /** Entries of the device's translation cache, a power of two. */
  translations: v.optional(whole(1, 65_536), 256),
  /** Groups of page requests that may be without an answer. */
  groups: v.optional(whole(1, 512), 32),
  /** The process is nested on the device's own domain, which must be second-stage. */
  nested: v.optional(flag, false),
  /**
   * A host permission table says what the device may reach by translated requests; it tries others now
   * and then.
   */
  hostPermissions: v.optional(flag, false),
});

const device = keys({
  name,
  kind: oneOf(["nic", "block", "timer", "accelerator"]),
  address: busAddress,
  /** MSI-X vectors; or else `pin`. */
  vectors: v.optional(whole(1, 256)),
  pin: v.optional(pin),
  /** Where its registers are; chosen by firmware unless given. */
  bar: v.optional(address),
  /** What its DMA goes through; unless given, what the driver chooses, as Linux does. */
  domain: v.optional(oneOf(["first-stage", "second-stage", "pass-through"])),
  paging: v.optional(paging),
  /** Small packets of a nic are sent from 2 MiB that stay mapped, in one large page where possible. */
  sendPool: v.optional(flag, false),
  /** Its address in the host, if it is a device of the host. */
  passthrough: v.optional(busAddress),
});

/** The host of devices that are passed through. */
const host = keys({
  /** What its unit can do, as `options` of a unit. */
  options: v.optional(optionsSchema()),
  /** Frames of 4 KiB for the tables of its unit. */
  tableFrames: v.optional(whole(64, 2 ** 17)),
  /** Frames of them that the shadows of the guest's tables may have. */
  frameQuota: v.optional(whole(1, 2 ** 17)),
});

/** The guest's driver of its units. */
const driver = keys({
  mode: v.optional(oneOf(["legacy", "scalable"]), "legacy"),
  /** Entries of each page request queue, a power of two. */
  pageRequestQueue: v.optional(whole(128, 16_384), 2048),
});

const workload = keys({
  /** Interrupts of devices, all of them checked. */
  interrupts: v.optional(whole(0, 2 ** 31), 10_000),
  /** Packets and block requests; the workload goes on until both numbers are reached. */
  transfers: v.optional(whole(0, 2 ** 31), 0),
  /** Interrupts that are moved to another vCPU meanwhile. */
  affinityChanges: v.optional(whole(0, 2 ** 31), 0),
  seed: v.optional(whole(0, 0xffff_ffff), 1),
  /** How device drivers unmap: lazily, devices reach a page until the next flush. */
  unmapping: v.optional(oneOf(["strict", "lazy"]), "strict"),
});

/** The shape of a configuration. What belongs together is checked by the rules. */
export const GUEST = keys({
  name,
  vcpus,
  memory,
  hostAddressWidth: v.optional(whole(32, 52), 48),
  units: listOf(unit),
  bridges: listOf(bridge),
  ioapics: listOf(ioapic),
  devices: listOf(device),
  driver: v.optional(driver, {}),
  host: v.optional(host),
  workload: v.optional(workload, {}),
});

/** A configuration as it stands in the file, with defaults filled in. */
export type GuestDescription = v.InferOutput<typeof GUEST>;

function optionsSchema() {
  const optional = Object.fromEntries(
    Object.entries(OPTIONS).map(([key, schema]) => [key, v.optional(schema)]),
  );
  return v.pipe(
    keys(optional),
    v.transform((options) => options as Omit<ProfileOptions, "hostAddressWidth">),
  );
}
