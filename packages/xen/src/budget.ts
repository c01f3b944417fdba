import { ViommuError } from "@viommu/plugin";

/** What one domain may cost its host. */
export interface BudgetLimits {
  /** vIOMMUs; 0 refuses every operation with -ENOSYS. */
  readonly viommus: number;
  /** Invalidation descriptors that one access to a register (an exit) sets in motion. */
  readonly descriptorsPerExit: number;
  /** Descriptors that one turn of {@link ViommuRegistry.run} processes for the domain. */
  readonly descriptorsPerTurn: number;
  /** Translations of one hypercall; the rest is left to its continuation. */
  readonly translationsPerCall: number;
  /** Host memory in frames of 4 KiB: caches of its units, shadow tables of its devices. */
  readonly frames: number;
  /** Fault events delivered per second; more are put off and merged, never lost. */
  readonly faultEventsPerSecond: number;
}

const DEFAULTS: BudgetLimits = {
  viommus: 8,
  descriptorsPerExit: 256,
  descriptorsPerTurn: 1024,
  translationsPerCall: 64,
  frames: 16384,
  faultEventsPerSecond: 1000,
};

/** Limits that the host did not give have their defaults. Throws ERR_VIOMMU_XEN_BUDGET. */
export function budgetLimits(limits: Partial<BudgetLimits> = {}): BudgetLimits {
  const all = { ...DEFAULTS, ...limits };
  for (const [name, value] of Object.entries(all)) {
    const least = name === "viommus" || name === "frames" ? 0 : 1;
    if (Number.isSafeInteger(value) && value >= least) continue;
    throw new ViommuError(
      "ERR_VIOMMU_XEN_BUDGET",
      `budget ${name} is ${value}; give a whole number from ${least}`,
    );
  }
  return all;
}

/** Frames of host memory that a domain may use. Feeds `PagingSpaceOptions.frameQuota`, too. */
export class FrameQuota {
  readonly limit: number;
  #used = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  get used(): number {
    return this.#used;
  }

  get free(): number {
    return this.limit - this.#used;
  }

  /** Takes frames, all or none. */
  take(frames: number): boolean {
    if (frames > this.free) return false;
    this.#used += frames;
    return true;
  }

  /** Gives frames back. */
  give(frames: number): void {
    this.#used -= frames;
  }
}
