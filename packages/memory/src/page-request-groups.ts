import { Access, ViommuError } from "@viommu/plugin";
import type { PageRequest } from "@viommu/plugin";

/** Response codes of a page group response (PCI Express PRI; VT-d 7.6.1). */
export const PageResponse = {
  /** Software has looked at the request. The pages may be there: ask for their translation again. */
  SUCCESS: 0,
  /** A page of the group can't be had: whatever needs it has failed. */
  INVALID_REQUEST: 1,
  /** Software gave up on this device: it sends no page requests until they are enabled again. */
  FAILURE: 15,
} as const;

/** Page request group indices (9 bits). */
const GROUP_INDICES = 512;

/** Pages that a device needs, all with the same rights. */
export interface PageNeed {
  readonly sourceId: number;
  /** 20 bits, or NO_PASID. */
  readonly pasid: number;
  /** Address of the first page, its low 12 bits ignored. */
  readonly hi: number;
  readonly lo: number;
  /** Number of 4 KiB pages, at least 1; the last one lies below the next 2^57. */
  readonly pages: number;
  /** Bits of `Access`; a zero-length read asks for READ. */
  readonly access: number;
}

/** A group of page requests that software has answered. */
export interface AnsweredGroup extends PageNeed {
  /** Page request group index. */
  readonly group: number;
  /** One of {@link PageResponse}, or a reserved code, which means failure. */
  readonly code: number;
}

/** Results of {@link PageRequestGroups.send} that are no response code. */
export const Sent = {
  /** No answer yet. */
  OUTSTANDING: -1,
  /** Nothing was sent: requests are off, or as many groups as may be have no answer. */
  NOTHING: -2,
} as const;

/** A group that was sent; `code` is set by its answer. */
interface Group extends PageNeed {
  code: number;
}

/** The page requests of one device (PCI Express PRI): groups sent and not answered. */
export class PageRequestGroups {
  /** Requests may be sent. A response of failure clears it. */
  enabled = true;
  readonly #limit: number;
  readonly #send: (request: PageRequest) => unknown;
  readonly #answered: ((group: AnsweredGroup) => void) | undefined;
  readonly #outstanding = new Map<number, Group>();
  #next = 0;

  /** `limit` is the number of groups that may be outstanding, at most 512. */
  constructor(
    limit: number,
    send: (request: PageRequest) => unknown,
    answered: ((group: AnsweredGroup) => void) | undefined,
  ) {
    this.#limit = Math.min(limit, GROUP_INDICES);
    this.#send = send;
    this.#answered = answered;
  }

  /** Number of groups without an answer. */
  get outstanding(): number {
    return this.#outstanding.size;
  }

  /** Whether a group without an answer covers the page with these rights. */
  covers(sourceId: number, pasid: number, hi: number, lo: number, access: number): boolean {
    for (const need of this.#outstanding.values()) {
      const page = pageNumber(hi, lo) - pageNumber(need.hi, need.lo);
      if (
        need.sourceId === sourceId &&
        need.pasid === pasid &&
        page >= 0 &&
        page < need.pages &&
        (withRight(access) & ~need.access) === 0
      ) {
        return true;
      }
    }
    return false;
  }

  /**
   * Sends one request for each page, the last one marked so. The result is the response code if the
   * answer came at once, or one of {@link Sent}. Throws ERR_VIOMMU_ATC without a page.
   */
  send(need: PageNeed): number {
    if (!Number.isInteger(need.pages) || need.pages < 1) {
      throw new ViommuError("ERR_VIOMMU_ATC", `pages is ${need.pages}; ask for at least one`);
    }
    if (!this.enabled || this.#outstanding.size >= this.#limit) return Sent.NOTHING;
    const { sourceId, pasid, pages } = need;
    const access = withRight(need.access);
    const group = this.#freeIndex();
    const sent: Group = { ...need, access, code: Sent.OUTSTANDING };
    this.#outstanding.set(group, sent);
    let { hi } = need;
    let lo = need.lo & ~0xfff;
    for (let page = 1; page <= pages; page++) {
      this.#send({ sourceId, pasid, hi, lo, access, group, last: page === pages });
      lo += 0x1000;
      hi += lo >>> 30;
      lo &= 0x3fff_ffff;
    }
    return sent.code;
  }

  /** A page group response. False when no group waits for it; it is ignored then. */
  respond(sourceId: number, pasid: number, group: number, code: number): boolean {
    const need = this.#outstanding.get(group);
    if (need?.sourceId !== sourceId || need.pasid !== pasid) return false;
    this.#outstanding.delete(group);
    need.code = code;
    if (code !== PageResponse.SUCCESS && code !== PageResponse.INVALID_REQUEST) {
      this.enabled = false;
    }
    this.#answered?.({ ...need, group });
    return true;
  }

  /** Forgets all groups; requests may be sent again. */
  reset(): void {
    this.#outstanding.clear();
    this.enabled = true;
  }

  /** For a snapshot: the next index, whether requests are enabled, and the groups without an answer. */
  save(): number[] {
    const groups = [...this.#outstanding].flatMap(([group, need]) => {
      const { sourceId, pasid, hi, lo, pages, access } = need;
      return [group, sourceId, pasid, hi, lo, pages, access];
    });
    return [this.#next, this.enabled ? 1 : 0, ...groups];
  }

  /** Takes back what `save` gave. */
  restore(words: readonly number[]): void {
    this.reset();
    this.#next = words[0]!;
    this.enabled = words[1] === 1;
    for (let i = 2; i < words.length; i += 7) {
      const [group, sourceId, pasid, hi, lo, pages, access] = words.slice(i, i + 7);
      this.#outstanding.set(group!, {
        sourceId: sourceId!,
        pasid: pasid!,
        hi: hi!,
        lo: lo!,
        pages: pages!,
        access: access!,
        code: Sent.OUTSTANDING,
      });
    }
  }

  /** Indices are used in turn, so that a late answer does not meet a new group. */
  #freeIndex(): number {
    while (this.#outstanding.has(this.#next)) this.#next = (this.#next + 1) % GROUP_INDICES;
    const index = this.#next;
    this.#next = (this.#next + 1) % GROUP_INDICES;
    return index;
  }
}

/** A request for no right at all would be a stop marker. */
function withRight(access: number): number {
  return (access & Access.ATOMIC) === 0 ? access | Access.READ : access;
}

function pageNumber(hi: number, lo: number): number {
  return hi * 2 ** 18 + (lo >>> 12);
}
