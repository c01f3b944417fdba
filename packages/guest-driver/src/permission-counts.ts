import { Access } from "@viommu/plugin";

/** Host pages in a row, and what may be done with them: READ, WRITE or both. */
export interface PageRights {
  readonly page: number;
  readonly count: number;
  readonly access: number;
}

/** Pages whose rights have become others. */
export interface ChangedRights extends PageRights {
  /** What it was before. */
  readonly before: number;
}

/** Pages with the same counts, up to and not including `end`; those with neither are left out. */
interface Segment {
  readonly page: number;
  readonly end: number;
  readonly readers: number;
  readonly writers: number;
}

/** As JSON: first page, page after the last, readers and writers of each segment, in turn. */
export type PermissionState = readonly number[];

const WORDS = 4;

/**
 * How many reasons there are to let pages be read and written: a page that is mapped several times
 * stays permitted until the last mapping is gone. Costs as much as there are borders, not pages.
 */
export class PermissionCounts {
  /** In ascending order; neighbours that touch differ. */
  #segments: readonly Segment[] = [];

  /** Nothing is permitted. */
  get isEmpty(): boolean {
    return this.#segments.length === 0;
  }

  /** One more reason for these; returns the pages that have more rights now. */
  add(rights: PageRights): ChangedRights[] {
    return this.#change(rights, 1);
  }

  /** One less, which there must be, see {@link has}; returns the pages that have less rights now. */
  remove(rights: PageRights): ChangedRights[] {
    return this.#change(rights, -1);
  }

  /** Whether there is a reason for each of these pages, and for all of the access. */
  has({ page, count, access }: PageRights): boolean {
    let next = page;
    for (let i = this.#firstBeyond(page); next < page + count; i += 1) {
      const segment = this.#segments[i];
      if (segment === undefined || segment.page > next) return false;
      if ((access & ~rightsOf(segment)) !== 0) return false;
      next = segment.end;
    }
    return true;
  }

  /** All that is permitted. */
  rights(): PageRights[] {
    const found: PageRights[] = [];
    for (const segment of this.#segments) {
      const { page, end } = segment;
      appendRights(found, { page, count: end - page, access: rightsOf(segment) });
    }
    return found;
  }

  save(): PermissionState {
    return this.#segments.flatMap(({ page, end, readers, writers }) => [
      page,
      end,
      readers,
      writers,
    ]);
  }

  restore(state: PermissionState): void {
    this.#segments = Array.from({ length: state.length / WORDS }, (_, i) => {
      const [page, end, readers, writers] = state.slice(WORDS * i, WORDS * i + WORDS);
      return { page: page!, end: end!, readers: readers!, writers: writers! };
    });
  }

  #change({ page, count, access }: PageRights, by: 1 | -1): ChangedRights[] {
    const end = page + count;
    const first = this.#firstBeyond(page);
    const last = this.#firstBeyond(end);
    const changed: ChangedRights[] = [];
    const segments = this.#segments.slice(0, first);
    for (const piece of pieces(this.#segments.slice(first, last + 1), page, end)) {
      const isInside = piece.page >= page && piece.end <= end;
      const after = isInside ? altered(piece, access, by) : piece;
      note(changed, piece, after);
      join(segments, after);
    }
    this.#segments = segments.concat(this.#segments.slice(last + 1));
    return changed;
  }

  /** Index of the first segment that ends beyond a page. */
  #firstBeyond(page: number): number {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#segments[middle]!.end <= page) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Cuts segments at both ends of a range, and fills the gaps in it. */
function* pieces(segments: readonly Segment[], page: number, end: number): Iterable<Segment> {
  let next = page;
  for (const segment of segments) {
    const begin = Math.min(Math.max(segment.page, page), end);
    const until = Math.min(segment.end, end);
    if (segment.page < page) yield { ...segment, end: page };
    if (next < begin) yield { page: next, end: begin, readers: 0, writers: 0 };
    if (begin < until) yield { ...segment, page: begin, end: until };
    if (segment.end > end) yield { ...segment, page: Math.max(segment.page, end) };
    next = until;
  }
  if (next < end) yield { page: next, end, readers: 0, writers: 0 };
}

function altered(segment: Segment, access: number, by: 1 | -1): Segment {
  return {
    ...segment,
    readers: segment.readers + ((access & Access.READ) !== 0 ? by : 0),
    writers: segment.writers + ((access & Access.WRITE) !== 0 ? by : 0),
  };
}

function rightsOf({ readers, writers }: Segment): number {
  return (readers > 0 ? Access.READ : 0) | (writers > 0 ? Access.WRITE : 0);
}

/** Appends pages to a list, as one run with the last ones where these go on and have the same rights. */
export function appendRights(runs: PageRights[], rights: PageRights): void {
  const last = runs.at(-1);
  const goesOn = last?.access === rights.access && last.page + last.count === rights.page;
  if (goesOn) runs[runs.length - 1] = { ...last, count: last.count + rights.count };
  else runs.push(rights);
}

/** Appends a segment to what has changed, if its rights have. */
function note(changed: ChangedRights[], segment: Segment, after: Segment): void {
  const { page, end } = segment;
  const before = rightsOf(segment);
  const access = rightsOf(after);
  if (before === access) return;
  const last = changed.at(-1);
  const goesOn = last?.before === before && last.access === access;
  if (goesOn && last.page + last.count === page) {
    changed[changed.length - 1] = { ...last, count: last.count + end - page };
  } else changed.push({ page, count: end - page, access, before });
}

function join(segments: Segment[], segment: Segment): void {
  if (segment.readers === 0 && segment.writers === 0) return;
  const last = segments.at(-1);
  const fits =
    last?.end === segment.page &&
    last.readers === segment.readers &&
    last.writers === segment.writers;
  if (fits) segments[segments.length - 1] = { ...last, end: segment.end };
  else segments.push(segment);
}
