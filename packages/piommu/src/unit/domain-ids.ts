import { refusal } from "./refusal.ts";

/** Of requests that pass through; 0 is left out, as CM reserves it (VT-d 6.2.2.1). */
export const IDENTITY_DOMAIN = 1;

const FIRST = 2;

/** The domain ids of one unit (CAP.ND): what its caches are tagged with. */
export class DomainIds {
  /** Ids that spaces can have. */
  readonly total: number;
  private readonly returned: number[] = [];
  private fresh = FIRST;
  private readonly end: number;

  constructor(width: number) {
    this.end = 2 ** width;
    this.total = this.end - FIRST;
  }

  /** An id that nobody has. Throws ERR_VIOMMU_PIOMMU when there is none. */
  take(): number {
    const id = this.returned.pop();
    if (id !== undefined) return id;
    if (this.fresh === this.end) {
      throw refusal(`all ${this.total} domain ids of the unit are in use; destroy a space`);
    }
    this.fresh += 1;
    return this.fresh - 1;
  }

  /** Takes an id back; what was cached under it has been invalidated. */
  release(id: number): void {
    this.returned.push(id);
  }
}
