import { Access } from "@viommu/plugin";
import type { PageRequest, PhysicalPageRequests } from "@viommu/plugin";
import { ResponseCode } from "@viommu/vtd-spec";

/** What page requests need of their unit. */
export interface UnitPageRequestsParts {
  /** The host lets the device ask (PRE), and requests with this PASID go somewhere. */
  readonly admits: (sourceId: number, pasid: number) => boolean;
  /** Brings an answer to the device. */
  readonly answer: (sourceId: number, pasid: number, group: number, code: number) => void;
}

/** A group without an answer. */
interface Group {
  readonly pasid: number;
}

/**
 * Page requests of the devices below a unit: its queue, which the driver empties at once, and the
 * groups without an answer. A device has at most 512 of them, the group indices that there are.
 */
export class UnitPageRequests implements PhysicalPageRequests {
  listener: PhysicalPageRequests["listener"] = null;
  readonly #parts: UnitPageRequestsParts;
  /** By source-id and group index. */
  readonly #groups = new Map<number, Group>();

  constructor(parts: UnitPageRequestsParts) {
    this.#parts = parts;
  }

  /** A device asks for a page. */
  accept(request: PageRequest): void {
    const { access, group, last, pasid, sourceId } = request;
    const isOwed = last && (access & Access.ATOMIC) !== 0; // none to a stop marker
    const key = keyOf(sourceId, group);
    const owed: Group = { pasid };
    const isNew = !this.#groups.has(key);
    if (isOwed) this.#groups.set(key, owed);
    // an index that is in use already ends that group, too
    const isTaken = isNew && this.#parts.admits(sourceId, pasid) && this.listener?.(request);
    if (isTaken === true || this.#groups.get(key) !== owed) return;
    this.respond(sourceId, pasid, group, ResponseCode.INVALID_REQUEST);
  }

  respond(sourceId: number, pasid: number, group: number, code: number): boolean {
    const key = keyOf(sourceId, group);
    if (this.#groups.get(key)?.pasid !== pasid) return false;
    this.#groups.delete(key);
    this.#parts.answer(sourceId, pasid, group, code);
    return true;
  }
}

function keyOf(sourceId: number, group: number): number {
  return sourceId * 512 + (group & 0x1ff);
}
