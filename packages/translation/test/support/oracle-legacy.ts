import { FaultReason } from "@viommu/vtd-spec";
import { bit, Blocked, field, inInterruptRange, missingRight, ones } from "./oracle.ts";
import type { Page, Passage } from "./oracle.ts";

/** Legacy mode (VT-d 3.4.2, 9.1, 9.3, 9.8). */
export function legacyMode(passage: Passage): Page {
  const { world, ask } = passage;
  const { capabilities: cap, hostAddressWidth: haw } = world;
  if (ask.pasid >= 0) throw new Blocked(FaultReason.PASID_IN_LEGACY, false);
  if (world.ssirwe) throw new Blocked(FaultReason.TTM_INVALID, false);
  const aboveHost = ones(63, haw);

  const rootAddress = (world.root & ~0xfffn) + 16n * BigInt(ask.sourceId >> 8);
  const root = world.read(rootAddress);
  const rootHigh = world.read(rootAddress + 8n);
  if (root === null || rootHigh === null) throw new Blocked(FaultReason.ROOT_ACCESS, false);
  if (!bit(root, 0)) throw new Blocked(FaultReason.ROOT_NOT_PRESENT, false);
  if ((root & (0xffen | aboveHost)) !== 0n || rootHigh !== 0n) {
    throw new Blocked(FaultReason.ROOT_RESERVED, false);
  }

  const contextAddress = (root & ~0xfffn) + 16n * BigInt(ask.sourceId & 0xff);
  const low = world.read(contextAddress);
  const high = world.read(contextAddress + 8n);
  if (low === null || high === null) throw new Blocked(FaultReason.CONTEXT_ACCESS, false);
  passage.fpd = bit(low, 1);
  if (!bit(low, 0)) throw new Blocked(FaultReason.CONTEXT_NOT_PRESENT);
  const didWidth = 4 + 2 * cap.ND;
  const reservedHigh = ones(63, 24) | ones(23, 8 + didWidth) | (1n << 7n);
  if ((low & (0xff0n | aboveHost)) !== 0n || (high & reservedHigh) !== 0n) {
    throw new Blocked(FaultReason.CONTEXT_RESERVED);
  }
  const tt = Number(field(low, 3, 2));
  const aw = Number(field(high, 2, 0));
  const ttKnown = tt === 0 || (tt === 1 && cap.DT === 1) || (tt === 2 && cap.PT === 1);
  if (!ttKnown) throw new Blocked(FaultReason.CONTEXT_INVALID);
  if (aw === 0 || aw > 3 || !bit(BigInt(cap.SAGAW), aw)) {
    throw new Blocked(FaultReason.CONTEXT_INVALID);
  }
  if (ask.addressType !== 0 && tt !== 1) throw new Blocked(FaultReason.REQUEST_BLOCKED);

  if (tt === 2 || ask.addressType === 2) {
    if (ask.address >> BigInt(haw) !== 0n) throw new Blocked(FaultReason.ADDRESS_BEYOND_WIDTH);
    if (inInterruptRange(ask.address)) throw new Blocked(FaultReason.OUTPUT_IN_INTERRUPT_RANGE);
    return { out: ask.address, shift: 30n, read: true, write: true, bypass: true };
  }
  // a translation request into the interrupt range is answered without a walk (S.1, S.2)
  if (inInterruptRange(ask.address)) return { out: 0n, shift: 12n, read: false, write: false };
  return secondStage(passage, low & ~0xfffn, aw);
}

function secondStage(passage: Passage, root: bigint, aw: number): Page {
  const { world, ask } = passage;
  const { capabilities: cap, hostAddressWidth: haw } = world;
  const width = Math.min(cap.MGAW + 1, 30 + 9 * aw);
  if (ask.address >> BigInt(width) !== 0n) throw new Blocked(FaultReason.ADDRESS_BEYOND_WIDTH);

  let table = root;
  let read = true;
  let write = true;
  for (let level = aw + 2; ; level -= 1) {
    const shift = BigInt(9 * level + 3);
    const entry = world.read(table + 8n * ((ask.address >> shift) & 0x1ffn));
    if (entry === null) {
      throw new Blocked(
        level === aw + 2 ? FaultReason.CONTEXT_INVALID : FaultReason.SS_ENTRY_ACCESS,
      );
    }
    read &&= bit(entry, 0);
    write &&= bit(entry, 1);
    const missing = missingRight(passage, read, write);
    if (missing === "write") throw new Blocked(FaultReason.WRITE_DENIED);
    if (missing === "read") throw new Blocked(FaultReason.READ_DENIED);

    const leaf = level === 1 || (level <= 3 && bit(entry, 7));
    let reserved = ones(51, haw) | (1n << 62n);
    if (level >= 4) reserved |= 1n << 7n;
    if (!leaf || cap.SC === 0) reserved |= 1n << 11n;
    if (leaf && level === 2) reserved |= ones(20, 12);
    if (leaf && level === 3) reserved |= ones(29, 12);
    if (level === 2 && (cap.SSLPS & 1) === 0) reserved |= 1n << 7n;
    if (level === 3 && (cap.SSLPS & 2) === 0) reserved |= 1n << 7n;
    if ((entry & reserved) !== 0n) throw new Blocked(FaultReason.SS_RESERVED);

    const base = entry & ones(51, 12);
    if (leaf) {
      const out = ((base >> shift) << shift) | (ask.address & ((1n << shift) - 1n));
      if (inInterruptRange(out)) throw new Blocked(FaultReason.OUTPUT_IN_INTERRUPT_RANGE);
      return { out, shift, read, write, snoop: bit(entry, 11) };
    }
    table = base;
  }
}
