import type { FaultRecord, PageRequest } from "../events.ts";

/**
 * The physical IOMMU below a virtual one, as its driver offers it (Xen: IOMMU contexts; Linux
 * iommufd: HWPT_PAGING, HWPT_NESTED, hw_info). Addresses are frame numbers, in units of 4 KiB:
 * `dfn` what the device asks for, `mfn` where the data is in host memory.
 */
export interface PhysicalIommu {
  readonly name: string;
  /** PCI segment of its devices. */
  readonly segment: number;
  readonly info: PhysicalIommuInfo;
  /** A new, empty address space with second-stage tables. Throws ERR_VIOMMU_PIOMMU when ids run out. */
  createPagingSpace(options: PagingSpaceOptions): PagingSpace;
  /** First-stage tables of a guest, walked on top of `parent`, which holds GPA→HPA. */
  createNestedSpace(parent: PagingSpace, stage: FirstStage): NestedSpace;
  /** Lets a device reach all host memory one to one. */
  readonly identity: DeviceSpace;
  /** Lets a device reach nothing; all devices start here, and come back here (quarantine). */
  readonly blocking: DeviceSpace;
  /**
   * From the return of this call on, the requests of a device (those with `pasid`, or those without
   * for NO_PASID) and of all its aliases go through `space`. Atomic: a request sees the old space or
   * the new one. Throws ERR_VIOMMU_PIOMMU, and nothing is changed, when it cannot be done: no table
   * frame left, no such PASID (PASID 0 may stand for requests without), a reserved region missing.
   * Never throws for `blocking`, so that a device can always be taken out of service.
   */
  attach(sourceId: number, pasid: number, space: DeviceSpace): void;
  /** The space a device's requests go through; `blocking` when none was attached. */
  attached(sourceId: number, pasid: number): DeviceSpace;
  /** What every paging space of this device has to respect; a device's aliases are its own. */
  reservedRegions(sourceId: number): readonly ReservedRegion[];
  /**
   * Requests that were translated before a flush, an invalidation or an attach may still be under
   * way when it returns. True when none of those begun before this call is; otherwise `done` is
   * called, once, when the last of them is over. What they reach belongs to nobody else until then.
   */
  drain(done: (this: void) => void): boolean;
  /**
   * Drops what a device has cached itself of 2^order pages (52: all) from input page `page` on, for
   * its requests with `pasid`, or those without for NO_PASID (device-TLB, VT-d 6.5.2.5). It has to
   * follow an invalidation of the unit's caches. Missing where {@link NestedSpace.invalidate} always
   * does so too.
   */
  invalidateDeviceTlb?(sourceId: number, pasid: number, page: number, order: number): void;
  /** Page requests of its devices (PCI Express PRI); missing where it takes none. */
  readonly pageRequests?: PhysicalPageRequests;
  /** Interrupt entries of its devices. */
  readonly interrupts: PhysicalInterrupts;
  /** Who is told of blocked requests of physical devices; null: nobody. */
  faultListener: ((this: void, fault: PhysicalFault) => void) | null;
}

/** What a physical IOMMU can do, to be compared with a guest's unit before a device is assigned. */
export interface PhysicalIommuInfo {
  /** CAP and ECAP as the hardware reports them (VT-d 11.4.2, 11.4.3). */
  readonly cap: bigint;
  readonly ecap: bigint;
  /** Bits of host-physical addresses. */
  readonly hostAddressWidth: number;
  /** Bits of the addresses that a paging space takes. */
  readonly inputWidth: number;
  /** Orders (log2 of 4 KiB pages) of the page sizes a paging space can use: 0, 9, 18. */
  readonly pageOrders: readonly number[];
  /** {@link MapFlag}.SNOOP may be given. */
  readonly snoop: boolean;
  readonly nesting: boolean;
  readonly posting: boolean;
  readonly dirtyTracking: boolean;
  /** Page requests of devices come to {@link PhysicalIommu.pageRequests}; missing: they don't. */
  readonly pageRequests?: boolean;
  /** Domain ids; one for each paging or nested space. */
  readonly domainIds: number;
}

/** Bits of a mapping's rights. */
export const MapFlag = {
  READ: 1,
  WRITE: 2,
  /** Accesses snoop the processor caches. */
  SNOOP: 4,
} as const;

/** Results of {@link PagingSpace.map}. */
export const MapResult = {
  MAPPED: 0,
  /** The space's table frames (or the host's) are used up; nothing was changed. */
  NO_FRAMES: 1,
  /** `dfn` or `mfn` outside its address width; nothing was changed. */
  BEYOND_WIDTH: 2,
} as const;

/** How a paging space is made. */
export interface PagingSpaceOptions {
  /** Table frames it may use at most. */
  readonly frameQuota: number;
  /** It will be the parent of nested spaces. */
  readonly nestingParent?: boolean;
}

/** Frames that a device's address spaces treat in a special way (RMRR of a DMAR table, VT-d 8.4). */
export interface ReservedRegion {
  /** First frame, and how many. */
  readonly dfn: number;
  readonly frames: number;
  /**
   * "direct": mapped one to one, readable and writable, in every paging space the device is attached
   * to. "interrupts": never translated, so of no use for mappings.
   */
  readonly kind: "direct" | "interrupts";
}

