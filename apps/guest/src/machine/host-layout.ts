import type { AddressRange } from "../config/guest-config.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const PAGE = 4096;

/** Pages of the guest and of the host agree up to here, so that tables can have 2 MiB pages. */
const LARGE_PAGE = 2 * MIB;
/** The host's own memory is below its tables: what devices reach there, they reach by mistake. */
const OWN_MEMORY = 16 * MIB;
/** Guest memory lies above, in pieces with gaps between them. */
const FIRST_PIECE = 4 * GIB;
const GAP = LARGE_PAGE;
/** Pieces of 1 GiB of guest memory, at most. */
const PIECES = 16;

/** A piece of guest memory, and where it is in host memory. */
export interface HostPiece extends AddressRange {
  readonly hostBase: number;
  /** Number of its buffer: one for each GiB of a range of guest memory. */
  readonly buffer: number;
  /** Byte of the buffer where it begins. */
  readonly offset: number;
}

/** Which host memory is for what. */
export interface HostLayout {
  /** From address 0 on. */
  readonly ownMemory: number;
  /** Table frames follow the host's own memory. */
  readonly tables: AddressRange;
  /** Guest memory that has a buffer of its own. */
  readonly buffers: readonly AddressRange[];
  readonly pieces: readonly HostPiece[];
}

/**
 * Scatters guest memory over host memory: in pieces, the last one first, no two of them adjacent and
 * none at its guest-physical address. A device that gets by without translation, or with half of it,
 * meets a gap or the wrong memory. The first 2 MiB are moved by a page, so that only 4 KiB pages can
 * map them; all the rest can have 2 MiB pages.
 */
export function hostLayout(memory: readonly AddressRange[], tableFrames: number): HostLayout {
  const buffers = memory.flatMap((range) => cut(range, GIB));
  const pieces: HostPiece[] = [];
  let next = FIRST_PIECE;
  const parts = buffers.flatMap((range, buffer) =>
    piecesOf(range, buffer === 0).map((piece) => ({ ...piece, buffer, start: range.base })),
  );
  for (const { base, size, buffer, start } of parts.reverse()) {
    const isFirst = base === buffers[0]!.base;
    const place = next + (base % LARGE_PAGE) + (isFirst ? PAGE : 0);
    const hostBase = place === base ? place + GAP : place;
    pieces.push({ base, size, hostBase, buffer, offset: base - start });
    next = Math.ceil((hostBase + size) / LARGE_PAGE) * LARGE_PAGE + GAP;
  }
  const tables = { base: OWN_MEMORY, size: tableFrames * PAGE };
  return { ownMemory: OWN_MEMORY, tables, buffers, pieces };
}

function piecesOf(range: AddressRange, isFirst: boolean): AddressRange[] {
  const bytes = Math.max(LARGE_PAGE, 2 ** Math.ceil(Math.log2(range.size / PIECES)));
  const [first, ...others] = cut(range, bytes) as [AddressRange, ...AddressRange[]];
  if (!isFirst) return [first, ...others];
  const { base, size } = first;
  const askew = Math.min(size, LARGE_PAGE - (base % LARGE_PAGE));
  const rest = { base: base + askew, size: size - askew };
  return [{ base, size: askew }, ...(rest.size > 0 ? [rest] : []), ...others];
}

/** Cuts a range at the multiples of a number. */
function cut({ base, size }: AddressRange, unit: number): AddressRange[] {
  const parts: AddressRange[] = [];
  const end = base + size;
  for (let at = base; at < end;) {
    const next = Math.min(end, (Math.floor(at / unit) + 1) * unit);
    parts.push({ base: at, size: next - at });
    at = next;
  }
  return parts;
}
