/** What a translation engine has done since it was made; plain numbers, free to be read or zeroed. */
export class Counters {
  /** Requests that the IOTLB did not answer. Hits are not counted: nothing is added to their path. */
  misses = 0;
  /** Walks of paging structures, from the top or from a cached leaf table. */
  walks = 0;
  /** Root and context entries (or PASID entries) fetched from memory. */
  contextFetches = 0;
  /** Blocked requests that have a fault reason, recorded or suppressed. */
  faults = 0;
  /** Invalidation requests of any kind. */
  invalidations = 0;
}
