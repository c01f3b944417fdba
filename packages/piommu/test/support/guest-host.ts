import { createAtcRouter, createMemory } from "@viommu/memory";
import type { AnsweredGroup, AtcRouter, ChunkedMemory } from "@viommu/memory";
import { createHookTable, DmaRequest, NO_PASID } from "@viommu/plugin";
import type { HookTable, PhysicalFault } from "@viommu/plugin";
import { createProfile, createUnit } from "@viommu/vtd";
import type { ProfileOptions, VtdUnit } from "@viommu/vtd";
import {
  createGuestIommu,
  createPhysicalDevice,
  createPhysicalUnit,
  FrameAllocator,
  P2m,
} from "../../src/index.ts";
import type {
  GuestIommu,
  GuestIommuOptions,
  P2mOptions,
  PhysicalDevice,
  PhysicalUnit,
  PhysicalUnitOptions,
} from "../../src/index.ts";

/** Guest frame g of the guest's memory is host frame g + OFFSET. */
export const OFFSET = 0x1000;
/** Frames of the guest's memory: 16 MiB. */
const GUEST_FRAMES = 0x1000;
/** Where the host's tables begin. */
const HOST_TABLES = 0x2000;
/** Source-ids: of the physical device, and of the same device in the guest. */
export const DEVICE = 0x0300;
export const VIRTUAL = 0x0010;

/** Choices of a {@link guestHost}. */
export interface GuestHostOptions {
  readonly physical?: ProfileOptions;
  readonly unit?: Partial<PhysicalUnitOptions>;
  readonly profile?: ProfileOptions;
  readonly driver?: Partial<GuestIommuOptions>;
  readonly p2m?: P2mOptions;
  readonly tableFrames?: number;
  /** False: the device is not assigned. */
  readonly assign?: boolean;
  /** Source-ids of devices with a translation cache. */
  readonly deviceTlbs?: readonly number[];
  /** These make page requests, too; the guest's unit answers to the devices that it has. */
  readonly pageRequests?: boolean;
}

/** A host with one physical unit, and a guest with one virtual unit and a device behind both. */
export interface GuestHost {
  /** Logs what devices and the physical unit write, not what the guest does. */
  readonly host: ChunkedMemory;
  readonly memory: ChunkedMemory;
  readonly frames: FrameAllocator;
  readonly physical: PhysicalUnit;
  readonly unit: VtdUnit;
  readonly hooks: HookTable;
  readonly p2m: P2m;
  readonly driver: GuestIommu;
  readonly device: PhysicalDevice;
  /** A device of the host, the same one each time. */
  readonly deviceOf: (sourceId: number) => PhysicalDevice;
  /** What page requests were answered with. */
  readonly answered: AnsweredGroup[];
  /** From the guest's unit to its devices, where these make page requests. */
  readonly router: AtcRouter;
  readonly hostFaults: PhysicalFault[];
  readonly delivered: (readonly number[])[];
}

export function guestHost(options: GuestHostOptions = {}): GuestHost {
  const buffer = new ArrayBuffer(0x400_0000);
  const regions = [{ base: 0, size: buffer.byteLength, buffer }];
  const host = createMemory({ regions, dirtyLog: true });
  const memory = createMemory({
    regions: [{ base: 0, size: GUEST_FRAMES * 4096, buffer, bufferOffset: OFFSET * 4096 }],
  });
  const frames = new FrameAllocator({
    memory: host,
    firstFrame: HOST_TABLES,
    frames: options.tableFrames ?? 0x2000,
  });
  const delivered: (readonly number[])[] = [];
  const sink = { deliver: (...message: number[]) => void delivered.push(message) };
  const { deviceTlbs: withTlbs = [], pageRequests: asks = false } = options;
  const answered: AnsweredGroup[] = [];
  const router = createAtcRouter();
  const { cap, ecap, hostAddressWidth } = createProfile({
    deviceTlb: withTlbs.length > 0,
    pageRequests: asks,
    ...options.physical,
  });
  const physical = createPhysicalUnit({
    name: "host",
    memory: host,
    frames,
    cap,
    ecap,
    hostAddressWidth,
    sink,
    devices: withTlbs.map((sourceId) => ({ sourceId, ats: true, pri: asks })),
    ...options.unit,
  });
  const hooks = createHookTable();
  const unit = createUnit({
    name: "guest",
    base: 0xfed90000,
    profile: createProfile({ cachingMode: true, ...options.profile }),
    memory,
    sink,
    hooks,
    ...(asks ? { deviceTlb: router, pageResponses: router } : {}),
  });
  const p2m = new P2m(options.p2m);
  p2m.map(0, OFFSET, GUEST_FRAMES, "ram");
  const hostFaults: PhysicalFault[] = [];
  const driver = createGuestIommu({
    name: "guest",
    physical,
    memory,
    p2m,
    units: [unit],
    hostFault: (fault) => void hostFaults.push(fault),
    ...options.driver,
  });
  hooks.invalidate = driver.hooks.invalidate;
  hooks.modeChange = driver.hooks.modeChange;
  physical.faultListener = (fault) => void driver.fault(fault);
  if (asks) physical.pageRequests!.listener = (request) => driver.pageRequest(request);
  if (options.assign !== false) {
    driver.assign({ sourceId: DEVICE, virtualSourceId: VIRTUAL, unit });
    router.attach(VIRTUAL, driver.endpoint(DEVICE));
  }
  const devices = new Map<number, PhysicalDevice>();
  const deviceOf = (sourceId: number): PhysicalDevice => {
    const pageRequests = { answered: (group: AnsweredGroup) => void answered.push(group) };
    const deviceTlb = asks ? { pageRequests } : {};
    const parts = withTlbs.includes(sourceId) ? { deviceTlb } : {};
    const known = devices.get(sourceId) ?? createPhysicalDevice(physical, sourceId, parts);
    devices.set(sourceId, known);
    return known;
  };
  const device = deviceOf(DEVICE);
  return {
    host,
    memory,
    frames,
    physical,
    unit,
    hooks,
    p2m,
    driver,
    device,
    deviceOf,
    answered,
    router,
    hostFaults,
    delivered,
  };
}

/**
 * The host frame that a read of page `dfn` by a device reaches; -1 where it is blocked. `via` is the
 * unit, or the device with its own cache.
 */
export function reach(
  via: Pick<PhysicalUnit, "dmaRemapper">,
  sourceId: number,
  dfn: number,
  access = 1,
  pasid = NO_PASID,
): number {
  const request = new DmaRequest();
  request.sourceId = sourceId;
  request.pasid = pasid;
  request.access = access;
  request.hi = Math.floor(dfn / 2 ** 18);
  request.lo = (dfn % 2 ** 18) * 4096;
  if (via.dmaRemapper.translate(request) !== 0) return -1;
  return request.outHi * 2 ** 18 + Math.floor(request.outLo / 4096);
}