/** Something a device can be attached to. */
export interface DeviceSpace {
  readonly kind: "paging" | "nested" | "identity" | "blocking";
}

/** An address space of second-stage tables, owned by the driver (IOAS with its hardware page table). */
export interface PagingSpace extends DeviceSpace {
  readonly kind: "paging";
  /** Table frames in use; those of tables that were taken away count until the next flush. */
  readonly frames: number;
  /**
   * Maps 2^order pages from `dfn` on to those from `mfn` on, both naturally aligned; whatever the
   * range mapped before is replaced. `order` is one of `info.pageOrders`.
   */
  map(dfn: number, mfn: number, order: number, flags: number): number;
  /**
   * Removes 2^order pages (any order), splitting larger ones at the edges. MapResult.NO_FRAMES when
   * a split found no frame: then the whole larger page is gone.
   */
  unmap(dfn: number, order: number): number;
  /**
   * Ends a batch: from its return on no request, through nested spaces on top of this one either, is
   * translated by what was unmapped or replaced before. {@link PhysicalIommu.drain} tells when those
   * that had been translated already are over.
   */
  flush(): void;
  /** What `dfn` maps to; false where nothing. */
  lookup(dfn: number, out: PhysicalMapping): boolean;
  /**
   * Starts (with everything clean) or stops dirty tracking. Throws ERR_VIOMMU_PIOMMU unless
   * `info.dirtyTracking`.
   */
  setDirtyTracking(on: boolean): void;
  /**
   * Tells of each dirty page in 2^order pages from `dfn` on, large ones in their order, and makes it
   * clean. A request makes its page dirty when it is translated: what is translated after the return
   * is told of next time; drain before the last reading. A device that translates itself makes pages
   * dirty that it only reads, unless translation requests can say so (ECAP.NWFS).
   */
  readAndClearDirty(dfn: number, order: number, dirty: (dfn: number, order: number) => void): void;
  /** Gives all frames back. Throws ERR_VIOMMU_PIOMMU while a device or a nested space uses it. */
  destroy(): void;
}

/** What {@link PagingSpace.lookup} found: a caller-owned object. */
export interface PhysicalMapping {
  /** Frame of exactly the `dfn` asked for. */
  mfn: number;
  /** Order of the page it is part of. */
  order: number;
  /** Bits of {@link MapFlag}. */
  flags: number;
}

/** A guest's first-stage root and how it is walked (PASID-table entry, VT-d 9.6). */
export interface FirstStage {
  /** Guest-physical frame of the root table. */
  readonly rootFrame: number;
  readonly levels: 4 | 5;
  /** Bits of the scalable-mode PASID-table entry. */
  readonly supervisor: boolean;
  readonly writeProtect: boolean;
  readonly extendedAccessed: boolean;
}

/** A guest's first-stage tables on top of a paging space. */
export interface NestedSpace extends DeviceSpace {
  readonly kind: "nested";
  readonly parent: PagingSpace;
  /**
   * Drops what is cached of 2^order pages (52: all) from page `page` of the first-stage input on.
   * With `unitOnly`, what devices have cached themselves may stay until
   * {@link PhysicalIommu.invalidateDeviceTlb}.
   */
  invalidate(page: number, order: number, leafOnly: boolean, unitOnly?: boolean): void;
  destroy(): void;
}

/** Interrupt-remapping entries of physical devices. */
export interface PhysicalInterrupts {
  /** A blocked entry for a device; the handle goes into the device's message. Throws when none is left. */
  allocate(sourceId: number): number;
  /** Where the interrupts of this handle go from now on; null blocks them. Atomic. */
  program(handle: number, target: InterruptTarget | null): void;
  free(handle: number): void;
}

/**
 * Page requests of physical devices (VT-d 7.4 to 7.6). Each group ends with one answer, to the request
 * that is its last; requests of devices and PASIDs that are attached to nothing are answered with
 * Invalid Request (1), and nobody is told of them.
 */
export interface PhysicalPageRequests {
  /**
   * Who is told of requests, with the source-id on the host. It returns true if it takes the request,
   * and then sees to it that the group is answered, also when the device is taken away; what it does
   * not take, or nobody hears of (null), is answered with Invalid Request. It may answer inside.
   */
  listener: ((this: void, request: PageRequest) => boolean) | null;
  /**
   * Answers a group: 0 success, 1 invalid request, 15 failure. False when no such group waits for an
   * answer: nothing is done then.
   */
  respond(sourceId: number, pasid: number, group: number, code: number): boolean;
}

/** Where an interrupt of a physical device goes. */
export type InterruptTarget =
  | {
      readonly kind: "remapped";
      readonly vector: number;
      /** 32-bit APIC id, or logical destination. */
      readonly destination: number;
      readonly logical: boolean;
      readonly redirectionHint: boolean;
      /** 3 bits (VT-d 9.10). */
      readonly deliveryMode: number;
      readonly levelTriggered: boolean;
    }
  | {
      readonly kind: "posted";
      readonly vector: number;
      /** Host address of the posted-interrupt descriptor divided by 64 (VT-d 9.12). */
      readonly descriptor: number;
      readonly urgent: boolean;
    };

/** A blocked request of a physical device. */
export interface PhysicalFault extends FaultRecord {
  /** Which tables blocked it: the guest's first stage of a nested space, or anything of the host. */
  readonly stage: "first-stage" | "host";
}
