import { createMemory } from "@viommu/memory";
import { compareCapabilities, createPhysicalUnit, FrameAllocator } from "@viommu/piommu";
import type { CapabilityMismatch } from "@viommu/piommu";
import { ViommuError } from "@viommu/plugin";
import type { PhysicalIommuInfo } from "@viommu/plugin";
import { createProfile } from "@viommu/vtd";
import type { Profile, ProfileOptions } from "@viommu/vtd";
import { memoryRanges } from "./address-map.ts";
import type { ConfigPath } from "./error.ts";
import type { HostConfig } from "./host-config.ts";
import type { Refuse } from "./rule.ts";
import type { GuestDescription } from "./schema.ts";
import { busAddressText } from "./values.ts";

/** A host of today; `host.options` changes it. */
const OPTIONS: ProfileOptions = {
  addressWidths: [39, 48, 57],
  scalableMode: true,
  secondStageAccessedDirty: true,
  postedInterrupts: true,
};

/** Root tables, and a margin. */
const FRAMES_OF_UNIT = 32;
/** Context, PASID directory and PASID table. */
const FRAMES_OF_DEVICE = 4;

/** The key of a unit's option that sets a capability. */
const KEYS: Readonly<Partial<Record<CapabilityMismatch["capability"], string>>> = {
  inputWidth: "addressWidths",
  PLMR: "protectedMemory",
  PHMR: "protectedMemory",
  SSADS: "secondStageAccessedDirty",
  PI: "postedInterrupts",
  PRS: "pageRequests",
  RPRIVS: "ridPrivilege",
};

/** The host below the guest; null when it has none of its devices. Refuses what it cannot keep. */
export function hostOf(
  guest: GuestDescription,
  profiles: readonly Profile[],
  vcpus: number,
  unitOf: (device: GuestDescription["devices"][number]) => string | null,
  refuse: Refuse,
): HostConfig | null {
  checkDevices(guest, refuse);
  const passed = guest.devices.flatMap((device, i) =>
    device.passthrough === undefined ? [] : [{ device, path: ["devices", i, "passthrough"] }],
  );
  if (passed.length === 0 && guest.host === undefined) return null;
  const { options = {}, tableFrames = 16_384, frameQuota = 4096 } = guest.host ?? {};
  const at = guest.host === undefined ? passed[0]!.path : ["host", "options"];
  const profile = attempt(at, refuse, () => createProfile({ ...OPTIONS, ...options }));
  const info = attempt(at, refuse, () => infoOf(profile));
  checkReach(guest, at, profile, info, refuse);
  for (const { device } of passed) {
    const unit = guest.units.findIndex(({ name }) => name === unitOf(device));
    if (unit >= 0) checkUnit(guest, unit, device.name, profiles[unit]!, info, refuse);
  }
  const entries = passed.reduce((sum, { device: { vectors = 0 } }) => sum + vectors, 1);
  const interruptEntriesLog2 = Math.max(8, Math.ceil(Math.log2(entries)));
  const need = framesFor(guest, vcpus, passed.length, interruptEntriesLog2);
  if (tableFrames < need) {
    refuse(["host", "tableFrames"], "are too few for this guest", `give ${need} or more`);
  }
  return { profile, tableFrames, frameQuota, interruptEntriesLog2 };
}

/** Devices reach all memory of the guest, by second-stage tables. */
function checkReach(
  guest: GuestDescription,
  path: ConfigPath,
  { capabilities: { SAGAW, SMTS, SSTS } }: Profile,
  { inputWidth }: PhysicalIommuInfo,
  refuse: Refuse,
): void {
  if (SAGAW === 0 || (SMTS !== 0 && SSTS === 0)) {
    refuse(path, "give the host no second stage", "leave out secondStage and addressWidths");
  }
  const end = memoryRanges(guest).reduce((most, { base, size }) => Math.max(most, base + size), 0);
  if (end <= 2 ** inputWidth) return;
  const text = `give the host addresses of ${inputWidth} bits, and the guest's memory needs more`;
  refuse(path, text, "leave out addressWidths");
}

/** Frames that the unit needs before the guest has mapped anything. */
function framesFor(
  guest: GuestDescription,
  vcpus: number,
  devices: number,
  interruptEntriesLog2: number,
): number {
  const bytes = memoryRanges(guest).reduce((sum, { size }) => sum + size, 0);
  // 512 MiB take at most 2 tables and a border; interrupt entries have 16 bytes, descriptors 64
  const memory = 4 * Math.ceil(bytes / 2 ** 29);
  const interrupts = 2 ** interruptEntriesLog2 / 256 + Math.ceil(vcpus / 64);
  return FRAMES_OF_UNIT + memory + interrupts + FRAMES_OF_DEVICE * devices;
}

/** Each device of the host is there once, below the one unit that the host has. */
function checkDevices({ devices }: GuestDescription, refuse: Refuse): void {
  const seen = new Map<string, string>();
  devices.forEach(({ name, kind, passthrough }, i) => {
    if (passthrough === undefined) return;
    const path = ["devices", i, "passthrough"];
    if (kind === "accelerator") {
      refuse(path, "is not possible for an accelerator", "leave it out");
    }
    if (passthrough.segment !== 0) {
      refuse(path, "is in a segment that the host has not", "give an address without a segment");
    }
    const place = busAddressText(passthrough);
    const other = seen.get(place);
    if (other !== undefined) {
      refuse(path, `is the device that "${other}" is`, "give each its own");
    }
    seen.set(place, name);
  });
}

function checkUnit(
  guest: GuestDescription,
  index: number,
  device: string,
  { capabilities }: Profile,
  info: PhysicalIommuInfo,
  refuse: Refuse,
): void {
  const found = compareCapabilities(capabilities, info);
  const [first] = found;
  if (first === undefined) return;
  const { name } = guest.units[index]!;
  const options = ["units", index, "options"];
  if (first.capability === "CM") {
    const text = `is not set above "${device}" of the host: ${first.why}`;
    refuse([...options, "cachingMode"], text, "set cachingMode: true");
  }
  const whys = found.map(({ capability, why }) => `${KEYS[capability] ?? capability}: ${why}`);
  refuse(
    options,
    `make "${name}" a unit that "${device}" of the host cannot be under (${whys.join(", ")})`,
    "change them, or give the host what they need in host.options",
  );
}

/** What the port of such a unit says of it. Throws ERR_VIOMMU_PIOMMU where there can be none. */
function infoOf({ cap, ecap, hostAddressWidth }: Profile): PhysicalIommuInfo {
  const memory = createMemory({ regions: [{ base: 0, size: 0x1_0000 }] });
  const frames = new FrameAllocator({ memory, firstFrame: 0, frames: 16 });
  const sink = { deliver: () => undefined };
  return createPhysicalUnit({ name: "host", memory, frames, cap, ecap, hostAddressWidth, sink })
    .info;
}

function attempt<T>(path: ConfigPath, refuse: Refuse, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof ViommuError)) throw error;
    const [text = "", remedy = ""] = error.message.split(/; (?=[^;]*$)/);
    return refuse(path, `make no unit of a host: ${text}`, remedy);
  }
}
