import {
  encode,
  PASID_DIR_ENTRY,
  PASID_ENTRY,
  SM_CONTEXT_ENTRY,
  SM_ROOT_ENTRY,
} from "@viommu/vtd-spec";
import type { Trace } from "../src/format.ts";
import { readTrace } from "../src/reader.ts";
import { bytesText, hex } from "../src/text.ts";
import {
  CAP,
  CONTEXT,
  DIRECTORY,
  ECAP,
  HPTL1,
  HPTL2,
  HPTL3,
  HPTL4,
  PASIDS,
  ROOT,
} from "./host-permissions.ts";
import { HEADER, plain, text } from "./lines.ts";

/** CAP.ZLR. */
const ZLR = 1n << 22n;
/** A page without memory. */
const HOLE = 0x40_0000;
const REQUESTS = 3000;

type Random = (below: number) => number;

/** The same numbers each time. */
function generator(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/**
 * A trace of translated requests, none of which the trace says to be allowed, so that all are looked
 * at: devices 00:02.0 to 00:02.7 under random host permission tables.
 */
export function permissionTrace(
  seed: number,
  { addressWidth, zeroLengthReads }: { addressWidth: number; zeroLengthReads: boolean },
): Promise<Trace> {
  const random = generator(seed);
  const unit = {
    ...HEADER.unit,
    cap: hex(zeroLengthReads ? CAP : CAP & ~ZLR),
    ecap: hex(ECAP),
    options: { "aw-bits": addressWidth },
  };
  const events = [
    { e: "other", reads: [...tables(random), [hex(HOLE), null]] },
    { e: "mmio-write", offset: "0x20", size: 8, value: hex(ROOT | 0x400) },
    { e: "mmio-write", offset: "0x18", size: 4, value: "0x40000000" },
    { e: "mmio-write", offset: "0x18", size: 4, value: "0xc0000000" },
    ...Array.from({ length: REQUESTS }, () => request(random)),
  ];
  return readTrace(plain(text(events, { ...HEADER, unit })));
}

function request(random: Random): object {
  return {
    e: "dma",
    sid: hex(0x10 + random(8), 4),
    pasid: random(2) === 0 ? null : hex(random(5)),
    iova: hex(address(random)),
    access: ["none", "r", "w", "rw"][random(4)],
    index: 1,
    result: { ok: false },
  };
}

/** Few different ones, so that some are in caches, or some in FEEx_xxxxh or too wide. */
function address(random: Random): bigint {
  const kind = random(16);
  if (kind === 0) return 0xfee0_0000n + BigInt(random(1 << 20));
  if (kind === 1) return BigInt(random(2 ** 32)) << BigInt(random(33));
  const few = generator(random(400));
  return (BigInt(few(2 ** 20)) << 28n) | BigInt(few(2 ** 28));
}

/** Root entry to host permission tables: address and bytes of each. */
function tables(random: Random): [string, string][] {
  const at = (address: number, words: Int32Array): [string, string] => [
    hex(address),
    bytesText(new Uint8Array(words.buffer)),
  ];
  const contexts = Array.from({ length: 8 }, (_, i) =>
    at(
      CONTEXT + 32 * (0x10 + i),
      encode(SM_CONTEXT_ENTRY, {
        P: 1,
        DTE: 1,
        HPTE: i === 7 ? 0 : 1,
        PASIDE: 1,
        EPTR: i === 6 ? 0 : 1,
        RID_PASID: random(5),
        PASIDDIRPTR: DIRECTORY,
      }),
    ),
  );
  // the table of PASID 4 is no memory
  const entries = Array.from({ length: 5 }, (_, i) => {
    const table = { HPTPTR: i === 4 ? HOLE : HPTL4, HPTDID: 8 + i, HPTSZ: i & 3 };
    return at(PASIDS + 64 * i, encode(PASID_ENTRY, { P: 1, PGTT: 1, ...table }));
  });
  return [
    at(ROOT, encode(SM_ROOT_ENTRY, { LP: 1, LCTP: CONTEXT })),
    at(DIRECTORY, encode(PASID_DIR_ENTRY, { P: 1, SMPTBLPTR: PASIDS })),
    ...contexts,
    ...entries,
    at(HPTL4, permissions(random, 8 * 256, 0, HPTL3)),
    at(HPTL3, permissions(random, 256, 32, HPTL2)),
    at(HPTL2, permissions(random, 256, 64, HPTL1)),
    at(HPTL1, permissions(random, 256, 128, 0)),
  ];
}

/** Entries with `width` bits of permissions, most of which lead to the table at `next`. */
function permissions(random: Random, count: number, width: number, next: number): Int32Array {
  const words = new Int32Array(4 * count);
  for (let i = 0; i < words.length; i += 4) {
    if (width < 128) words[i + 2] = random(16) === 0 ? HOLE | 1 : next | (random(16) === 0 ? 0 : 1);
    for (let shift = 0; shift < width; shift += 4) {
      const granted = width === 128 || random(3) === 0 ? random(4) : 0;
      words[i + (shift >> 5)]! |= granted << (shift & 31);
    }
    // rarely a bit that means something else, or nothing
    if (random(20) === 0) words[i + random(4)]! ^= 1 << random(32);
  }
  return words;
}
