import type { DeviceTlb, InvalidationRequest } from "./invalidation.ts";

/** A device as its unit's tables know it. */
export interface DeviceSetup extends DeviceTlb {
  /** It may ask for translations and use them (ATS). */
  readonly deviceTlb: boolean;
  /** It may ask for pages (PRI). */
  readonly pageRequests: boolean;
  /** Its PASIDs have this many bits; 0: it sends none. */
  readonly pasidBits: number;
  /** Its translated requests need permission (HPT). */
  readonly hostPermissions: boolean;
}

/** A first-stage table. */
export interface FirstStage {
  /** Address of the topmost table: guest-physical, or of the second stage's input if nested. */
  readonly root: number;
  readonly levels: 4 | 5;
  /** Requests with supervisor privilege are allowed. */
  readonly supervisor: boolean;
}

/** A second-stage table, at a guest-physical address. */
interface SecondStage {
  readonly root: number;
  readonly levels: number;
}

/**
 * What a unit does with requests: with one stage it translates by it, with both nested, with none
 * addresses pass through.
 */
export interface DeviceBinding {
  readonly domainId: number;
  readonly firstStage: FirstStage | null;
  readonly secondStage: SecondStage | null;
}

/** A host permission table, as an entry points to it. */
export interface PermissionTable {
  readonly root: number;
  /** HPTSZ: log2 of the pages of its topmost table. */
  readonly size: number;
  readonly hptDomainId: number;
}

/** How an entry is cleared. */
export interface UnbindOptions {
  /** Requests that still come for it are blocked without a record (FPD), until it is cleared again. */
  readonly silent: boolean;
  /** Takes the pages of tables that drop out: free when the unit has forgotten them. */
  readonly retired: number[];
}

/** Ids in tables of another driver. */
export interface AdoptedIds {
  readonly domainIds: Iterable<number>;
  readonly hptDomainIds: Iterable<number>;
}

/** Which requests have which address space, as a unit reads it. `pasid` null: requests without PASID. */
export interface DeviceTable {
  /** RTADDR.TTM, one of `TranslationTableMode` of vtd-spec. */
  readonly mode: number;
  /** What RTADDR takes. */
  readonly root: number;
  /** Addresses of tables that it keeps outside of guest memory. */
  readonly places: readonly number[];
  /**
   * Makes an entry; it must not be present. Returns what a unit with caching mode has to forget.
   * `permissions`: the host permission table of the device, if it has one; requests without PASID are
   * bound before all others then.
   */
  bind(
    device: DeviceSetup,
    pasid: number | null,
    binding: DeviceBinding,
    permissions: PermissionTable | null,
  ): InvalidationRequest[];
  /** Clears an entry, and returns what the unit has to forget; nothing if it was not present. */
  unbind(device: DeviceSetup, pasid: number | null, options: UnbindOptions): InvalidationRequest[];
  /** Takes present entries of another driver's table over; returns their ids. */
  adopt(root: number): AdoptedIds;
}
