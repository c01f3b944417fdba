import { FaultReason } from "@viommu/vtd-spec";
import { bit, Blocked, inInterruptRange, missingRight, ones } from "./oracle.ts";
import type { Page, Passage } from "./oracle.ts";

/** A second stage as a PASID table entry describes it. */
export interface SecondStage {
  readonly root: bigint;
  readonly levels: number;
  /** min(MGAW, AW). */
  readonly width: number;
  /** SSADE. */
  readonly flags: boolean;
  readonly snoops: boolean;
  readonly fields: { readonly haw: number; readonly io: boolean };
}

/** What the walk is for: a request, or reading a first-stage entry under nested translation. */
export type Purpose = "request" | "entry";

const A = 1n << 8n;
const D = 1n << 9n;

/** Second-stage translation of the slow model (VT-d 3.7, 3.8.1, 9.8). */
export function translateSecondStage(
  passage: Passage,
  stage: SecondStage,
  address: bigint,
  purpose: Purpose,
  mayWrite = true,
): Page {
  const { world, ask } = passage;
  if (address >> BigInt(stage.width) !== 0n) throw new Blocked(FaultReason.SM_SS_WIDTH);
  const isTranslationRequest = ask.addressType === 1;
  const nw = world.capabilities.NWFS === 1 && (ask.access & 2) === 0;
  let [read, write] = [true, true];
  let table = stage.root;
  for (let level = stage.levels; ; level -= 1) {
    const shift = BigInt(9 * level + 3);
    const at = table + 8n * ((address >> shift) & 0x1ffn);
    const entry = world.read(at);
    if (entry === null) {
      const top = level === stage.levels;
      throw new Blocked(top ? FaultReason.SM_SS_ROOT_ACCESS : FaultReason.SM_SS_ENTRY_ACCESS);
    }
    read &&= bit(entry, stage.fields.io ? 61 : 0);
    write &&= bit(entry, stage.fields.io ? 62 : 1);
    if (!read && !write) throw new Blocked(FaultReason.SM_SS_NO_PERMISSION);
    const missing =
      purpose === "entry"
        ? stage.flags && !write
          ? "write"
          : !read
            ? "read"
            : null
        : missingRight(passage, read, write);
    if (missing === "write") throw new Blocked(FaultReason.SM_WRITE_DENIED);
    if (missing === "read") throw new Blocked(FaultReason.SM_READ_DENIED);
    const leaf = level === 1 || (level < 4 && bit(entry, 7));
    if ((entry & reservedBits(passage, stage, level, leaf)) !== 0n) {
      throw new Blocked(FaultReason.SM_SS_RESERVED);
    }
    const isWritten =
      purpose === "entry" ||
      (isTranslationRequest ? write && mayWrite && !nw : (ask.access & 2) !== 0);
    let set = 0n;
    if (stage.flags) set = (leaf && isWritten ? A | D : A) & ~entry;
    if (set !== 0n && !stage.snoops) throw new Blocked(FaultReason.SM_SS_FLAGS_NOT_SNOOPED);
    const target = entry & ones(51, 12);
    const out = ((target >> shift) << shift) | (address & ((1n << shift) - 1n));
    if (leaf && inInterruptRange(out)) {
      throw new Blocked(FaultReason.SM_OUTPUT_IN_INTERRUPT_RANGE);
    }
    if (set !== 0n && !world.write(at, entry | set)) {
      throw new Blocked(FaultReason.SM_SS_FLAGS_UPDATE);
    }
    if (leaf) {
      const dirty = !stage.flags || ((entry | set) & D) !== 0n;
      return { out, shift, read, write: write && dirty, snoop: bit(entry, 11) };
    }
    table = target;
  }
}

function reservedBits(
  { world }: Passage,
  stage: SecondStage,
  level: number,
  leaf: boolean,
): bigint {
  const { SSLPS, SC } = world.capabilities;
  let mask = ones(51, stage.fields.haw) | (stage.fields.io ? 0n : 1n << 62n);
  if (!leaf) mask |= 0x800n;
  else if (SC === 0) mask |= 0x800n;
  if (level > 3) mask |= 0x80n;
  if (leaf && level === 3) mask |= ones(29, 12) | ((SSLPS & 2) === 0 ? 0x80n : 0n);
  if (leaf && level === 2) mask |= ones(20, 12) | ((SSLPS & 1) === 0 ? 0x80n : 0n);
  return mask;
}
