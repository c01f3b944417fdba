/** What the driver has done for a guest, for a report. */
export interface GuestIommuCounters {
  /** Invalidations of the guest that concerned a shadow or a nested space. */
  invalidations: number;
  /** Synchronisations begun: one for each range of each shadow. */
  synchronisations: number;
  /** Steps taken: guest tables read and table writes. */
  steps: number;
  /** Shadows made, and taken down. */
  shadowsMade: number;
  shadowsDestroyed: number;
  /** Devices (or PASIDs) that were given another space. */
  switches: number;
  /** Devices blocked because a quota, the host's frames or ids were used up. */
  quotaHits: number;
  /** Changes of the p2m that were carried into shadows. */
  p2mChanges: number;
  /** Interrupts bound anew after an invalidation or a mode change. */
  interruptRebinds: number;
  /** Page requests of devices that went to the guest, and answers that went back, of whomever. */
  pageRequests: number;
  pageResponses: number;
  /** Faults of devices that went to the guest, and those kept from it. */
  guestFaults: number;
  hostFaults: number;
}

/** All counters at 0. */
export function createCounters(): GuestIommuCounters {
  return {
    invalidations: 0,
    synchronisations: 0,
    steps: 0,
    shadowsMade: 0,
    shadowsDestroyed: 0,
    switches: 0,
    quotaHits: 0,
    p2mChanges: 0,
    interruptRebinds: 0,
    pageRequests: 0,
    pageResponses: 0,
    guestFaults: 0,
    hostFaults: 0,
  };
}
