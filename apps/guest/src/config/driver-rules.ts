import type { Profile } from "@viommu/vtd";
import type { PagingConfig } from "./guest-config.ts";
import type { Refuse } from "./rule.ts";
import type { GuestDescription } from "./schema.ts";

type Device = GuestDescription["devices"][number];
type Capability = keyof Profile["capabilities"];

/** A capability that a device needs, what it is for, and the option that gives it. */
type Need = readonly [capability: Capability, what: string, option: string];

const NEEDS_OF_DOMAIN: Readonly<Record<NonNullable<Device["domain"]>, Need>> = {
  "first-stage": ["FSTS", "first-stage translation", "firstStage"],
  "second-stage": ["SSTS", "second-stage translation", "secondStage"],
  "pass-through": ["PT", "pass-through", "passThrough"],
};

const NEEDS_OF_ACCELERATOR: readonly Need[] = [
  ["PASID", "PASIDs", "pasidBits"],
  ["FSTS", "first-stage translation", "firstStage"],
  ["SMPWCS", "page walks that snoop", "walkSnoopControl"],
  ["DT", "device-TLBs", "deviceTlb"],
  ["PRS", "page requests", "pageRequests"],
];

const PERMISSIONS: Need = ["HPTS", "host permission tables", "hostPermissionTables"];
const NEST: Need = ["NEST", "nested translation", "nested"];

/** Page faults fill at least that much of the queue of a device. */
const isPowerOfTwo = (value: number): boolean => Number.isInteger(Math.log2(value));

/** The processes of an accelerator, with defaults; null for other devices, which have none. */
export function pagingOf(device: Device, index: number, refuse: Refuse): PagingConfig | null {
  const { kind, paging } = device;
  if (kind !== "accelerator") {
    if (paging === undefined) return null;
    refuse(["devices", index, "paging"], `is of no use to a ${kind}`, "leave it out");
  }
  if (paging === undefined) {
    refuse(["devices", index], "has no processes to work for", "give it paging: {}");
  }
  if (!isPowerOfTwo(paging.translations)) {
    const path = ["devices", index, "paging", "translations"];
    refuse(path, "is no power of two", "give 64, 256, 1024, …");
  }
  return paging;
}

/** Units can be driven in the mode that is asked for. */
export function checkDriver(
  { driver, units }: GuestDescription,
  profiles: readonly Profile[],
  refuse: Refuse,
): void {
  if (!isPowerOfTwo(driver.pageRequestQueue)) {
    const path = ["driver", "pageRequestQueue"];
    refuse(path, "is no power of two", "give 128, 256, … 16384 (VT-d 11.4.11.3)");
  }
  if (driver.mode === "legacy") return;
  if (units.length === 0) {
    refuse(["driver", "mode"], "needs a unit", "add one with scalableMode, or leave it out");
  }
  profiles.forEach(({ capabilities }, i) => {
    if (capabilities.SMTS !== 0) return;
    const path = ["driver", "mode"];
    refuse(
      path,
      `is not possible: "${units[i]!.name}" has no scalable mode (ECAP.SMTS)`,
      "set its option scalableMode",
    );
  });
}

/** What is above a device can do what the device is configured for. */
export function checkDomains(
  { driver, devices }: GuestDescription,
  profileAbove: (device: Device) => Profile | undefined,
  refuse: Refuse,
): void {
  const scalable = driver.mode === "scalable";
  devices.forEach((device, i) => {
    const { domain, paging } = device;
    const profile = profileAbove(device);
    const require = ([capability, what, option]: Need, key: string): void => {
      if (profile?.capabilities[capability] === 1) return;
      const path = ["devices", i, key];
      refuse(path, `needs ${what}, and its unit has none`, `set the option ${option} of the unit`);
    };
    if (domain === "first-stage" && !scalable) {
      refuse(["devices", i, "domain"], "needs scalable mode", "set driver: { mode: scalable }");
    }
    // in legacy mode there is second-stage translation alone, and SAGAW tells
    if (domain !== undefined && (scalable || domain === "pass-through")) {
      require(NEEDS_OF_DOMAIN[domain], "domain");
    }
    if (paging === undefined) return;
    if (!scalable) {
      refuse(["devices", i, "kind"], "needs scalable mode", "set driver: { mode: scalable }");
    }
    for (const need of NEEDS_OF_ACCELERATOR) require(need, "kind");
    if (paging.hostPermissions) {
      require(PERMISSIONS, "paging");
      if (domain === "pass-through") {
        const path = ["devices", i, "paging", "hostPermissions"];
        refuse(path, "is not possible: the device passes through", "give it another domain");
      }
    }
    if (!paging.nested) return;
    require(NEST, "paging");
    if (domain === "second-stage") return;
    const path = ["devices", i, "paging", "nested"];
    refuse(path, "needs a second-stage domain below", "set the domain of the device to it");
  });
}
